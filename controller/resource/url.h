#pragma once

// URLs of upstreams in the one spelling by which they are compared. Pure and thread-safe.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rota::resource {

// "HTTPS://API.OpenAI.com:443/v1/" -> "https://api.openai.com/v1": lower-case scheme and host, no
// default port, no trailing slash, IPv6 in its shortest form. InvalidArgument says what is wrong
// and what to write; it never repeats the text (which may hold a password).
absl::StatusOr<std::string> NormaliseUrl(std::string_view text);

// True when `text` is meant as a URL ("scheme://...") rather than as the name of an endpoint.
bool LooksLikeUrl(std::string_view text);

// The namespace that the host of a normalised URL is in: of a service ("service.namespace.svc...")
// or of a pod. "" for other hosts.
std::string ServiceNamespaceOf(std::string_view normalised_url);

}  // namespace rota::resource
