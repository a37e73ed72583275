// OpenAI chat request -> generateContent request.

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "dataplane/provider/gemini.h"
#include "dataplane/provider/sigv4.h"
#include "dataplane/provider/translator_parts.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr FieldRule kFields[] = {
    {"messages", FieldUse::kTranslated, "texts, images (data URL or URL) and files (data URL)"},
    {"max_tokens", FieldUse::kTranslated, "maxOutputTokens"},
    {"max_completion_tokens", FieldUse::kTranslated, "as max_tokens"},
    {"temperature", FieldUse::kTranslated, ""},
    {"top_p", FieldUse::kTranslated, ""},
    {"top_k", FieldUse::kTranslated, ""},
    {"seed", FieldUse::kTranslated, ""},
    {"presence_penalty", FieldUse::kTranslated, ""},
    {"frequency_penalty", FieldUse::kTranslated, ""},
    {"stop", FieldUse::kTranslated, "stopSequences"},
    {"tools", FieldUse::kTranslated, "functions"},
    {"tool_choice", FieldUse::kTranslated, ""},
    {"response_format", FieldUse::kTranslated, "responseMimeType and responseJsonSchema"},
    {"reasoning_effort", FieldUse::kTranslated,
     "Gemini 3 and later: thinkingLevel; 2.5: thinkingBudget; earlier models: dropped"},
    {"logprobs", FieldUse::kRefused, "gives no log probabilities in this form"},
    {"top_logprobs", FieldUse::kRefused, "gives no log probabilities in this form"},
    {"web_search_options", FieldUse::kRefused, "has no web search in this form"},
    {"parallel_tool_calls", FieldUse::kDropped, ""},
    {"user", FieldUse::kDropped, ""},
};

// What Google documents for calls that its own model has not made.
constexpr std::string_view kForeignSignature = "skip_thought_signature_validator";

// Google wants a type beside a URL; these are the ones that its models read.
struct Extension {
  std::string_view ending;
  std::string_view media_type;
};
constexpr std::array<Extension, 7> kExtensions = {{{".png", "image/png"},
                                                   {".jpg", "image/jpeg"},
                                                   {".jpeg", "image/jpeg"},
                                                   {".webp", "image/webp"},
                                                   {".gif", "image/gif"},
                                                   {".heic", "image/heic"},
                                                   {".heif", "image/heif"}}};
constexpr std::string_view kLikelyType = "image/jpeg";

std::string_view TypeOfUrl(std::string_view url) {
  const std::string path =
      absl::AsciiStrToLower(std::string(url.substr(0, url.find_first_of("?#"))));
  for (const Extension& extension : kExtensions) {
    if (path.ends_with(extension.ending)) {
      return extension.media_type;
    }
  }
  return kLikelyType;
}

// "gemini-3-pro-preview" -> 3, "models/gemini-2.5-flash" -> 2; 0 when the name does not say it.
int GenerationOf(std::string_view model) {
  static constexpr std::string_view kFamily = "gemini-";
  const size_t place = model.find(kFamily);
  if (place == std::string_view::npos || place + kFamily.size() >= model.size()) {
    return 0;
  }
  const char digit = model[place + kFamily.size()];
  return digit >= '1' && digit <= '9' ? digit - '0' : 0;
}

Json MediumOf(const Part& part) {
  if (part.base64.empty()) {
    Json file = ObjectOf("mimeType", TextValue(TypeOfUrl(part.url)));
    file["fileUri"] = TextValue(part.url);
    return ObjectOf("fileData", std::move(file));
  }
  Json data = ObjectOf("mimeType", TextValue(part.media_type));
  data["data"] = TextValue(part.base64);
  return ObjectOf("inlineData", std::move(data));
}

