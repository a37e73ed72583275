#pragma once

// What becomes of a field of an OpenAI request that goes to another provider. Each dialect has one
// table, beside the rows that all share; the code and docs/providers.md are made from them.
//
// Pure and thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "dataplane/provider/json.h"

namespace rota::provider {

enum class FieldUse : uint8_t {
  kTranslated,  // the dialect reads it
  kDropped,     // cannot be expressed, and the answer is a good one without it: x-rota-dropped
  kRefused,     // cannot be expressed, and the answer would mean something else: 400
};

struct FieldRule {
  std::string_view field;  // top-level member
  FieldUse use = FieldUse::kTranslated;
  std::string_view note;  // for people, in docs/providers.md and (kRefused) in the 400; may be ""
};

// The value is what the API assumes when the field is absent (null, n: 1, logprobs: false, store:
// false, tools: [], ...): no provider has to express it.
bool IsDefaultValue(std::string_view field, const Json& value);

// What no provider with a form of its own has in chat requests: rows that all of their tables
// share.
absl::Span<const FieldRule> CommonChatFields();

// Applies the table, and where it has no row `common`: the fields to drop, or the error of the
// first one that is refused. Fields with default values, `model` and `stream` are always good;
// unknown ones are dropped. Bounded: at most kMaxDropped names of at most 64 bytes each, of
// header-safe characters.
inline constexpr size_t kMaxDropped = 32;
absl::StatusOr<std::vector<std::string>> ReviewFields(const Json& request,
                                                      absl::Span<const FieldRule> rules,
                                                      absl::Span<const FieldRule> common = {});

// A 400. `field` as people write it: "messages[2].content", "response_format.type". `reason`
// completes "<field> ...": "must be a list".
absl::Status InvalidField(std::string_view field, std::string_view reason);
// `reason` completes "the provider of this model ...": "gives one choice only".
absl::Status UnsupportedField(std::string_view field, std::string_view reason);

struct FieldProblem {
  std::string field;      // OpenAI's `param`
  std::string_view code;  // "invalid_value", "unsupported_parameter"
  std::string message;
};
// What such a status says; any other status is "invalid_value" without a field.
FieldProblem ProblemOf(const absl::Status& status);

}  // namespace rota::provider
