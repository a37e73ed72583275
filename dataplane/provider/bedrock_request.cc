// OpenAI chat request -> Converse request.

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/sigv4.h"
#include "dataplane/provider/translator_parts.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr FieldRule kFields[] = {
    {"messages", FieldUse::kTranslated,
     "texts, images and files (data URLs only); texts of white space are left out"},
    {"max_tokens", FieldUse::kTranslated, "default: providerOptions.maxTokens, else the model's"},
    {"max_completion_tokens", FieldUse::kTranslated, "as max_tokens"},
    {"temperature", FieldUse::kTranslated, "more than 1 is sent as 1"},
    {"top_p", FieldUse::kTranslated, ""},
    {"stop", FieldUse::kTranslated, "stopSequences"},
    {"tools", FieldUse::kTranslated, "functions"},
    {"tool_choice", FieldUse::kTranslated, "none: the tools are not sent"},
    {"response_format", FieldUse::kTranslated,
     "json_schema: a forced call of a tool; json_object: an instruction"},
    {"reasoning_effort", FieldUse::kTranslated,
     "Claude: a thinking budget, dropped beside a forced tool and behind tool calls; Nova 2 and "
     "gpt-oss: their own effort; other models: dropped"},
    {"logprobs", FieldUse::kRefused, "gives no log probabilities"},
    {"top_logprobs", FieldUse::kRefused, "gives no log probabilities"},
    {"web_search_options", FieldUse::kRefused, "has no web search in this form"},
    {"parallel_tool_calls", FieldUse::kDropped, ""},
    {"seed", FieldUse::kDropped, ""},
    {"presence_penalty", FieldUse::kDropped, ""},
    {"frequency_penalty", FieldUse::kDropped, ""},
    {"user", FieldUse::kDropped, ""},
};

constexpr size_t kMaxCallId = 64;
constexpr double kMaxTemperature = 1.0;

struct Format {
  std::string_view media_type;
  std::string_view name;  // Bedrock's
};
constexpr std::array<Format, 5> kImageFormats = {{{"image/png", "png"},
                                                  {"image/jpeg", "jpeg"},
                                                  {"image/jpg", "jpeg"},
                                                  {"image/gif", "gif"},
                                                  {"image/webp", "webp"}}};
constexpr std::array<Format, 5> kFileFormats = {{{"application/pdf", "pdf"},
                                                 {"text/plain", "txt"},
                                                 {"text/html", "html"},
                                                 {"text/csv", "csv"},
                                                 {"text/markdown", "md"}}};

// Tokens that Claude may think for. (Anthropic: at least 1024, and below maxTokens.)
constexpr uint64_t kLeastThinking = 1024;
constexpr uint64_t kAnswerTokens = 4096;  // room for the answer when the request has no limit

std::string_view FormatOf(std::string_view media_type, absl::Span<const Format> formats) {
  for (const Format& format : formats) {
    if (format.media_type == media_type) {
      return format.name;
    }
  }
  return {};
}

bool IsBlank(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); });
}

// {"format":"png","source":{"bytes":"..."}}
Json MediumOf(std::string_view format, std::string_view base64) {
  Json medium = ObjectOf("format", TextValue(format));
  medium["source"] = ObjectOf("bytes", TextValue(base64));
  return medium;
}

// Writes the turns.
class MessageWriter {
 public:
  absl::Status Add(const Turn& turn) {
    // Results stand first in the turn that follows the calls.
    for (const bool wants_results : {true, false}) {
      for (const Part& part : turn.parts) {
        if ((part.kind == Part::Kind::kToolResult) != wants_results ||
            (part.kind == Part::Kind::kText && IsBlank(part.text))) {
          continue;  // Bedrock refuses texts of white space
        }
        ASSIGN_OR_RETURN(Json block, BlockOf(part));
        // A turn of which nothing is left does not part its neighbours.
        BlocksOfTurn(messages_, turn.is_user ? "user" : "assistant", "content")
            .push_back(std::move(block));
      }
    }
    return absl::OkStatus();
  }

  Json Take() { return std::move(messages_); }

