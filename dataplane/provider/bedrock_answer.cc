// Converse's answers, errors and streams -> OpenAI's.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/translator_parts.h"

namespace rota::provider {
namespace {

constexpr FinishReasonRow kFinishReasons[] = {
    {"end_turn", "stop"},
    {"stop_sequence", "stop"},
    {"tool_use", "tool_calls"},
    {"max_tokens", "length"},
    {"model_context_window_exceeded", "length"},
    {"guardrail_intervened", "content_filter"},
    {"content_filtered", "content_filter"},
    {"refusal", "content_filter"},
};

// Inside a stream there is no status but this one.
constexpr ErrorRow kErrors[] = {
    {"ThrottlingException", 429, "rate_limit_exceeded"},
    {"ServiceQuotaExceededException", 429, "insufficient_quota"},
    {"ModelNotReadyException", 429, "model_not_ready"},
    {"ValidationException", 400, "invalid_request_error"},
    {"AccessDeniedException", 403, "permission_denied"},
    {"UnrecognizedClientException", 401, "invalid_api_key"},
    {"InvalidSignatureException", 401, "invalid_api_key"},
    {"ExpiredTokenException", 401, "invalid_api_key"},
    {"MissingAuthenticationTokenException", 401, "invalid_api_key"},
    {"ResourceNotFoundException", 404, "model_not_found"},
    {"ModelTimeoutException", 504, "timeout"},
    {"ModelErrorException", 502, "server_error"},
    {"ModelStreamErrorException", 502, "server_error"},
    {"InternalServerException", 500, "server_error"},
    {"ServiceUnavailableException", 503, "overloaded"},
};
constexpr int kUnknownInStream = 502;

// "com.amazon.coral#ThrottlingException:http://..." -> "ThrottlingException".
std::string_view BareName(std::string_view name) {
  name = name.substr(0, name.find(':'));
  const size_t hash = name.rfind('#');
  return hash == std::string_view::npos ? name : name.substr(hash + 1);
}

// `document`: {"message":"..."}, for some services {"Message":...} and {"__type":...}.
OpenAiError ErrorFrom(int status, std::string_view name, const Json& document) {
  if (name.empty()) {
    name = FindText(document, "__type");
  }
  std::string_view message = FindText(document, "message");
  if (message.empty()) {
    message = FindText(document, "Message");
  }
  return ErrorOf(status, BareName(name), message, kErrors);
}

// The object `usage` of an answer or of a metadata event: the cached part of the prompt is counted
// apart there.
void ReadUsage(const Json& holder, Usage& usage) {
  const Json* counts = Find(holder, "usage");
  if (counts == nullptr) {
    return;
  }
  const std::optional<uint64_t> input = FindCount(*counts, "inputTokens");
  const std::optional<uint64_t> output = FindCount(*counts, "outputTokens");
  const std::optional<uint64_t> read = FindCount(*counts, "cacheReadInputTokens");
  if (input.has_value()) {
    usage.prompt =
        *input + read.value_or(0) + FindCount(*counts, "cacheWriteInputTokens").value_or(0);
  }
  if (output.has_value()) {
    usage.completion = output;
  }
  if (read.has_value()) {
    usage.cached = read;
  }
  usage.total = std::max(FindCount(*counts, "totalTokens").value_or(0),
                         usage.prompt.value_or(0) + usage.completion.value_or(0));
}

// The block is a call for the caller: of no tool of the service's own, and not of the placeholder.
bool IsCallersTool(const Json& use) {
  return FindText(use, "type") != "server_tool_use" &&
         FindText(use, "name") != BedrockTranslator::kPlaceholderTool;
}

// A reason for the caller, who may not have got any of the calls.
std::string_view FinishReason(std::string_view theirs, bool has_calls, std::string& unknown) {
  const std::string_view ours = FinishReasonOf(theirs, kFinishReasons, unknown);
  return ours == "tool_calls" && !has_calls ? "stop" : ours;
}

// Text that quotes sources: {"content":[{"text":"..."}],"citations":[...]}.
std::string QuotedText(const Json& quoted) {
  std::string text;
  if (const Json* pieces = Find(quoted, "content"); pieces != nullptr && pieces->is_array()) {
    for (const Json& piece : *pieces) {
      text.append(FindText(piece, "text"));
    }
  }
  return text;
}

// One answer's blocks.
class BlockReader {
 public:
  BlockReader(std::string_view output_tool, ChatResult& result)
      : output_tool_(output_tool), result_(result) {}

