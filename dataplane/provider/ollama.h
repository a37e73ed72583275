#pragma once

// Ollama's own API, /api/chat and /api/embed
// (https://github.com/ollama/ollama/blob/main/docs/api.md). Its OpenAI-compatible /v1 is not used
// here: it has no place for the options that a model on one's own machine needs (num_ctx, top_k,
// keep_alive) nor for a schema with `think`, and reports usage in a stream only when asked. Who
// wants /v1 names the provider `openai`. Streams are JSON lines.
//
// Stateless and thread-safe.

#include "dataplane/provider/dialect.h"

namespace rota::provider {

class OllamaTranslator final : public Translator {
 public:
  std::string_view name() const override { return "ollama"; }
  absl::StatusOr<TranslatedRequest> Chat(const Json& request,
                                         const TargetContext& target) const override;
  absl::StatusOr<TranslatedRequest> Embeddings(const Json& request,
                                               const TargetContext& target) const override;
  absl::Span<const FieldRule> fields() const override;
  absl::Span<const FieldRule> embedding_fields() const override;
  absl::StatusOr<TranslatedAnswer> ChatAnswer(std::string_view body,
                                              const AnswerContext& context) const override;
  absl::StatusOr<TranslatedAnswer> EmbeddingsAnswer(std::string_view body,
                                                    const AnswerContext& context) const override;
  OpenAiError ErrorAnswer(const ErrorInput& input) const override;
  std::unique_ptr<StreamTranslator> NewStream(const AnswerContext& context) const override;
  Framing framing() const override { return Framing::kNdjson; }
};

}  // namespace rota::provider