 private:
  absl::StatusOr<Json> BlockOf(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText:
        return ObjectOf("text", TextValue(part.text));
      case Part::Kind::kImage:
        return ImageOf(part);
      case Part::Kind::kFile:
        return DocumentOf(part);
      case Part::Kind::kToolCall:
        return CallOf(part);
      case Part::Kind::kToolResult:
        return ResultOf(part);
    }
    return InvalidField(part.field, "is of no known kind");
  }

  static absl::StatusOr<Json> ImageOf(const Part& part) {
    if (part.base64.empty()) {
      return UnsupportedField(part.field, "takes images as data URLs only");
    }
    const std::string_view format = FormatOf(part.media_type, kImageFormats);
    if (format.empty()) {
      return UnsupportedField(part.field, "takes png, jpeg, gif and webp images only");
    }
    return ObjectOf("image", MediumOf(format, part.base64));
  }

  absl::StatusOr<Json> DocumentOf(const Part& part) {
    const std::string_view format = FormatOf(part.media_type, kFileFormats);
    if (format.empty()) {
      return UnsupportedField(part.field, "takes pdf, txt, html, csv and md files only");
    }
    Json document = MediumOf(format, part.base64);
    // The model reads the name as part of the prompt, and Bedrock wants each one once.
    document["name"] = fmt::format("document {}", ++documents_);
    return ObjectOf("document", std::move(document));
  }

  static Json CallOf(const Part& part) {
    Json use = ObjectOf("toolUseId", PlainCallId(part.id.substr(0, kMaxCallId)));
    use["name"] = TextValue(part.name);
    use["input"] = part.arguments;
    return ObjectOf("toolUse", std::move(use));
  }

  static absl::StatusOr<Json> ResultOf(const Part& part) {
    Json content = Json::array();
    for (const Part& piece : part.content) {
      if (piece.kind == Part::Kind::kImage) {
        ASSIGN_OR_RETURN(Json image, ImageOf(piece));
        content.push_back(std::move(image));
      } else {
        content.push_back(ObjectOf("text", TextValue(piece.text)));
      }
    }
    if (content.empty()) {
      content.push_back(ObjectOf("text", ""));
    }
    Json result = ObjectOf("toolUseId", PlainCallId(part.id.substr(0, kMaxCallId)));
    result["content"] = std::move(content);
    return ObjectOf("toolResult", std::move(result));
  }

  Json messages_ = Json::array();
  size_t documents_ = 0;
};

Json ToolOf(std::string_view name, std::string_view description, const Json* schema) {
  Json spec = ObjectOf("name", TextValue(name));
  if (!description.empty()) {
    spec["description"] = TextValue(description);
  }
  spec["inputSchema"] = ObjectOf("json", ObjectSchema(schema));
  return ObjectOf("toolSpec", std::move(spec));
}

// {"tool":{"name":"a"}}
Json ChoiceOf(std::string_view name) { return ObjectOf("tool", ObjectOf("name", TextValue(name))); }

// The tools and which of them has to be called; an empty object when there is no tool.
Json ToolConfigOf(const ChatRequest& request, const AnswerPlan& plan) {
  const ToolChoice& choice = request.tool_choice;
  Json tools = Json::array();
  if (choice.kind != ToolChoice::Kind::kNone) {
    for (const Tool& tool : request.tools) {
      tools.push_back(ToolOf(tool.name, tool.description, tool.parameters));
    }
  }
  Json config = Json::object();
  if (choice.kind == ToolChoice::Kind::kOne) {
    config["toolChoice"] = ChoiceOf(choice.name);
  } else if (choice.kind == ToolChoice::Kind::kRequired) {
    config["toolChoice"] = ObjectOf("any", Json::object());
  }
  if (!plan.output_tool.empty()) {
    // Without other tools it has to be called; with them, one of all.
    if (choice.kind != ToolChoice::Kind::kOne) {
      config["toolChoice"] =
          tools.empty() ? ChoiceOf(plan.output_tool) : ObjectOf("any", Json::object());
    }
    tools.push_back(ToolOf(plan.output_tool, kOutputToolDescription, request.output.schema));
  }
  if (tools.empty() &&
      (HasPart(request, Part::Kind::kToolCall) || HasPart(request, Part::Kind::kToolResult))) {
    tools.push_back(
        ToolOf(BedrockTranslator::kPlaceholderTool, "Not available: never call it.", nullptr));
  }
  if (!tools.empty()) {
    config["tools"] = std::move(tools);
  }
  return config;
}

bool Holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

uint64_t ThinkingTokens(std::string_view effort) {
  if (effort == "low" || effort == "minimal") {
    return kLeastThinking;
  }
  return effort == "medium" ? 4096 : 16384;
}

