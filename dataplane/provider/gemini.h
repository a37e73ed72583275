#pragma once

// Google's Gemini API (https://ai.google.dev/api/generate-content), also as Vertex AI serves it
// (an endpoint whose base path names a project: /v1/projects/P/locations/L/publishers/google). What
// is not obvious: streams are always asked for as SSE; calls have no ids here, results are matched
// by name and order; Gemini 3 refuses calls in the history without the signature of its thoughts,
// and takes a fixed word for calls that are not its own.
//
// Stateless and thread-safe.

#include "dataplane/provider/dialect.h"

namespace rota::provider {

class GeminiTranslator final : public Translator {
 public:
  std::string_view name() const override { return "gemini"; }
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

  // "/v1beta/models/gemini-2.5-pro:generateContent"; without the version when the base path has
  // one.
  static std::string PathOf(const TargetContext& target, std::string_view method);
};

}  // namespace rota::provider
