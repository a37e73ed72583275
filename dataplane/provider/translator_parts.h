#pragma once

// What several translators need beside chat_request.h and openai_form.h: small pieces of JSON, the
// inputs of embeddings, and what errors say.
//
// Pure and thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "dataplane/provider/chat_request.h"
#include "dataplane/provider/dialect.h"
#include "dataplane/provider/json.h"

namespace rota::provider {

// {"name": value}, and with another member. (Written as the library's lists, an object costs an
// array of two for each member beside it.)
Json ObjectOf(std::string_view name, Json value);
Json ObjectOf(std::string_view name, Json value, std::string_view other_name, Json other_value);
// A JSON string.
Json TextValue(std::string_view text);

// A part of a turn of this kind.
bool HasPart(const ChatRequest& request, Part::Kind kind);

// The last turn answers calls.
bool AnswersCalls(const ChatRequest& request);

// The id of a call with nothing but letters, digits, "_" and "-": ids may come from the answer of
// another provider of the rotation.
std::string PlainCallId(std::string_view id);

// The schema of a tool's arguments, which is an object's; of an object with any members when there
// is none.
Json ObjectSchema(const Json* schema);

// The name of the tool whose arguments are the answer, unlike any of the caller's tools; "" when
// there is no schema to obey.
std::string OutputToolOf(const ChatRequest& request);
inline constexpr std::string_view kOutputToolDescription =
    "Gives the answer. Call it once, with the whole answer.";
// What the system is told: with the instruction that stands for json_object where a provider
// has no such mode.
std::string SystemWithJsonOnly(const ChatRequest& request);

// The list `member` ("content", "parts") of the last of `turns` when that has this role, else of a
// new turn.
Json& BlocksOfTurn(Json& turns, std::string_view role, std::string_view member);

// Copies the number `from` of the request to the member `to`, when it is there. InvalidField when
// it is no number.
absl::Status CopyNumber(const Json& request, std::string_view from, std::string_view to,
                        Json& object);

// The texts of an embeddings request. Lists of token numbers are refused: only the provider whose
// model it is could read them.
absl::StatusOr<std::vector<std::string_view>> ReadEmbeddingInput(const Json& request);

// A list of numbers; false when it is none.
bool ReadVector(const Json& list, std::vector<float>& vector);

// A provider's word for an error, in OpenAI's words.
struct ErrorRow {
  std::string_view theirs;  // case does not matter
  int status;               // of the answer; 0 = the upstream's
  std::string_view code;
};
// The error of the first row for `word`, else one that says only the status. An invalid request
// that is too long for the model gets OpenAI's code for that, as clients look for it.
OpenAiError ErrorOf(int status, std::string_view word, std::string_view message,
                    absl::Span<const ErrorRow> rows);

}  // namespace rota::provider
