#pragma once

// What the mock says in the forms of providers that do not speak OpenAI's: whole answers of Ollama
// (/api/chat), Anthropic (/v1/messages) and Bedrock (/model/{id}/converse), and streams of
// Anthropic.
//
// Pure. Thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/mock_llm/answer.h"

namespace rota::mock_llm {

enum class NativeForm { kOllama, kAnthropic, kBedrock };

// By the path, without query; nullopt for OpenAI's own.
std::optional<NativeForm> NativeFormOf(std::string_view path);

// The model that Bedrock's path names, percent-decoded: "/model/a%3A0/converse" -> "a:0".
std::string BedrockModelOf(std::string_view path);

struct NativeText {
  std::string id;
  std::string model;
  std::string text;
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
};
// The body of a success.
std::string NativeBody(NativeForm form, const NativeText& answer);
// Anthropic's stream of it, the text in `chunks` pieces.
std::unique_ptr<EventSource> AnthropicEvents(NativeText answer, uint64_t chunks);

}  // namespace rota::mock_llm
