#include "dataplane/provider/registry.h"

#include <algorithm>
#include <array>

#include "dataplane/provider/amazon_event_stream.h"
#include "dataplane/provider/anthropic.h"
#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/gemini.h"
#include "dataplane/provider/ollama.h"

namespace rota::provider {
namespace {

bool HasSegment(std::string_view path, std::string_view segment) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const size_t end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) == segment) {
      return true;
    }
    path.remove_prefix(end);
  }
  return false;
}

// Most providers have a second API in OpenAI's form, at a path of its own.
bool IsOpenAiPath(std::string_view provider, std::string_view base_path) {
  return HasSegment(base_path, "openai") || (provider == "ollama" && base_path.ends_with("/v1"));
}

}  // namespace

std::string_view OpenAiPath(OpenAiOperation operation) {
  switch (operation) {
    case OpenAiOperation::kChat:
      return "/chat/completions";
    case OpenAiOperation::kCompletions:
      return "/completions";
    case OpenAiOperation::kEmbeddings:
      return "/embeddings";
  }
  return "";
}

absl::Span<const Translator* const> Translators() {
  static const AnthropicTranslator anthropic;
  static const BedrockTranslator bedrock;
  static const GeminiTranslator gemini;
  static const OllamaTranslator ollama;
  static const std::array<const Translator*, 4> all = {&anthropic, &bedrock, &gemini, &ollama};
  return all;
}

const Translator* FindTranslator(std::string_view provider) {
  for (const Translator* translator : Translators()) {
    if (translator->name() == provider) {
      return translator;
    }
  }
  return nullptr;
}

const Translator* TranslatorFor(std::string_view provider, std::string_view base_path,
                                const ProviderOptions& options) {
  const bool is_openai =
      options.format == "openai" || (options.format.empty() && IsOpenAiPath(provider, base_path));
  return is_openai ? nullptr : FindTranslator(provider);
}

std::unique_ptr<FrameDecoder> NewFrameDecoder(Framing framing) {
  switch (framing) {
    case Framing::kSse:
      return NewSseDecoder();
    case Framing::kNdjson:
      return NewNdjsonDecoder();
    case Framing::kAmazonEventStream:
      return std::make_unique<AmazonEventStreamDecoder>();
  }
  return nullptr;
}

}  // namespace rota::provider