// A function's answer is an object there: the result itself when it is one, else its text under the
// name that Google gives for it.
absl::StatusOr<Json> ResultOf(const Part& part) {
  if (part.name.empty()) {
    return InvalidField(fmt::format("{}.tool_call_id", part.field),
                        "answers no call of an earlier message");
  }
  const std::string text = TextOf(part.content);
  absl::StatusOr<Json> parsed = ParseJson(text);
  Json answer = ObjectOf("name", TextValue(part.name));
  if (parsed.ok() && parsed->is_object()) {
    answer["response"] = *std::move(parsed);
  } else {
    answer["response"] = ObjectOf("output", TextValue(text));
  }
  return ObjectOf("functionResponse", std::move(answer));
}

// Writes the turns.
class ContentWriter {
 public:
  explicit ContentWriter(int generation) : generation_(generation) {}

  absl::Status Add(const Turn& turn) {
    std::vector<const Part*> media;
    bool is_first_call = true;
    Json& parts = BlocksOfTurn(contents_, turn.is_user ? "user" : "model", "parts");
    for (const Part& part : turn.parts) {
      ASSIGN_OR_RETURN(Json written, PartOf(part, is_first_call));
      parts.push_back(std::move(written));
      // A function's answer holds no images: they stand behind it.
      for (const Part& inner : part.content) {
        if (inner.kind == Part::Kind::kImage) {
          media.push_back(&inner);
        }
      }
    }
    for (const Part* part : media) {
      parts.push_back(MediumOf(*part));
    }
    return absl::OkStatus();
  }

  Json Take() { return std::move(contents_); }

 private:
  absl::StatusOr<Json> PartOf(const Part& part, bool& is_first_call) const {
    switch (part.kind) {
      case Part::Kind::kText:
        return ObjectOf("text", TextValue(part.text));
      case Part::Kind::kImage:
      case Part::Kind::kFile:
        return MediumOf(part);
      case Part::Kind::kToolCall:
        break;
      case Part::Kind::kToolResult:
        return ResultOf(part);
    }
    Json call = ObjectOf("name", TextValue(part.name));
    call["args"] = part.arguments;
    Json written = ObjectOf("functionCall", std::move(call));
    // The first call of a step carries the signature.
    if (generation_ >= 3 && std::exchange(is_first_call, false)) {
      written["thoughtSignature"] = TextValue(kForeignSignature);
    }
    return written;
  }

  const int generation_;
  Json contents_ = Json::array();
};

Json ToolsOf(const ChatRequest& chat) {
  Json declarations = Json::array();
  for (const Tool& tool : chat.tools) {
    Json declaration = ObjectOf("name", TextValue(tool.name));
    if (!tool.description.empty()) {
      declaration["description"] = TextValue(tool.description);
    }
    if (tool.parameters != nullptr) {
      declaration["parametersJsonSchema"] = *tool.parameters;
    }
    declarations.push_back(std::move(declaration));
  }
  Json tools = Json::array();
  tools.push_back(ObjectOf("functionDeclarations", std::move(declarations)));
  return tools;
}

// Null: the model decides.
Json ToolConfigOf(const ToolChoice& choice) {
  Json config = Json::object();
  switch (choice.kind) {
    case ToolChoice::Kind::kAuto:
      return {};
    case ToolChoice::Kind::kNone:
      config["mode"] = "NONE";
      break;
    case ToolChoice::Kind::kRequired:
      config["mode"] = "ANY";
      break;
    case ToolChoice::Kind::kOne:
      config["mode"] = "ANY";
      config["allowedFunctionNames"].push_back(TextValue(choice.name));
      break;
  }
  return ObjectOf("functionCallingConfig", std::move(config));
}

// As Google's own OpenAI-compatible endpoint maps the efforts. Null when the model has none.
Json ThinkingOf(std::string_view model, std::string_view effort) {
  const int generation = GenerationOf(model);
  const bool is_least = effort == "none" || effort == "minimal";
  if (generation >= 3) {
    const bool is_flash = model.find("flash") != std::string_view::npos;
    const std::string_view least = is_flash ? "minimal" : "low";
    const std::string_view most = effort == "xhigh" ? "high" : effort;
    return ObjectOf("thinkingLevel", TextValue(is_least ? least : most));
  }
  if (model.find("gemini-2.5") == std::string_view::npos) {
    return {};
  }
  if (effort == "none") {
    return ObjectOf("thinkingBudget", 0);
  }
  if (is_least || effort == "low") {
    return ObjectOf("thinkingBudget", 1024);
  }
  return ObjectOf("thinkingBudget", effort == "medium" ? 8192 : 24576);
}

