#pragma once

// JSON as trees, for what is translated between providers (never for what is passed on as it came:
// model_span.h). Members keep their order: models write structured output in the order of a
// schema's properties. What strangers send is bounded here: printing is recursive, and a tree takes
// up to 16 times the memory of its text.
//
// Pure and thread-safe. Errors are InvalidArgument; no exception leaves these functions.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace rota::provider {

using Json = nlohmann::ordered_json;

inline constexpr size_t kMaxJsonDepth = 256;
// Values in one text, counted with all lists, objects and names. About 30 MiB of memory; images are
// one value, however large.
inline constexpr size_t kMaxJsonValues = size_t{1} << 19;

// A whole JSON text (UTF-8). Of members with one name the first is found. The error says what is
// wrong, without any of the text.
absl::StatusOr<Json> ParseJson(std::string_view text);
// REQUIRES: strings are UTF-8, as everything that ParseJson read; not nested deeper than twice
// kMaxJsonDepth.
std::string DumpJson(const Json& value);
void AppendJson(const Json& value, std::string& out);
// `text` as a JSON string with its quotes. REQUIRES: UTF-8, as everything that ParseJson read.
void AppendJsonText(std::string_view text, std::string& out);

// The member, or null when `object` is no object, has none, or it is JSON's null.
const Json* Find(const Json& object, std::string_view name);
// "" when it is not there or not a string.
std::string_view FindText(const Json& object, std::string_view name);
// Absent when it is not there or not a whole number >= 0.
std::optional<uint64_t> FindCount(const Json& object, std::string_view name);
// False when it is not there or not a boolean.
bool FindFlag(const Json& object, std::string_view name);

}  // namespace rota::provider
