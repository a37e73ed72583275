#pragma once

// Every provider by its name. A dialect has one row; OpenAI-compatible ones need none, or one with
// the paths that they have of their own.
//
// Pure and thread-safe; what is returned lives for ever.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "dataplane/provider/dialect.h"

namespace rota::provider {

// Operations in OpenAI's form.
enum class OpenAiOperation : uint8_t { kChat, kCompletions, kEmbeddings };
// "/chat/completions", "/completions", "/embeddings".
std::string_view OpenAiPath(OpenAiOperation operation);

// The dialect by its name ("anthropic"), in the controller's spelling; null when nothing of that
// name is translated.
const Translator* FindTranslator(std::string_view provider);
// What an endpoint speaks; null: OpenAI's own form. `format` "openai" and a base path that says so
// ("/openai", "/v1beta/openai", Ollama's "/v1") win over the provider's name, `format` "native"
// over the base path.
const Translator* TranslatorFor(std::string_view provider, std::string_view base_path,
                                const ProviderOptions& options);

// All dialects, in the order of their names.
absl::Span<const Translator* const> Translators();

}  // namespace rota::provider