absl::StatusOr<Json> GenerationConfigOf(const Json& request, const ChatRequest& chat,
                                        const TargetContext& target,
                                        std::vector<std::string>& dropped) {
  Json config = Json::object();
  const std::pair<std::string_view, std::string_view> numbers[] = {
      {"temperature", "temperature"},
      {"top_p", "topP"},
      {"top_k", "topK"},
      {"seed", "seed"},
      {"presence_penalty", "presencePenalty"},
      {"frequency_penalty", "frequencyPenalty"}};
  for (const auto& [from, to] : numbers) {
    RETURN_IF_ERROR(CopyNumber(request, from, to, config));
  }
  const std::optional<uint64_t> max_tokens =
      chat.max_tokens.has_value() ? chat.max_tokens : target.options->max_tokens;
  if (max_tokens.has_value()) {
    config["maxOutputTokens"] = *max_tokens;
  }
  for (const std::string_view word : chat.stop) {
    config["stopSequences"].push_back(TextValue(word));
  }
  if (chat.output.kind != OutputFormat::Kind::kText) {
    config["responseMimeType"] = "application/json";
  }
  if (chat.output.schema != nullptr) {
    config["responseJsonSchema"] = *chat.output.schema;
  }
  if (!chat.reasoning_effort.empty()) {
    Json thinking = ThinkingOf(target.model, chat.reasoning_effort);
    if (thinking.is_null()) {
      dropped.emplace_back("reasoning_effort");
    } else {
      config["thinkingConfig"] = std::move(thinking);
    }
  }
  return config;
}

}  // namespace

std::string GeminiTranslator::PathOf(const TargetContext& target, std::string_view method) {
  std::string_view model = target.model;
  std::string_view folder = "models";
  // "models/gemini-2.5-pro" and "tunedModels/mine" are names as Google lists them.
  for (const std::string_view known : {"models/", "tunedModels/"}) {
    if (model.starts_with(known)) {
      model.remove_prefix(known.size());
      folder = known.substr(0, known.size() - 1);
    }
  }
  const std::string path = fmt::format("/{}/{}:{}", folder, PercentEncoded(model), method);
  // The version may be the last segment of the base path or, on Vertex, the first.
  return target.base_path.starts_with("/v1") ? path
                                             : VersionedPath(target.base_path, "/v1beta", path);
}

absl::Span<const FieldRule> GeminiTranslator::fields() const { return kFields; }

absl::StatusOr<TranslatedRequest> GeminiTranslator::Chat(const Json& request,
                                                         const TargetContext& target) const {
  ASSIGN_OR_RETURN(const ChatRequest chat, ReadChatRequest(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  ContentWriter writer(GenerationOf(target.model));
  for (const Turn& turn : chat.turns) {
    RETURN_IF_ERROR(writer.Add(turn));
  }
  Json body = Json::object();
  if (!chat.system.empty()) {
    Json parts = Json::array();
    parts.push_back(ObjectOf("text", TextValue(chat.system)));
    body["systemInstruction"] = ObjectOf("parts", std::move(parts));
  }
  body["contents"] = writer.Take();
  if (!chat.tools.empty()) {
    body["tools"] = ToolsOf(chat);
    if (Json config = ToolConfigOf(chat.tool_choice); !config.is_null()) {
      body["toolConfig"] = std::move(config);
    }
  }
  ASSIGN_OR_RETURN(Json config, GenerationConfigOf(request, chat, target, translated.dropped));
  if (!config.empty()) {
    body["generationConfig"] = std::move(config);
  }
  translated.path = PathOf(
      target, translated.plan.is_stream ? "streamGenerateContent?alt=sse" : "generateContent");
  translated.body = DumpJson(body);
  return translated;
}

}  // namespace rota::provider
