// generateContent's answers, errors and streams -> OpenAI's.

#include <optional>
#include <utility>

#include "dataplane/provider/gemini.h"
#include "dataplane/provider/partial_arguments.h"
#include "dataplane/provider/translator_parts.h"

namespace rota::provider {
namespace {

constexpr FinishReasonRow kFinishReasons[] = {
    {"STOP", "stop"},
    {"MAX_TOKENS", "length"},
    {"SAFETY", "content_filter"},
    {"RECITATION", "content_filter"},
    {"BLOCKLIST", "content_filter"},
    {"PROHIBITED_CONTENT", "content_filter"},
    {"SPII", "content_filter"},
    {"IMAGE_SAFETY", "content_filter"},
    {"IMAGE_PROHIBITED_CONTENT", "content_filter"},
    {"LANGUAGE", "content_filter"},
    {"MODEL_ARMOR", "content_filter"},
    {"OTHER", "stop"},
    {"FINISH_REASON_UNSPECIFIED", "stop"},
    {"MALFORMED_FUNCTION_CALL", "stop"},
    {"UNEXPECTED_TOOL_CALL", "stop"},
    {"TOO_MANY_TOOL_CALLS", "stop"},
};

constexpr ErrorRow kErrors[] = {
    {"API_KEY_INVALID", 401, "invalid_api_key"},
    {"UNAUTHENTICATED", 401, "invalid_api_key"},
    {"PERMISSION_DENIED", 403, "permission_denied"},
    {"RESOURCE_EXHAUSTED", 429, "rate_limit_exceeded"},
    {"INVALID_ARGUMENT", 400, "invalid_request_error"},
    {"FAILED_PRECONDITION", 400, "invalid_request_error"},
    {"OUT_OF_RANGE", 400, "invalid_request_error"},
    {"NOT_FOUND", 404, "model_not_found"},
    {"DEADLINE_EXCEEDED", 504, "timeout"},
    {"CANCELLED", 499, "cancelled"},
    {"UNAVAILABLE", 503, "overloaded"},
    {"INTERNAL", 500, "server_error"},
    {"UNKNOWN", 500, "server_error"},
};
constexpr int kUnknownInStream = 502;

// {"error":{"code":429,"message":...,"status":"RESOURCE_EXHAUSTED","details":[{"reason":...}]}},
// for some methods in a list.
OpenAiError ErrorFrom(int status, const Json& document) {
  const Json& holder = document.is_array() && !document.empty() ? document.front() : document;
  const Json* error = Find(holder, "error");
  if (error == nullptr) {
    return ErrorOf(status, "", "", kErrors);
  }
  std::string_view word = FindText(*error, "status");
  if (const Json* details = Find(*error, "details"); details != nullptr && details->is_array()) {
    for (const Json& detail : *details) {
      // A wrong key is an INVALID_ARGUMENT there.
      if (FindText(detail, "reason") == "API_KEY_INVALID") {
        word = "API_KEY_INVALID";
      }
    }
  }
  return ErrorOf(status, word, FindText(*error, "message"), kErrors);
}

// usageMetadata, repeated with cumulative figures by every event of a stream.
void ReadUsage(const Json& document, Usage& usage) {
  const Json* counts = Find(document, "usageMetadata");
  if (counts == nullptr) {
    return;
  }
  const std::optional<uint64_t> prompt = FindCount(*counts, "promptTokenCount");
  const std::optional<uint64_t> candidates = FindCount(*counts, "candidatesTokenCount");
  const std::optional<uint64_t> thoughts = FindCount(*counts, "thoughtsTokenCount");
  if (prompt.has_value()) {
    // Results of Google's own tools are put into the prompt.
    usage.prompt = *prompt + FindCount(*counts, "toolUsePromptTokenCount").value_or(0);
  }
  if (candidates.has_value() || thoughts.has_value()) {
    usage.completion = candidates.value_or(0) + thoughts.value_or(0);
  }
  if (thoughts.has_value()) {
    usage.reasoning = thoughts;
  }
  if (const auto cached = FindCount(*counts, "cachedContentTokenCount"); cached.has_value()) {
    usage.cached = cached;
  }
  usage.total = usage.prompt.value_or(0) + usage.completion.value_or(0);
}

// The first candidate; null when there is none.
const Json* CandidateOf(const Json& document) {
  const Json* candidates = Find(document, "candidates");
  return candidates != nullptr && candidates->is_array() && !candidates->empty()
             ? &candidates->front()
             : nullptr;
}

// Its parts; null when there are none.
const Json* PartsOf(const Json* candidate) {
  const Json* content = candidate == nullptr ? nullptr : Find(*candidate, "content");
  const Json* parts = content == nullptr ? nullptr : Find(*content, "parts");
  return parts != nullptr && parts->is_array() ? parts : nullptr;
}

// The prompt was blocked: there are no candidates.
bool IsBlocked(const Json& document) {
  const Json* feedback = Find(document, "promptFeedback");
  return feedback != nullptr && !FindText(*feedback, "blockReason").empty();
}

// Google says STOP when it calls functions.
std::string_view FinishReason(std::string_view theirs, bool has_calls, std::string& unknown) {
  const std::string_view ours = FinishReasonOf(theirs, kFinishReasons, unknown);
  return ours == "stop" && has_calls ? "tool_calls" : ours;
}

std::string ArgumentsOf(const Json& call) {
  const Json* arguments = Find(call, "args");
  return arguments == nullptr ? "{}" : DumpJson(*arguments);
}

// A call whose arguments come piece by piece.
struct OpenCall {
  size_t index = 0;
  PartialArguments arguments;
};

class GeminiStream final : public StreamTranslator {
 public:
  explicit GeminiStream(const AnswerContext& context) : StreamTranslator(context) {}

