#include "tests/support/mock_llm/native_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kModelPath = "/model/";
constexpr std::string_view kConverse = "/converse";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class AnthropicStream final : public EventSource {
 public:
  AnthropicStream(NativeText answer, uint64_t chunks)
      : answer_(std::move(answer)), chunks_(chunks) {}

  std::string Next(MonotonicTime /*now*/) override {
    const uint64_t step = step_++;
    if (step == 0) {
      return Event(
          {{"type", "message_start"},
           {"message",
            {{"id", "msg_" + answer_.id},
             {"type", "message"},
             {"role", "assistant"},
             {"model", answer_.model},
             {"content", Json::array()},
             {"usage", {{"input_tokens", answer_.prompt_tokens}, {"output_tokens", 1}}}}}});
    }
    if (step == 1) {
      return Event({{"type", "content_block_start"},
                    {"index", 0},
                    {"content_block", {{"type", "text"}, {"text", ""}}}});
    }
    if (step < chunks_ + 2) {
      const uint64_t from = answer_.text.size() * (step - 2) / chunks_;
      const uint64_t to = answer_.text.size() * (step - 1) / chunks_;
      return Event(
          {{"type", "content_block_delta"},
           {"index", 0},
           {"delta", {{"type", "text_delta"}, {"text", answer_.text.substr(from, to - from)}}}});
    }
    switch (step - chunks_) {
      case 2:
        return Event({{"type", "content_block_stop"}, {"index", 0}});
      case 3:
        return Event({{"type", "message_delta"},
                      {"delta", {{"stop_reason", "end_turn"}, {"stop_sequence", nullptr}}},
                      {"usage", {{"output_tokens", answer_.completion_tokens}}}});
      case 4:
        return Event(Json::object({{"type", "message_stop"}}));
      default:
        return "";
    }
  }

 private:
  static std::string Event(const Json& data) {
    return absl::StrCat("event: ", data["type"].get<std::string>(), "\ndata: ", Dump(data), "\n\n");
  }

  const NativeText answer_;
  const uint64_t chunks_;
  uint64_t step_ = 0;
};

}  // namespace

std::optional<NativeForm> NativeFormOf(std::string_view path) {
  if (path.ends_with("/api/chat")) {
    return NativeForm::kOllama;
  }
  if (path.ends_with("/messages")) {
    return NativeForm::kAnthropic;
  }
  if (path.ends_with(kConverse) && path.find(kModelPath) != std::string_view::npos) {
    return NativeForm::kBedrock;
  }
  return std::nullopt;
}

std::string BedrockModelOf(std::string_view path) {
  const size_t start = path.find(kModelPath) + kModelPath.size();
  const std::string_view encoded = path.substr(start, path.size() - kConverse.size() - start);
  std::string model;
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool is_escape = encoded[i] == '%' && i + 2 < encoded.size() &&
                           HexValue(encoded[i + 1]) >= 0 && HexValue(encoded[i + 2]) >= 0;
    if (is_escape) {
      model.push_back(static_cast<char>(HexValue(encoded[i + 1]) * 16 + HexValue(encoded[i + 2])));
      i += 2;
    } else {
      model.push_back(encoded[i]);
    }
  }
  return model;
}

std::string NativeBody(NativeForm form, const NativeText& answer) {
  Json body;
  switch (form) {
    case NativeForm::kOllama:
      body = {{"model", answer.model},
              {"created_at", "2026-01-01T00:00:00Z"},
              {"message", {{"role", "assistant"}, {"content", answer.text}}},
              {"done_reason", "stop"},
              {"done", true},
              {"prompt_eval_count", answer.prompt_tokens},
              {"eval_count", answer.completion_tokens}};
      break;
    case NativeForm::kAnthropic:
      body = {
          {"id", "msg_" + answer.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", answer.model},
          {"content", Json::array({{{"type", "text"}, {"text", answer.text}}})},
          {"stop_reason", "end_turn"},
          {"stop_sequence", nullptr},
          {"usage",
           {{"input_tokens", answer.prompt_tokens}, {"output_tokens", answer.completion_tokens}}}};
      break;
    case NativeForm::kBedrock:
      body = {{"output",
               {{"message",
                 {{"role", "assistant"}, {"content", Json::array({{{"text", answer.text}}})}}}}},
              {"stopReason", "end_turn"},
              {"usage",
               {{"inputTokens", answer.prompt_tokens},
                {"outputTokens", answer.completion_tokens},
                {"totalTokens", answer.prompt_tokens + answer.completion_tokens}}},
              {"metrics", {{"latencyMs", 1}}}};
      break;
  }
  return Dump(body);
}

std::unique_ptr<EventSource> AnthropicEvents(NativeText answer, uint64_t chunks) {
  return std::make_unique<AnthropicStream>(std::move(answer), chunks);
}

}  // namespace rota::mock_llm
