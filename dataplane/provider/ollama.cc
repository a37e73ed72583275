#include "dataplane/provider/ollama.h"

#include <utility>

#include "common/status_macros.h"
#include "dataplane/provider/translator_parts.h"

namespace rota::provider {
namespace {

constexpr FieldRule kFields[] = {
    {"messages", FieldUse::kTranslated, "texts and images (data URLs only)"},
    {"max_tokens", FieldUse::kTranslated, "options.num_predict"},
    {"max_completion_tokens", FieldUse::kTranslated, "as max_tokens"},
    {"temperature", FieldUse::kTranslated, ""},
    {"top_p", FieldUse::kTranslated, ""},
    {"top_k", FieldUse::kTranslated, ""},
    {"seed", FieldUse::kTranslated, ""},
    {"presence_penalty", FieldUse::kTranslated, ""},
    {"frequency_penalty", FieldUse::kTranslated, ""},
    {"num_ctx", FieldUse::kTranslated, "Ollama's own"},
    {"repeat_penalty", FieldUse::kTranslated, "Ollama's own"},
    {"min_p", FieldUse::kTranslated, "Ollama's own"},
    {"keep_alive", FieldUse::kTranslated, "Ollama's own"},
    {"stop", FieldUse::kTranslated, ""},
    {"tools", FieldUse::kTranslated, "functions"},
    {"tool_choice", FieldUse::kTranslated, "auto and none; a call cannot be forced: 400"},
    {"response_format", FieldUse::kTranslated, "format"},
    {"reasoning_effort", FieldUse::kTranslated, "think"},
    {"logprobs", FieldUse::kRefused, "gives no log probabilities in this form"},
    {"top_logprobs", FieldUse::kRefused, "gives no log probabilities in this form"},
    {"web_search_options", FieldUse::kRefused, "has no web search"},
    {"parallel_tool_calls", FieldUse::kDropped, ""},
    {"user", FieldUse::kDropped, ""},
};

constexpr FieldRule kEmbeddingFields[] = {
    {"input", FieldUse::kTranslated, "texts, no tokens"},
    {"encoding_format", FieldUse::kTranslated, "base64 is made here"},
    {"dimensions", FieldUse::kTranslated, ""},
    {"keep_alive", FieldUse::kTranslated, "Ollama's own"},
    {"user", FieldUse::kDropped, ""},
};

constexpr FinishReasonRow kFinishReasons[] = {
    {"stop", "stop"},
    {"length", "length"},
    {"load", "stop"},
    {"unload", "stop"},
};

constexpr int kUnknownInStream = 502;

// "/api/chat"; "/chat" when the endpoint's URL ends in /api already.
std::string PathOf(const TargetContext& target, std::string_view name) {
  std::string path = target.base_path.ends_with("/api") ? "" : "/api";
  return path.append(name);
}

// One message being written: texts are joined, images stand beside them.
class MessageWriter {
 public:
  explicit MessageWriter(std::string_view role) : message_(ObjectOf("role", TextValue(role))) {}

  absl::Status Add(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText:
        text_.append(part.text);
        return absl::OkStatus();
      case Part::Kind::kImage:
        if (part.base64.empty()) {
          return UnsupportedField(part.field, "takes images as data URLs only");
        }
        message_["images"].push_back(TextValue(part.base64));
        return absl::OkStatus();
      case Part::Kind::kToolCall: {
        Json function = ObjectOf("name", TextValue(part.name));
        function["arguments"] = part.arguments;
        message_["tool_calls"].push_back(ObjectOf("function", std::move(function)));
        return absl::OkStatus();
      }
      case Part::Kind::kFile:
      case Part::Kind::kToolResult:
        break;
    }
    return UnsupportedField(part.field, "takes texts and images only");
  }

  void SetToolName(std::string_view name) { message_["tool_name"] = TextValue(name); }

  Json Take() {
    message_["content"] = std::move(text_);
    return std::move(message_);
  }