  StreamState Add(const Frame& frame, std::string& out) override {
    const absl::StatusOr<Json> event = ParseJson(frame.data);
    if (!event.ok()) {
      return Fail("an event of the provider's stream is not JSON", out);
    }
    if (Find(*event, "error") != nullptr) {
      ChunkWriter::Error(ErrorFrom(kUnknownInStream, *event), out);
      return StreamState::kError;
    }
    ReadUsage(*event, usage_);
    if (has_ended_) {
      return StreamState::kEnded;
    }
    chunks_.SetId(FindText(*event, "responseId"));
    chunks_.SetModel(FindText(*event, "modelVersion"));
    const Json* candidate = CandidateOf(*event);
    if (const Json* parts = PartsOf(candidate); parts != nullptr) {
      for (const Json& part : *parts) {
        if (!AddPart(part, out)) {
          return Fail("the arguments of a call are larger than the limit", out);
        }
      }
    }
    if (IsBlocked(*event) && candidate == nullptr) {
      return End("content_filter", out);
    }
    const std::string_view reason =
        candidate == nullptr ? "" : FindText(*candidate, "finishReason");
    if (reason.empty()) {
      return StreamState::kOpen;
    }
    EndCall(out);
    return End(FinishReason(reason, chunks_.tool_calls() > 0, unknown_.finish_reason), out);
  }

 private:
  static StreamState Fail(const char* message, std::string& out) {
    ChunkWriter::Error({kUnknownInStream, message, "", "", ""}, out);
    return StreamState::kError;
  }

  StreamState End(std::string_view reason, std::string& out) {
    chunks_.FinishReason(reason, out);
    has_ended_ = true;
    return StreamState::kEnded;
  }