// Claude thinks when no call is forced and no thoughts are missing from the history: those of the
// calls that are being answered would have to be sent again, and OpenAI's form has no place for
// them. False when it cannot.
bool AddThinking(const ChatRequest& request, bool is_forced, Json& inference, Json& additional) {
  const std::optional<uint64_t> limit = FindCount(inference, "maxTokens");
  uint64_t budget = ThinkingTokens(request.reasoning_effort);
  if (limit.has_value()) {
    budget = std::min(budget, *limit / 2);  // both count against maxTokens
  }
  if (is_forced || AnswersCalls(request) || budget < kLeastThinking) {
    return false;
  }
  if (!limit.has_value()) {
    inference["maxTokens"] = budget + kAnswerTokens;
  }
  Json thinking = ObjectOf("type", "enabled");
  thinking["budget_tokens"] = budget;
  additional["thinking"] = std::move(thinking);
  return true;
}

// The effort in the words of the model's maker; names it when the model has none.
void AddReasoning(const ChatRequest& request, std::string_view model, bool is_forced,
                  Json& inference, Json& additional, std::vector<std::string>& dropped) {
  const std::string_view effort = request.reasoning_effort;
  if (effort.empty() || effort == "none") {
    return;
  }
  bool is_known = true;
  if (Holds(model, "anthropic.")) {
    is_known = AddThinking(request, is_forced, inference, additional);
    // Claude refuses both while it thinks.
    for (const char* field : {"temperature", "topP"}) {
      if (is_known && inference.contains(field)) {
        inference.erase(std::string(field));
        dropped.emplace_back(std::string_view(field) == "topP" ? "top_p" : field);
      }
    }
  } else if (Holds(model, "openai.")) {
    additional["reasoning_effort"] = TextValue(effort == "minimal" ? "low" : effort);
  } else if (Holds(model, "amazon.nova-2")) {
    Json config = ObjectOf("type", "enabled");
    config["maxReasoningEffort"] = TextValue(effort == "minimal" ? "low" : effort);
    additional["reasoningConfig"] = std::move(config);
  } else {
    is_known = false;
  }
  if (!is_known) {
    dropped.emplace_back("reasoning_effort");
  }
}

Json InferenceOf(const ChatRequest& request, const TargetContext& target) {
  Json config = Json::object();
  const std::optional<uint64_t> max_tokens =
      request.max_tokens.has_value() ? request.max_tokens : target.options->max_tokens;
  if (max_tokens.has_value()) {
    config["maxTokens"] = *max_tokens;
  }
  if (request.temperature.has_value()) {
    config["temperature"] = std::min(*request.temperature, kMaxTemperature);
  }
  if (request.top_p.has_value()) {
    config["topP"] = *request.top_p;
  }
  for (const std::string_view word : request.stop) {
    config["stopSequences"].push_back(TextValue(word));
  }
  return config;
}

// The beginning of an answer must not end with white space.
void TrimLastText(Json& messages) {
  Json& last = messages.back();
  Json& block = last["content"].back();
  if (FindText(last, "role") == "assistant" && Find(block, "text") != nullptr) {
    absl::StripTrailingAsciiWhitespace(&block["text"].get_ref<std::string&>());
  }
}

absl::StatusOr<Json> MessagesOf(const ChatRequest& chat) {
  MessageWriter writer;
  for (const Turn& turn : chat.turns) {
    RETURN_IF_ERROR(writer.Add(turn));
  }
  Json messages = writer.Take();
  if (messages.empty()) {
    return InvalidField("messages", "must hold text that is not only white space");
  }
  TrimLastText(messages);
  return messages;
}

}  // namespace

absl::Span<const FieldRule> BedrockTranslator::fields() const { return kFields; }

absl::StatusOr<TranslatedRequest> BedrockTranslator::Chat(const Json& request,
                                                          const TargetContext& target) const {
  ASSIGN_OR_RETURN(const ChatRequest chat, ReadChatRequest(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  translated.plan.output_tool = OutputToolOf(chat);
  Json body = Json::object();
  ASSIGN_OR_RETURN(body["messages"], MessagesOf(chat));
  if (const std::string system = SystemWithJsonOnly(chat); !IsBlank(system)) {
    body["system"].push_back(ObjectOf("text", system));
  }
  Json inference = InferenceOf(chat, target);
  Json tools = ToolConfigOf(chat, translated.plan);
  Json additional = Json::object();
  AddReasoning(chat, target.model, tools.contains("toolChoice"), inference, additional,
               translated.dropped);
  const std::pair<const char*, Json*> members[] = {{"inferenceConfig", &inference},
                                                   {"toolConfig", &tools},
                                                   {"additionalModelRequestFields", &additional}};
  for (const auto& [name, value] : members) {
    if (!value->empty()) {
      body[name] = std::move(*value);
    }
  }
  translated.path = fmt::format("/model/{}/{}", PercentEncoded(target.model),
                                translated.plan.is_stream ? "converse-stream" : "converse");
  translated.body = DumpJson(body);
  return translated;
}

}  // namespace rota::provider
