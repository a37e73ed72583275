// Anthropic's answers, errors and streams -> OpenAI's.

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "dataplane/provider/anthropic.h"
#include "dataplane/provider/translator_parts.h"

namespace rota::provider {
namespace {

constexpr FinishReasonRow kFinishReasons[] = {
    {"end_turn", "stop"},          {"stop_sequence", "stop"},
    {"pause_turn", "stop"},        {"tool_use", "tool_calls"},
    {"max_tokens", "length"},      {"model_context_window_exceeded", "length"},
    {"refusal", "content_filter"},
};

constexpr ErrorRow kErrors[] = {
    {"invalid_request_error", 400, "invalid_request_error"},
    {"authentication_error", 401, "invalid_api_key"},
    {"billing_error", 402, "insufficient_quota"},
    {"permission_error", 403, "permission_denied"},
    {"not_found_error", 404, "model_not_found"},
    {"request_too_large", 413, "request_too_large"},
    {"rate_limit_error", 429, "rate_limit_exceeded"},
    {"timeout_error", 504, "timeout"},
    {"overloaded_error", 503, "overloaded"},
    {"api_error", 500, "server_error"},
};
constexpr int kOverloaded = 529;

// `document`: {"type":"error","error":{"type":...,"message":...}}; `status` 0: inside a stream.
OpenAiError ErrorIn(const Json& document, int status) {
  const Json* inner = Find(document, "error");
  const Json error = inner == nullptr ? Json() : *inner;
  if (status == 0) {
    status = 500;
  } else if (status == kOverloaded) {
    status = 503;
  }
  return ErrorOf(status, FindText(error, "type"), FindText(error, "message"), kErrors);
}

// One answer's blocks. `output_tool`: the tool whose arguments are the content.
void ReadBlocks(const Json& blocks, const std::string& output_tool, ChatResult& result) {
  std::string content;
  bool has_content = false;
  for (const Json& block : blocks) {
    const std::string_view type = FindText(block, "type");
    if (type == "text") {
      content.append(FindText(block, "text"));
      has_content = true;
    } else if (type == "thinking") {
      result.reasoning.append(FindText(block, "thinking"));
    } else if (type == "tool_use") {
      const Json* input = Find(block, "input");
      std::string arguments = input == nullptr ? "{}" : DumpJson(*input);
      if (!output_tool.empty() && FindText(block, "name") == output_tool) {
        content = std::move(arguments);  // text in front of it is not part of the document
        has_content = true;
        continue;
      }
      result.tool_calls.push_back({std::string(FindText(block, "id")),
                                   std::string(FindText(block, "name")), std::move(arguments)});
    }
    // Everything else belongs to the provider: its own tools, redacted thinking.
  }
  if (has_content) {
    result.content = std::move(content);
  }
}

class AnthropicStream final : public StreamTranslator {
 public:
  explicit AnthropicStream(const AnswerContext& context)
      : StreamTranslator(context), output_tool_(context.plan->output_tool) {}

  StreamState Add(const Frame& frame, std::string& out) override {
    absl::StatusOr<Json> event = ParseJson(frame.data);
    if (!event.ok()) {
      ChunkWriter::Error({502, "an event of the provider's stream is not JSON", "", "", ""}, out);
      return StreamState::kError;
    }
    const std::string_view type = FindText(*event, "type");
    if (type == "content_block_delta") {
      AddDelta(*event, out);
    } else if (type == "content_block_start") {
      StartBlock(*event, out);
    } else if (type == "content_block_stop") {
      StopBlock(*event, out);
    } else if (type == "message_start") {
      return StartMessage(*event, frame.data, out);
    } else if (type == "message_delta") {
      UpdateUsage(frame.data, usage_);
      if (const Json* delta = Find(*event, "delta")) {
        SetFinish(FindText(*delta, "stop_reason"), out);
      }
    } else if (type == "message_stop") {
      SetFinish("end_turn", out);
      has_ended_ = true;
      return StreamState::kEnded;
    } else if (type == "error") {
      ChunkWriter::Error(ErrorIn(*event, 0), out);
      return StreamState::kError;
    } else if (type != "ping") {
      NoteUnknownEvent(type);
    }
    return StreamState::kOpen;
  }

 private:
  enum class Kind : uint8_t { kText, kThinking, kCall, kOutput, kOther };
  struct Block {
    uint64_t index = 0;
    Kind kind = Kind::kOther;
    size_t call = 0;
    bool has_output = false;
  };
  // Blocks that are open at one time; providers have one.
  static constexpr size_t kMaxOpenBlocks = 64;

  StreamState StartMessage(const Json& event, std::string_view data, std::string& out) {
    const Json* message = Find(event, "message");
    const std::string id(message == nullptr ? "" : FindText(*message, "id"));
    if (has_message_ && id != message_id_) {
      // The halves of a tool call must not be joined across two answers.
      ChunkWriter::Error({502, "the provider began another answer inside this one", "", "", ""},
                         out);
      return StreamState::kError;
    }
    if (!has_message_) {
      has_message_ = true;
      message_id_ = id.substr(0, 256);
      chunks_.SetId(id);
      chunks_.SetModel(message == nullptr ? "" : FindText(*message, "model"));
      chunks_.Begin(out);
    }
    UpdateUsage(data, usage_);
    return StreamState::kOpen;
  }

