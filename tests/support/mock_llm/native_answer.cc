#include "tests/support/mock_llm/native_answer.h"

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
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rota::mock_llm