  void Add(const Json& block) {
    if (const Json* text = Find(block, "text"); text != nullptr) {
      AddText(FindText(block, "text"));
    } else if (const Json* use = Find(block, "toolUse"); use != nullptr) {
      AddCall(*use);
    } else if (const Json* reasoning = Find(block, "reasoningContent"); reasoning != nullptr) {
      if (const Json* thought = Find(*reasoning, "reasoningText"); thought != nullptr) {
        result_.reasoning.append(FindText(*thought, "text"));
      }
    } else if (const Json* quoted = Find(block, "citationsContent"); quoted != nullptr) {
      AddText(QuotedText(*quoted));
    }
    // Everything else is the service's: results of its own tools, guardrails' notes.
  }

 private:
  void AddText(std::string_view text) {
    if (has_output_) {
      return;
    }
    if (!result_.content.has_value()) {
      result_.content.emplace();
    }
    result_.content->append(text);
  }

  void AddCall(const Json& use) {
    if (!IsCallersTool(use)) {
      return;
    }
    const Json* input = Find(use, "input");
    std::string arguments = input == nullptr ? "{}" : DumpJson(*input);
    if (!output_tool_.empty() && FindText(use, "name") == output_tool_) {
      has_output_ = true;  // text beside it is no part of the document
      result_.content = std::move(arguments);
      return;
    }
    result_.tool_calls.push_back({std::string(FindText(use, "toolUseId")),
                                  std::string(FindText(use, "name")), std::move(arguments)});
  }

  const std::string_view output_tool_;
  ChatResult& result_;
  bool has_output_ = false;
};

class BedrockStream final : public StreamTranslator {
 public:
  explicit BedrockStream(const AnswerContext& context)
      : StreamTranslator(context), output_tool_(context.plan->output_tool) {}

  StreamState Add(const Frame& frame, std::string& out) override {
    const absl::StatusOr<Json> event = ParseJson(frame.data);
    if (frame.is_exception) {
      return Fail(ErrorFrom(kUnknownInStream, frame.name, event.ok() ? *event : Json()), out);
    }
    if (!event.ok()) {
      return Fail({kUnknownInStream, "an event of the provider's stream is not JSON", "", "", ""},
                  out);
    }
    if (frame.name == "metadata") {
      ReadUsage(*event, usage_);  // before or behind the end
    } else if (!has_ended_) {
      return AddToMessage(frame.name, *event, out);
    }
    return has_ended_ ? StreamState::kEnded : StreamState::kOpen;
  }

 private:
  enum class Kind : uint8_t { kText, kCall, kOutput, kOther };
  struct Block {
    uint64_t index = 0;
    Kind kind = Kind::kText;
    size_t call = 0;
    bool has_output = false;
  };
  // Blocks that are open at one time; models have one.
  static constexpr size_t kMaxOpenBlocks = 64;

  static StreamState Fail(const OpenAiError& error, std::string& out) {
    ChunkWriter::Error(error, out);
    return StreamState::kError;
  }

  StreamState AddToMessage(std::string_view name, const Json& event, std::string& out) {
    if (name == "contentBlockDelta") {
      AddDelta(event, out);
    } else if (name == "contentBlockStart") {
      StartBlock(event, out);
    } else if (name == "contentBlockStop") {
      StopBlock(event, out);
    } else if (name == "messageStart") {
      if (has_content_) {
        // The halves of two answers must not be joined.
        return Fail(
            {kUnknownInStream, "the provider began another answer inside this one", "", "", ""},
            out);
      }
      chunks_.Begin(out);
    } else if (name == "messageStop") {
      CloseBlocks(out);
      const std::string_view reason = FindText(event, "stopReason");
      chunks_.FinishReason(FinishReason(reason, chunks_.tool_calls() > 0, unknown_.finish_reason),
                           out);
      has_ended_ = true;
      return StreamState::kEnded;
    } else {
      NoteUnknownEvent(name);
    }
    return StreamState::kOpen;
  }

  static uint64_t IndexOf(const Json& event) {
    return FindCount(event, "contentBlockIndex").value_or(0);
  }

  std::vector<Block>::iterator FindBlock(uint64_t index) {
    return std::find_if(blocks_.begin(), blocks_.end(),
                        [index](const Block& block) { return block.index == index; });
  }

