#pragma once

// A strict JSON scanner (RFC 8259) that finds the members of the top-level object without building
// a DOM: the mock must not cost more than the proxy that it measures. Deliberately independent of
// the gateway's own scanner, so that one checks the other.
//
// Pure, thread-safe. Nesting deeper than 256 is an error.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace rota::mock_llm {

struct JsonMember {
  std::string_view key;    // raw bytes between the quotes, escapes as they came
  std::string_view value;  // raw bytes of the value, without surrounding space
};

// The members of the object `text`, in order, duplicates included. InvalidArgument names the offset
// and what was expected. The views point into `text`.
absl::StatusOr<std::vector<JsonMember>> ScanObject(std::string_view text);

// The value of the first member `key`, "" when it is absent.
std::string_view FindMember(const std::vector<JsonMember>& members, std::string_view key);

// A raw JSON string ("\"gpt-4o\"") without quotes and escapes. InvalidArgument when it is no
// string.
absl::StatusOr<std::string> DecodeString(std::string_view raw);

}  // namespace rota::mock_llm
