#pragma once

// Names as Kubernetes wants them, and what is nearest to a misspelt one. Pure and thread-safe.

#include <string>
#include <string_view>
#include <vector>

namespace rota::resource {

// Lower-case letters, digits and '-', 1 to 63, no '-' at an end.
bool IsDnsLabel(std::string_view text);
// Labels joined by '.', 1 to 253.
bool IsDnsSubdomain(std::string_view text);
// A key of a Secret: letters, digits, '-', '_', '.', 1 to 253.
bool IsSecretKey(std::string_view text);
// The name of an endpoint: letters, digits, '-', '_', '.', 1 to 63, begins and ends with a letter
// or digit.
bool IsEndpointName(std::string_view text);
// A header's or query parameter's name (a token of RFC 9110), 1 to 128.
bool IsToken(std::string_view text);

// "My Route_1" -> "my-route-1": lower-case letters, digits and single '-' between them; "" when
// nothing is left.
std::string Slug(std::string_view text, size_t max_bytes);

// The name of the object made from a bare apk-conf file: a slug of `name`, and 8 hex digits that
// tell versions and base paths apart.
std::string NameOfApkConf(std::string_view name, std::string_view base_path,
                          std::string_view version);

// The known word that `text` is probably meant as; "" when none is near.
std::string Nearest(std::string_view text, const std::vector<std::string>& known);

}  // namespace rota::resource
