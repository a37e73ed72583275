#pragma once

// Plain (unquoted) YAML scalars as kubectl reads them: the YAML 1.1 rules of its parser, not those
// of yaml-cpp. `yes`, `on` and `y` are true, 0x1f, 0o17, 017 and 1_000 are integers, 1.0 is the
// number 1 (its spelling is lost), a date is a string. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace rota::resource {

// Absent for .inf and .nan, which JSON cannot hold.
std::optional<nlohmann::json> ResolvePlainScalar(const std::string& text);

// A scalar with an explicit tag ("tag:yaml.org,2002:int"); absent when the text does not fit the
// tag or the tag is not one of str, int, float, bool, null and timestamp.
std::optional<nlohmann::json> ResolveTaggedScalar(std::string_view tag, const std::string& text);

// A map key as JSON wants it: 1 becomes "1", true "true". Absent for null and for values that are
// not scalars.
std::optional<std::string> KeyOf(const nlohmann::json& scalar);

}  // namespace rota::resource
