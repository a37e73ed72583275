#pragma once

// OpenAI's answers as values, and their bytes: chat completions, stream chunks, embeddings, errors.
// Dialects fill these in and never write OpenAI's JSON themselves, so that every provider's answers
// have one form.
//
// Pure. Values and functions are thread-safe; ChunkWriter is thread-compatible.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "dataplane/provider/json.h"
#include "dataplane/provider/usage.h"

namespace rota::provider {

// What the translation of an answer has to know of its request.
struct AnswerPlan {
  bool is_stream = false;
  bool include_usage = false;  // stream_options.include_usage
  bool base64 = false;         // embeddings: encoding_format base64
  // Structured output that is asked for as a call of this tool: its arguments are the content.
  std::string output_tool;
};
// Reads stream, stream_options.include_usage and encoding_format.
AnswerPlan PlanOf(const Json& request);

// Views outlive the call; NewStream copies what it keeps.
struct AnswerContext {
  const AnswerPlan* plan = nullptr;  // never null
  std::string_view model;            // the target's, for answers that do not say their own
  std::string_view id;               // "chatcmpl-...", for answers without one
  int64_t created = 0;               // seconds since 1970
};

struct ToolCall {
  std::string id;  // "" = one is made from the answer's id and the call's index
  std::string name;
  std::string arguments;  // JSON text; "" = "{}"
};

struct ChatResult {
  std::string id;                      // "" = the context's
  std::string model;                   // "" = the context's
  std::optional<std::string> content;  // absent: null
  std::string reasoning;               // reasoning_content; "" = not there
  std::optional<std::string> refusal;
  std::vector<ToolCall> tool_calls;
  std::string_view finish_reason = "stop";  // stop, length, tool_calls, content_filter
  Usage usage;
};
// The id of a tool call that has none: from the answer's id and the call's index.
std::string MadeCallId(std::string_view answer_id, size_t index);
void AppendUsage(const Usage& usage, std::string& out);
std::string RenderChat(const ChatResult& result, const AnswerContext& context);

// Encoded as the plan says: numbers, or base64 of little-endian 32-bit floats.
struct EmbeddingsResult {
  std::string model;  // "" = the context's
  std::vector<std::vector<float>> embeddings;
  Usage usage;
};
std::string RenderEmbeddings(const EmbeddingsResult& result, const AnswerContext& context);

struct OpenAiError {
  int status = 500;     // of the answer to the client: the upstream's, 529 as 503
  std::string message;  // goes through CleanMessage when it is rendered
  std::string type;     // "" = by the status: invalid_request_error, rate_limit_error, ...
  std::string code;     // "" = null
  std::string param;    // "" = null
};
std::string RenderError(const OpenAiError& error);
// OpenAI's `type` for a status.
std::string_view ErrorTypeOf(int status);
// A provider's message without what is nobody's business: keys, ARNs, numbers of accounts, ids of
// organisations; at most 2 KiB. UTF-8 in, UTF-8 out.
std::string CleanMessage(std::string_view message);

// Writes one stream of chunks. The role goes out with the first chunk by itself.
class ChunkWriter {
 public:
  explicit ChunkWriter(const AnswerContext& context);
  // Before the first chunk, when the upstream says its own; "" changes nothing.
  void SetId(std::string_view id);
  void SetModel(std::string_view model);

  // The role alone, when the upstream has begun and said nothing yet.
  void Begin(std::string& out);
  void Content(std::string_view text, std::string& out);
  void Reasoning(std::string_view text, std::string& out);
  void Refusal(std::string_view text, std::string& out);
  // A tool call; its index in `tool_calls`, without gaps. id "" = one is made. At most
  // kMaxToolCalls; later ones are nobody's and kMaxToolCalls is returned, which the two below
  // ignore.
  static constexpr size_t kMaxToolCalls = 1024;
  size_t BeginToolCall(std::string_view id, std::string_view name, std::string& out);
  void ToolArguments(size_t index, std::string_view fragment, std::string& out);
  // The call is whole: "{}" when no argument has come.
  void EndToolCall(size_t index, std::string& out);
  size_t tool_calls() const { return has_arguments_.size(); }
  // Exactly once per stream; later ones are ignored.
  void FinishReason(std::string_view reason, std::string& out);
  bool has_finished() const { return has_finished_; }
  // The last two events: usage if the client asked for it, and "[DONE]".
  void End(const Usage& usage, std::string& out);
  // An error event; nothing may follow.
  static void Error(const OpenAiError& error, std::string& out);

 private:
  void OpenDelta(std::string& out);
  void CloseDelta(std::string_view finish_reason, std::string& out);
  void AddText(std::string_view member, std::string_view text, std::string& out);
  void RenderPrefix();

  static constexpr size_t kMaxName = 256;  // of ids and models
  bool include_usage_ = false;
  bool has_begun_ = false;
  bool has_finished_ = false;
  std::string id_;
  std::string model_;
  int64_t created_ = 0;
  std::string prefix_;               // what every chunk begins with
  std::vector<bool> has_arguments_;  // of each call
};

// Finish reasons of other providers in OpenAI's words.
struct FinishReasonRow {
  std::string_view theirs;
  std::string_view ours;
};
// A reason that no row has is "stop" and is put into `unknown` (at most 64 bytes).
std::string_view FinishReasonOf(std::string_view theirs, absl::Span<const FinishReasonRow> rows,
                                std::string& unknown);

}  // namespace rota::provider