  void StartBlock(const Json& event, std::string& out) {
    has_content_ = true;
    const Json* start = Find(event, "start");
    const Json* use = start == nullptr ? nullptr : Find(*start, "toolUse");
    if (blocks_.size() == kMaxOpenBlocks) {
      return;
    }
    Block block;
    block.index = IndexOf(event);
    if (use != nullptr) {
      const std::string_view name = FindText(*use, "name");
      if (!IsCallersTool(*use)) {
        block.kind = Kind::kOther;
      } else if (!output_tool_.empty() && name == output_tool_) {
        block.kind = Kind::kOutput;
        has_output_ = true;
      } else {
        block.kind = Kind::kCall;
        block.call = chunks_.BeginToolCall(FindText(*use, "toolUseId"), name, out);
      }
    } else if (start != nullptr && !start->empty()) {
      block.kind = Kind::kOther;  // a tool's result, an image
    }
    blocks_.push_back(block);
  }

  void AddDelta(const Json& event, std::string& out) {
    has_content_ = true;
    const Json* delta = Find(event, "delta");
    if (delta == nullptr) {
      return;
    }
    const auto block = FindBlock(IndexOf(event));
    // Text comes with or without a contentBlockStart; everything else has one.
    const Kind kind = block == blocks_.end() ? Kind::kText : block->kind;
    if (const Json* use = Find(*delta, "toolUse"); use != nullptr) {
      const std::string_view fragment = FindText(*use, "input");
      if (kind == Kind::kCall) {
        chunks_.ToolArguments(block->call, fragment, out);
      } else if (kind == Kind::kOutput && !fragment.empty()) {
        block->has_output = true;
        chunks_.Content(fragment, out);
      }
    } else if (const Json* reasoning = Find(*delta, "reasoningContent"); reasoning != nullptr) {
      chunks_.Reasoning(FindText(*reasoning, "text"), out);
    } else if (kind == Kind::kText && !has_output_) {
      chunks_.Content(FindText(*delta, "text"), out);
    }
  }

  void StopBlock(const Json& event, std::string& out) {
    if (const auto block = FindBlock(IndexOf(event)); block != blocks_.end()) {
      Close(*block, out);
      blocks_.erase(block);
    }
  }

  void Close(const Block& block, std::string& out) {
    if (block.kind == Kind::kCall) {
      chunks_.EndToolCall(block.call, out);
    } else if (block.kind == Kind::kOutput && !block.has_output) {
      chunks_.Content("{}", out);
    }
  }

  // What the upstream has not stopped is over with the message.
  void CloseBlocks(std::string& out) {
    for (const Block& block : blocks_) {
      Close(block, out);
    }
    blocks_.clear();
  }

  const std::string output_tool_;
  bool has_content_ = false;
  bool has_output_ = false;  // the output tool has been called: text beside it is left out
  std::vector<Block> blocks_;
};

}  // namespace

absl::StatusOr<TranslatedAnswer> BedrockTranslator::ChatAnswer(std::string_view body,
                                                               const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  if (!document.ok()) {
    return absl::DataLossError("the provider's answer is not JSON");
  }
  const Json* output = Find(*document, "output");
  const Json* message = output == nullptr ? nullptr : Find(*output, "message");
  const Json* blocks = message == nullptr ? nullptr : Find(*message, "content");
  if (blocks == nullptr || !blocks->is_array()) {
    return absl::DataLossError("the provider's answer has no output.message.content");
  }
  TranslatedAnswer answer;
  ChatResult result;
  BlockReader reader(context.plan->output_tool, result);
  for (const Json& block : *blocks) {
    reader.Add(block);
  }
  result.finish_reason = FinishReason(FindText(*document, "stopReason"), !result.tool_calls.empty(),
                                      answer.unknown.finish_reason);
  if (!result.content.has_value() && result.tool_calls.empty()) {
    result.content = "";
  }
  ReadUsage(*document, result.usage);
  answer.usage = result.usage;
  answer.body = RenderChat(result, context);
  return answer;
}

OpenAiError BedrockTranslator::ErrorAnswer(const ErrorInput& input) const {
  const absl::StatusOr<Json> document = ParseJson(input.body);
  return ErrorFrom(input.status, input.error_type, document.ok() ? *document : Json());
}

std::unique_ptr<StreamTranslator> BedrockTranslator::NewStream(const AnswerContext& context) const {
  return std::make_unique<BedrockStream>(context);
}

}  // namespace rota::provider
