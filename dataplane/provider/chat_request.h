#pragma once

// A chat request in OpenAI's form, read and checked once for all dialects: what remains for a
// dialect is to write it down in its provider's words. Roles alternate here as most providers want
// it: adjacent messages of one role are one turn, tool results are parts of a user turn, system and
// developer messages stand apart.
//
// Pure and thread-safe. Views point into the request, which outlives the value. Errors are those of
// InvalidField and UnsupportedField: a 400 that names the place ("messages[2].content[0].type").

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/provider/json.h"

namespace rota::provider {

struct Part {
  enum class Kind : uint8_t { kText, kImage, kFile, kToolCall, kToolResult };
  Kind kind = Kind::kText;
  std::string_view text;        // kText
  std::string_view media_type;  // kImage, kFile: of `base64`: "image/png"
  std::string_view base64;      // kImage, kFile: "" when there is a `url`
  std::string_view url;         // kImage: http or https
  std::string_view name;      // kFile: of the file; kToolCall, kToolResult: of the tool, "" unknown
  std::string_view id;        // kToolCall, kToolResult
  Json arguments;             // kToolCall: an object
  std::vector<Part> content;  // kToolResult: texts and images
  std::string field;          // its place in the request, for errors
};

struct Turn {
  bool is_user = true;      // otherwise the assistant's
  std::vector<Part> parts;  // never empty; no empty texts
};

struct Tool {
  std::string_view name;
  std::string_view description;      // "" for none
  const Json* parameters = nullptr;  // null: takes none
  bool strict = false;
};

struct ToolChoice {
  enum class Kind : uint8_t { kAuto, kNone, kRequired, kOne };
  Kind kind = Kind::kAuto;
  std::string_view name;  // kOne
};

struct OutputFormat {
  enum class Kind : uint8_t { kText, kJsonObject, kJsonSchema };
  Kind kind = Kind::kText;
  std::string_view name;         // kJsonSchema
  const Json* schema = nullptr;  // kJsonSchema: never null
};

struct ChatRequest {
  std::string system;  // system and developer messages, an empty line between them; "" for none
  std::vector<Turn> turns;
  std::vector<Tool> tools;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  OutputFormat output;
  std::vector<std::string_view> stop;
  std::optional<uint64_t> max_tokens;  // max_completion_tokens before max_tokens
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::string_view user;
  std::string_view reasoning_effort;  // "" when it was not given
};

// Reads the members above. A request that has only system messages gets them as its user turn:
// providers want one.
absl::StatusOr<ChatRequest> ReadChatRequest(const Json& request);

// "data:image/png;base64,..."; false when it is none. (Data that is not base64 is refused by
// ReadChatRequest.)
bool ReadDataUrl(std::string_view url, std::string_view& media_type, std::string_view& base64);

// The texts of `parts`, nothing between them.
std::string TextOf(const std::vector<Part>& parts);

}  // namespace rota::provider