  // False when a call has grown too large.
  bool AddPart(const Json& part, std::string& out) {
    if (const Json* call = Find(part, "functionCall"); call != nullptr) {
      return AddCall(*call, out);
    }
    const std::string_view text = FindText(part, "text");
    if (text.empty()) {
      return true;  // a signature alone, or what Google's own tools do
    }
    if (FindFlag(part, "thought")) {
      chunks_.Reasoning(text, out);
    } else {
      chunks_.Content(text, out);
    }
    return true;
  }

  // Whole in one part; or begun by a part with the name, continued by parts with partialArgs and
  // ended by an empty one, or by whatever follows.
  bool AddCall(const Json& call, std::string& out) {
    const std::string_view name = FindText(call, "name");
    const Json* pieces = Find(call, "partialArgs");
    const bool continues = FindFlag(call, "willContinue");
    if (!name.empty()) {
      EndCall(out);
      const size_t index = chunks_.BeginToolCall(FindText(call, "id"), name, out);
      if (pieces == nullptr && !continues) {
        chunks_.ToolArguments(index, ArgumentsOf(call), out);
        chunks_.EndToolCall(index, out);
        return true;
      }
      open_call_.emplace();
      open_call_->index = index;
    }
    if (open_call_.has_value() && pieces != nullptr && pieces->is_array()) {
      for (const Json& piece : *pieces) {
        if (!open_call_->arguments.Add(piece)) {
          return false;
        }
      }
    }
    if (pieces == nullptr && !continues) {
      EndCall(out);
    }
    return true;
  }

  void EndCall(std::string& out) {
    if (open_call_.has_value()) {
      chunks_.ToolArguments(open_call_->index, open_call_->arguments.Text(), out);
      chunks_.EndToolCall(open_call_->index, out);
      open_call_.reset();
    }
  }

  std::optional<OpenCall> open_call_;
};

void AddPart(const Json& part, ChatResult& result) {
  if (const Json* call = Find(part, "functionCall"); call != nullptr) {
    result.tool_calls.push_back({std::string(FindText(*call, "id")),
                                 std::string(FindText(*call, "name")), ArgumentsOf(*call)});
    return;
  }
  const std::string_view text = FindText(part, "text");
  if (text.empty()) {
    return;
  }
  if (FindFlag(part, "thought")) {
    result.reasoning.append(text);
    return;
  }
  if (!result.content.has_value()) {
    result.content.emplace();
  }
  result.content->append(text);
}

}  // namespace

absl::StatusOr<TranslatedAnswer> GeminiTranslator::ChatAnswer(std::string_view body,
                                                              const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  if (!document.ok()) {
    return absl::DataLossError("the provider's answer is not JSON");
  }
  const Json* candidate = CandidateOf(*document);
  const bool is_blocked = candidate == nullptr && IsBlocked(*document);
  if (candidate == nullptr && !is_blocked) {
    return absl::DataLossError("the provider's answer has no candidates");
  }
  TranslatedAnswer answer;
  ChatResult result;
  result.id = FindText(*document, "responseId");
  result.model = FindText(*document, "modelVersion");
  if (const Json* parts = PartsOf(candidate); parts != nullptr) {
    for (const Json& part : *parts) {
      AddPart(part, result);
    }
  }
  result.finish_reason =
      is_blocked ? "content_filter"
                 : FinishReason(FindText(*candidate, "finishReason"), !result.tool_calls.empty(),
                                answer.unknown.finish_reason);
  if (!result.content.has_value() && result.tool_calls.empty()) {
    result.content = "";
  }
  ReadUsage(*document, result.usage);
  answer.usage = result.usage;
  answer.body = RenderChat(result, context);
  return answer;
}

OpenAiError GeminiTranslator::ErrorAnswer(const ErrorInput& input) const {
  const absl::StatusOr<Json> document = ParseJson(input.body);
  return ErrorFrom(input.status, document.ok() ? *document : Json());
}

std::unique_ptr<StreamTranslator> GeminiTranslator::NewStream(const AnswerContext& context) const {
  return std::make_unique<GeminiStream>(context);
}

}  // namespace rota::provider
