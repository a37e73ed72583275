#pragma once

// `defaults` of a target: members that a request to it gets when it does not have them. Put in
// without a tree: every byte of the request stays as it came.
//
// Pure and thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace rota::provider {

struct DefaultMember {
  std::string name;
  std::string json;  // "\"temperature\":1.0"
};

// InvalidArgument when `object` is not the text of a JSON object. "" has none.
absl::StatusOr<std::vector<DefaultMember>> ReadDefaults(std::string_view object);

// `body` with the members that it lacks in front of its own; "" when it lacks none. max_tokens and
// max_completion_tokens mean the same: one is not put beside the other. REQUIRES: FindModel takes
// `body`.
std::string FillDefaults(std::string_view body, absl::Span<const DefaultMember> defaults);

}  // namespace rota::provider
