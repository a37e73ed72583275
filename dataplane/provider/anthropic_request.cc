// OpenAI chat request -> Anthropic Messages request.

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "dataplane/provider/anthropic.h"
#include "dataplane/provider/chat_request.h"
#include "dataplane/provider/translator_parts.h"

namespace rota::provider {
namespace {

constexpr std::string_view kVersion = "2023-06-01";
constexpr uint64_t kDefaultMaxTokens = 4096;
constexpr double kMaxTemperature = 1.0;

constexpr FieldRule kFields[] = {
    {"messages", FieldUse::kTranslated, "texts, images (data URL or URL), PDF and text files"},
    {"max_tokens", FieldUse::kTranslated, "default: providerOptions.maxTokens, else 4096"},
    {"max_completion_tokens", FieldUse::kTranslated, "as max_tokens"},
    {"temperature", FieldUse::kTranslated, "more than 1 is sent as 1"},
    {"top_p", FieldUse::kTranslated, ""},
    {"top_k", FieldUse::kTranslated, ""},
    {"stop", FieldUse::kTranslated, "stop_sequences"},
    {"tools", FieldUse::kTranslated, "functions"},
    {"tool_choice", FieldUse::kTranslated, ""},
    {"parallel_tool_calls", FieldUse::kTranslated, "disable_parallel_tool_use"},
    {"response_format", FieldUse::kTranslated,
     "json_schema: a forced call of a tool; json_object: an instruction"},
    {"reasoning_effort", FieldUse::kTranslated,
     "a thinking budget; dropped beside a forced tool and behind tool calls"},
    {"user", FieldUse::kTranslated, "metadata.user_id"},
    {"logprobs", FieldUse::kRefused, "gives no log probabilities"},
    {"top_logprobs", FieldUse::kRefused, "gives no log probabilities"},
    {"web_search_options", FieldUse::kRefused, "has no web search in this form"},
    {"seed", FieldUse::kDropped, ""},
    {"presence_penalty", FieldUse::kDropped, ""},
    {"frequency_penalty", FieldUse::kDropped, ""},
};

// Tokens to think with; 0: does not think.
uint64_t BudgetOf(std::string_view effort) {
  if (effort == "low") {
    return 1024;
  }
  if (effort == "medium") {
    return 4096;
  }
  return effort == "high" || effort == "xhigh" ? 16384 : 0;
}
constexpr uint64_t kMinBudget = 1024;

Json Source(const Part& part) {
  if (part.base64.empty()) {
    return {{"type", "url"}, {"url", part.url}};
  }
  return {{"type", "base64"}, {"media_type", part.media_type}, {"data", part.base64}};
}

absl::StatusOr<Json> Block(const Part& part) {
  switch (part.kind) {
    case Part::Kind::kText:
      return ObjectOf("type", "text", "text", TextValue(part.text));
    case Part::Kind::kImage:
      return ObjectOf("type", "image", "source", Source(part));
    case Part::Kind::kFile:
      if (part.media_type != "application/pdf") {
        return UnsupportedField(part.field, "takes files of type application/pdf only");
      }
      return ObjectOf("type", "document", "source", Source(part));
    case Part::Kind::kToolCall:
      return Json{{"type", "tool_use"},
                  {"id", PlainCallId(part.id)},
                  {"name", part.name},
                  {"input", part.arguments}};
    case Part::Kind::kToolResult:
      break;
  }
  Json content = Json::array();
  for (const Part& inner : part.content) {
    ASSIGN_OR_RETURN(Json block, Block(inner));
    content.push_back(std::move(block));
  }
  return Json{{"type", "tool_result"}, {"tool_use_id", PlainCallId(part.id)}, {"content", content}};
}

absl::StatusOr<Json> Messages(const std::vector<Turn>& turns) {
  Json messages = Json::array();
  for (const Turn& turn : turns) {
    Json blocks = Json::array();
    // Results stand first in the turn that follows the calls.
    for (const bool wants_results : {true, false}) {
      for (const Part& part : turn.parts) {
        if ((part.kind == Part::Kind::kToolResult) == wants_results) {
          ASSIGN_OR_RETURN(Json block, Block(part));
          blocks.push_back(std::move(block));
        }
      }
    }
    messages.push_back(
        ObjectOf("role", turn.is_user ? "user" : "assistant", "content", std::move(blocks)));
  }
  // A beginning of the answer must not end with white space.
  if (!turns.back().is_user && turns.back().parts.back().kind == Part::Kind::kText) {
    auto& text = messages.back()["content"].back()["text"].get_ref<std::string&>();
    absl::StripTrailingAsciiWhitespace(&text);
  }
  return messages;
}

Json InputSchema(const Json* parameters) {
  if (parameters == nullptr) {
    return {{"type", "object"}, {"properties", Json::object()}};
  }
  return ObjectSchema(parameters);
}

Json Tools(const ChatRequest& chat, std::string_view output_tool) {
  Json tools = Json::array();
  for (const Tool& tool : chat.tools) {
    Json entry{{"name", tool.name}};
    if (!tool.description.empty()) {
      entry["description"] = tool.description;
    }
    entry["input_schema"] = InputSchema(tool.parameters);
    tools.push_back(std::move(entry));
  }
  if (!output_tool.empty()) {
    tools.push_back({{"name", output_tool},
                     {"description", kOutputToolDescription},
                     {"input_schema", InputSchema(chat.output.schema)}});
  }
  return tools;
}

// Null: the provider's own choice.
Json Choice(const ChatRequest& chat, std::string_view output_tool) {
  Json choice;
  switch (chat.tool_choice.kind) {
    case ToolChoice::Kind::kAuto:
      if (!output_tool.empty() && chat.tools.empty()) {
        choice = {{"type", "tool"}, {"name", output_tool}};
      } else if (!output_tool.empty()) {
        choice = {{"type", "any"}};  // one of the caller's tools, or the answer
      } else if (!chat.parallel_tool_calls) {
        choice = {{"type", "auto"}};
      }
      break;
    case ToolChoice::Kind::kNone:
      if (output_tool.empty()) {
        return {{"type", "none"}};
      }
      choice = {{"type", "tool"}, {"name", output_tool}};
      break;
    case ToolChoice::Kind::kRequired:
      choice = {{"type", "any"}};
      break;
    case ToolChoice::Kind::kOne:
      choice = {{"type", "tool"}, {"name", chat.tool_choice.name}};
      break;
  }
  if (!chat.parallel_tool_calls && !choice.is_null()) {
    choice["disable_parallel_tool_use"] = true;
  }
  return choice;
}

// Sets max_tokens and what thinking takes of it; false when the effort cannot be obeyed.
bool SetTokens(const ChatRequest& chat, const ProviderOptions& options, bool forces_tool,
               Json& body) {
  const uint64_t fallback = options.max_tokens.value_or(kDefaultMaxTokens);
  body["max_tokens"] = chat.max_tokens.value_or(fallback);
  uint64_t budget = BudgetOf(chat.reasoning_effort);
  if (budget == 0) {
    return true;  // none, minimal: as it is without
  }
  // Thinking has to be repeated in front of a call whose result is sent, and its signature is not
  // ours to make: a conversation that stands there goes on without.
  if (forces_tool || AnswersCalls(chat)) {
    return false;
  }
  if (chat.max_tokens.has_value()) {
    budget = std::min(budget, *chat.max_tokens / 2);  // both count against max_tokens
  } else {
    body["max_tokens"] = fallback + budget;
  }
  if (budget < kMinBudget) {
    return false;
  }
  body["thinking"] = {{"type", "enabled"}, {"budget_tokens", budget}};
  return true;
}

void SetSampling(const Json& request, const ChatRequest& chat, TranslatedRequest& out, Json& body) {
  const bool thinks = Find(body, "thinking") != nullptr;  // which allows no temperature but 1
  if (chat.temperature.has_value() && !thinks) {
    body["temperature"] = std::min(*chat.temperature, kMaxTemperature);
  } else if (chat.temperature.has_value() && *chat.temperature != 1) {
    out.dropped.emplace_back("temperature");
  }
  for (const std::string_view field : {"top_p", "top_k"}) {
    if (const Json* value = Find(request, field); value != nullptr) {
      if (thinks) {
        out.dropped.emplace_back(field);
      } else {
        body[std::string(field)] = *value;
      }
    }
  }
}

}  // namespace

absl::Span<const FieldRule> AnthropicTranslator::fields() const { return kFields; }

absl::StatusOr<TranslatedRequest> AnthropicTranslator::Chat(const Json& request,
                                                            const TargetContext& target) const {
  ASSIGN_OR_RETURN(const ChatRequest chat, ReadChatRequest(request));
  TranslatedRequest out;
  out.plan = PlanOf(request);
  out.plan.output_tool = OutputToolOf(chat);
  Json body{{"model", target.model}};
  const Json choice = Choice(chat, out.plan.output_tool);
  const std::string_view choice_type = FindText(choice, "type");
  const bool forces_tool = choice_type == "any" || choice_type == "tool";
  if (!SetTokens(chat, *target.options, forces_tool, body)) {
    out.dropped.emplace_back("reasoning_effort");
  }
  if (std::string system = SystemWithJsonOnly(chat); !system.empty()) {
    body["system"] = std::move(system);
  }
  ASSIGN_OR_RETURN(body["messages"], Messages(chat.turns));
  SetSampling(request, chat, out, body);
  if (!chat.stop.empty()) {
    body["stop_sequences"] = chat.stop;
  }
  if (!chat.tools.empty() || !out.plan.output_tool.empty()) {
    body["tools"] = Tools(chat, out.plan.output_tool);
    if (!choice.is_null()) {
      body["tool_choice"] = choice;
    }
  }
  if (!chat.user.empty()) {
    body["metadata"] = {{"user_id", chat.user}};
  }
  if (out.plan.is_stream) {
    body["stream"] = true;
  }
  out.path = VersionedPath(target.base_path, "/v1", "/messages");
  const std::string& version = target.options->api_version;
  out.headers.push_back({"anthropic-version", version.empty() ? std::string(kVersion) : version});
  out.body = DumpJson(body);
  return out;
}

}  // namespace rota::provider