 private:
  Json message_;
  std::string text_;
};

// A turn is one message, but each result of a call is a message of its own, in front of the rest.
absl::Status AddTurn(const Turn& turn, Json& messages) {
  MessageWriter rest(turn.is_user ? "user" : "assistant");
  bool has_rest = false;
  for (const Part& part : turn.parts) {
    if (part.kind != Part::Kind::kToolResult) {
      RETURN_IF_ERROR(rest.Add(part));
      has_rest = true;
      continue;
    }
    MessageWriter result("tool");
    for (const Part& inner : part.content) {
      RETURN_IF_ERROR(result.Add(inner));
    }
    if (!part.name.empty()) {
      result.SetToolName(part.name);
    }
    messages.push_back(result.Take());
  }
  if (has_rest) {
    messages.push_back(rest.Take());
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> MessagesOf(const ChatRequest& chat) {
  Json messages = Json::array();
  if (!chat.system.empty()) {
    Json system = ObjectOf("role", "system");
    system["content"] = chat.system;
    messages.push_back(std::move(system));
  }
  for (const Turn& turn : chat.turns) {
    RETURN_IF_ERROR(AddTurn(turn, messages));
  }
  return messages;
}

Json ToolsOf(const ChatRequest& chat) {
  Json tools = Json::array();
  for (const Tool& tool : chat.tools) {
    Json function = ObjectOf("name", TextValue(tool.name));
    function["description"] = TextValue(tool.description);
    function["parameters"] = ObjectSchema(tool.parameters);
    Json written = ObjectOf("type", "function");
    written["function"] = std::move(function);
    tools.push_back(std::move(written));
  }
  return tools;
}

absl::StatusOr<Json> OptionsOf(const Json& request, const ChatRequest& chat,
                               const TargetContext& target) {
  Json options = Json::object();
  for (const std::string_view field : {"temperature", "top_p", "top_k", "seed", "presence_penalty",
                                       "frequency_penalty", "num_ctx", "repeat_penalty", "min_p"}) {
    RETURN_IF_ERROR(CopyNumber(request, field, field, options));
  }
  const std::optional<uint64_t> max_tokens =
      chat.max_tokens.has_value() ? chat.max_tokens : target.options->max_tokens;
  if (max_tokens.has_value()) {
    options["num_predict"] = *max_tokens;
  }
  for (const std::string_view word : chat.stop) {
    options["stop"].push_back(TextValue(word));
  }
  return options;
}

// Models with levels take their names, others true and false: Ollama accepts both.
Json ThinkOf(std::string_view effort) {
  if (effort == "none") {
    return Json(false);
  }
  if (effort == "minimal") {
    return Json("low");
  }
  return effort == "xhigh" ? Json("high") : TextValue(effort);
}

// The members of the request beside model and messages.
absl::Status AddSettings(const Json& request, const ChatRequest& chat, const TargetContext& target,
                         Json& body) {
  const ToolChoice::Kind choice = chat.tool_choice.kind;
  if (choice == ToolChoice::Kind::kRequired || choice == ToolChoice::Kind::kOne) {
    return UnsupportedField("tool_choice", "cannot be made to call a tool");
  }
  if (!chat.tools.empty() && choice == ToolChoice::Kind::kAuto) {
    body["tools"] = ToolsOf(chat);
  }
  if (chat.output.kind == OutputFormat::Kind::kJsonObject) {
    body["format"] = "json";
  } else if (chat.output.kind == OutputFormat::Kind::kJsonSchema) {
    body["format"] = *chat.output.schema;
  }
  if (!chat.reasoning_effort.empty()) {
    body["think"] = ThinkOf(chat.reasoning_effort);
  }
  if (const Json* keep_alive = Find(request, "keep_alive"); keep_alive != nullptr) {
    body["keep_alive"] = *keep_alive;
  }
  ASSIGN_OR_RETURN(Json options, OptionsOf(request, chat, target));
  if (!options.empty()) {
    body["options"] = std::move(options);
  }
  return absl::OkStatus();
}

// {"error":"model 'x' not found"}
OpenAiError ErrorFrom(int status, const Json& document) {
  const Json* inner = Find(document, "error");
  const std::string_view message = inner != nullptr && inner->is_object()
                                       ? FindText(*inner, "message")
                                       : FindText(document, "error");
  OpenAiError error = ErrorOf(status, "", message, {});
  if (status == 404) {
    error.code = "model_not_found";
  } else if (status == 429) {
    error.code = "rate_limit_exceeded";
  }
  return error;
}

void ReadUsage(const Json& document, Usage& usage) {
  if (const auto prompt = FindCount(document, "prompt_eval_count"); prompt.has_value()) {
    usage.prompt = prompt;
  }
  if (const auto completion = FindCount(document, "eval_count"); completion.has_value()) {
    usage.completion = completion;
  }
  if (usage.prompt.has_value() || usage.completion.has_value()) {
    usage.total = usage.prompt.value_or(0) + usage.completion.value_or(0);
  }
}

std::string_view FinishReason(const Json& document, bool has_calls, std::string& unknown) {
  const std::string_view theirs = FindText(document, "done_reason");
  const std::string_view ours =
      theirs.empty() ? "stop" : FinishReasonOf(theirs, kFinishReasons, unknown);
  return ours == "stop" && has_calls ? "tool_calls" : ours;
}

// Calls `use` with each call's id, name and arguments.
template <typename Use>
void ForEachCall(const Json& message, Use use) {
  const Json* calls = Find(message, "tool_calls");
  if (calls == nullptr || !calls->is_array()) {
    return;
  }
  for (const Json& call : *calls) {
    if (const Json* function = Find(call, "function"); function != nullptr) {
      const Json* arguments = Find(*function, "arguments");
      use(FindText(call, "id"), FindText(*function, "name"),
          arguments == nullptr ? std::string("{}") : DumpJson(*arguments));
    }
  }
}

class OllamaStream final : public StreamTranslator {
 public:
  explicit OllamaStream(const AnswerContext& context) : StreamTranslator(context) {}

  StreamState Add(const Frame& frame, std::string& out) override {
    const absl::StatusOr<Json> event = ParseJson(frame.data);
    if (!event.ok()) {
      ChunkWriter::Error(
          {kUnknownInStream, "an event of the provider's stream is not JSON", "", "", ""}, out);
      return StreamState::kError;
    }
    if (Find(*event, "error") != nullptr) {
      ChunkWriter::Error(ErrorFrom(kUnknownInStream, *event), out);
      return StreamState::kError;
    }
    if (has_ended_) {
      return StreamState::kEnded;
    }
    chunks_.SetModel(FindText(*event, "model"));
    if (const Json* message = Find(*event, "message"); message != nullptr) {
      AddMessage(*message, out);
    }
    if (!FindFlag(*event, "done")) {
      return StreamState::kOpen;
    }
    ReadUsage(*event, usage_);
    chunks_.FinishReason(FinishReason(*event, chunks_.tool_calls() > 0, unknown_.finish_reason),
                         out);
    has_ended_ = true;
    return StreamState::kEnded;
  }

 private:
  void AddMessage(const Json& message, std::string& out) {
    if (const std::string_view thought = FindText(message, "thinking"); !thought.empty()) {
      chunks_.Reasoning(thought, out);
    }
    if (const std::string_view text = FindText(message, "content"); !text.empty()) {
      chunks_.Content(text, out);
    }
    ForEachCall(message, [this, &out](std::string_view id, std::string_view name,
                                      const std::string& arguments) {
      const size_t index = chunks_.BeginToolCall(id, name, out);
      chunks_.ToolArguments(index, arguments, out);
      chunks_.EndToolCall(index, out);
    });
  }
};

}  // namespace

absl::Span<const FieldRule> OllamaTranslator::fields() const { return kFields; }

absl::Span<const FieldRule> OllamaTranslator::embedding_fields() const { return kEmbeddingFields; }

absl::StatusOr<TranslatedRequest> OllamaTranslator::Chat(const Json& request,
                                                         const TargetContext& target) const {
  ASSIGN_OR_RETURN(const ChatRequest chat, ReadChatRequest(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  Json body = ObjectOf("model", TextValue(target.model));
  ASSIGN_OR_RETURN(body["messages"], MessagesOf(chat));
  RETURN_IF_ERROR(AddSettings(request, chat, target, body));
  body["stream"] = translated.plan.is_stream;  // it streams unless told not to
  translated.path = PathOf(target, "/chat");
  translated.body = DumpJson(body);
  return translated;
}

absl::StatusOr<TranslatedRequest> OllamaTranslator::Embeddings(const Json& request,
                                                               const TargetContext& target) const {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> texts, ReadEmbeddingInput(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  Json body = ObjectOf("model", TextValue(target.model));
  for (const std::string_view text : texts) {
    body["input"].push_back(TextValue(text));
  }
  RETURN_IF_ERROR(CopyNumber(request, "dimensions", "dimensions", body));
  if (const Json* keep_alive = Find(request, "keep_alive"); keep_alive != nullptr) {
    body["keep_alive"] = *keep_alive;
  }
  translated.path = PathOf(target, "/embed");
  translated.body = DumpJson(body);
  return translated;
}

absl::StatusOr<TranslatedAnswer> OllamaTranslator::ChatAnswer(std::string_view body,
                                                              const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  const Json* message = document.ok() ? Find(*document, "message") : nullptr;
  if (message == nullptr) {
    return absl::DataLossError("the provider's answer has no message");
  }
  TranslatedAnswer answer;
  ChatResult result;
  result.model = FindText(*document, "model");
  result.reasoning = FindText(*message, "thinking");
  ForEachCall(
      *message, [&result](std::string_view id, std::string_view name, std::string arguments) {
        result.tool_calls.push_back({std::string(id), std::string(name), std::move(arguments)});
      });
  if (const std::string_view text = FindText(*message, "content");
      !text.empty() || result.tool_calls.empty()) {
    result.content = std::string(text);
  }
  result.finish_reason =
      FinishReason(*document, !result.tool_calls.empty(), answer.unknown.finish_reason);
  ReadUsage(*document, result.usage);
  answer.usage = result.usage;
  answer.body = RenderChat(result, context);
  return answer;
}

absl::StatusOr<TranslatedAnswer> OllamaTranslator::EmbeddingsAnswer(
    std::string_view body, const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  const Json* vectors = document.ok() ? Find(*document, "embeddings") : nullptr;
  if (vectors == nullptr || !vectors->is_array() || vectors->empty()) {
    return absl::DataLossError("the provider's answer has no embeddings");
  }
  EmbeddingsResult result;
  result.model = FindText(*document, "model");
  for (const Json& vector : *vectors) {
    if (!ReadVector(vector, result.embeddings.emplace_back())) {
      return absl::DataLossError(
          "the provider's answer has an embedding that is no list of numbers");
    }
  }
  ReadUsage(*document, result.usage);
  TranslatedAnswer answer;
  answer.usage = result.usage;
  answer.body = RenderEmbeddings(result, context);
  return answer;
}

OpenAiError OllamaTranslator::ErrorAnswer(const ErrorInput& input) const {
  const absl::StatusOr<Json> document = ParseJson(input.body);
  return ErrorFrom(input.status, document.ok() ? *document : Json());
}

std::unique_ptr<StreamTranslator> OllamaTranslator::NewStream(const AnswerContext& context) const {
  return std::make_unique<OllamaStream>(context);
}

}  // namespace rota::provider