  void StartBlock(const Json& event, std::string& out) {
    const Json* content = Find(event, "content_block");
    if (content == nullptr || blocks_.size() == kMaxOpenBlocks) {
      return;
    }
    const std::string_view type = FindText(*content, "type");
    Block block;
    block.index = FindCount(event, "index").value_or(0);
    if (type == "text") {
      block.kind = Kind::kText;
      AddText(FindText(*content, "text"), out);
    } else if (type == "thinking") {
      block.kind = Kind::kThinking;
      chunks_.Reasoning(FindText(*content, "thinking"), out);
    } else if (type == "tool_use") {
      StartCall(*content, block, out);
    }
    blocks_.push_back(block);
  }

  void StartCall(const Json& content, Block& block, std::string& out) {
    const std::string_view name = FindText(content, "name");
    const bool is_output = !output_tool_.empty() && name == output_tool_;
    block.kind = is_output ? Kind::kOutput : Kind::kCall;
    if (!is_output) {
      block.call = chunks_.BeginToolCall(FindText(content, "id"), name, out);
    }
    // Usually empty, with the arguments to follow; other servers send them all at once.
    if (const Json* input = Find(content, "input"); input != nullptr && !input->empty()) {
      AddArguments(DumpJson(*input), block, out);
    }
  }

  void AddText(std::string_view text, std::string& out) {
    // Beside structured output, text is no part of the document.
    if (output_tool_.empty()) {
      chunks_.Content(text, out);
    }
  }

  void AddArguments(std::string_view fragment, Block& block, std::string& out) {
    if (block.kind == Kind::kOutput) {
      block.has_output = block.has_output || !fragment.empty();
      chunks_.Content(fragment, out);
    } else if (block.kind == Kind::kCall) {
      chunks_.ToolArguments(block.call, fragment, out);
    }
  }

  std::vector<Block>::iterator FindBlock(const Json& event) {
    const uint64_t index = FindCount(event, "index").value_or(0);
    return std::find_if(blocks_.begin(), blocks_.end(),
                        [index](const Block& block) { return block.index == index; });
  }

  void AddDelta(const Json& event, std::string& out) {
    const Json* delta = Find(event, "delta");
    if (delta == nullptr) {
      return;
    }
    const std::string_view type = FindText(*delta, "type");
    if (type == "text_delta") {
      AddText(FindText(*delta, "text"), out);
    } else if (type == "thinking_delta") {
      chunks_.Reasoning(FindText(*delta, "thinking"), out);
    } else if (type == "input_json_delta") {
      if (const auto block = FindBlock(event); block != blocks_.end()) {
        AddArguments(FindText(*delta, "partial_json"), *block, out);
      }
    } else if (type != "signature_delta" && type != "citations_delta") {
      NoteUnknownEvent(type);
    }
  }

  void StopBlock(const Json& event, std::string& out) {
    const auto block = FindBlock(event);
    if (block == blocks_.end()) {
      return;
    }
    if (block->kind == Kind::kCall) {
      chunks_.EndToolCall(block->call, out);
    } else if (block->kind == Kind::kOutput && !block->has_output) {
      chunks_.Content("{}", out);
    }
    blocks_.erase(block);
  }

  void SetFinish(std::string_view reason, std::string& out) {
    if (reason.empty()) {
      return;
    }
    std::string_view ours = FinishReasonOf(reason, kFinishReasons, unknown_.finish_reason);
    if (ours == "tool_calls" && chunks_.tool_calls() == 0) {
      ours = "stop";  // the only call was the structured output
    }
    chunks_.FinishReason(ours, out);
  }

  const std::string output_tool_;
  bool has_message_ = false;
  std::string message_id_;
  std::vector<Block> blocks_;
};

}  // namespace

absl::StatusOr<TranslatedAnswer> AnthropicTranslator::ChatAnswer(
    std::string_view body, const AnswerContext& context) const {
  absl::StatusOr<Json> document = ParseJson(body);
  if (!document.ok()) {
    return absl::DataLossError("the provider's answer is not JSON");
  }
  const Json* blocks = Find(*document, "content");
  if (blocks == nullptr || !blocks->is_array()) {
    return absl::DataLossError("the provider's answer has no content");
  }
  TranslatedAnswer answer;
  ChatResult result;
  result.id = FindText(*document, "id");
  result.model = FindText(*document, "model");
  ReadBlocks(*blocks, context.plan->output_tool, result);
  const std::string_view reason = FindText(*document, "stop_reason");
  if (!reason.empty()) {
    result.finish_reason = FinishReasonOf(reason, kFinishReasons, answer.unknown.finish_reason);
  }
  if (result.finish_reason == "tool_calls" && result.tool_calls.empty()) {
    result.finish_reason = "stop";
  }
  if (!result.content.has_value() && result.tool_calls.empty()) {
    result.content = "";
  }
  UpdateUsage(body, result.usage);
  answer.usage = result.usage;
  answer.body = RenderChat(result, context);
  return answer;
}

OpenAiError AnthropicTranslator::ErrorAnswer(const ErrorInput& input) const {
  absl::StatusOr<Json> document = ParseJson(input.body);
  return ErrorIn(document.ok() ? *document : Json(), input.status);
}

std::unique_ptr<StreamTranslator> AnthropicTranslator::NewStream(
    const AnswerContext& context) const {
  return std::make_unique<AnthropicStream>(context);
}

}  // namespace rota::provider
