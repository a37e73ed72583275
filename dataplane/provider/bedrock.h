#pragma once

// Amazon Bedrock: Converse and ConverseStream for chat, InvokeModel for the embeddings of Titan and
// Cohere (https://docs.aws.amazon.com/bedrock/latest/APIReference/). What is not obvious: a model
// is a model id, an inference profile or an ARN of either, one segment of the path; a history with
// calls is refused without tools; structured output is a forced call of a tool whose arguments are
// the answer's content; what Converse has no member for goes into additionalModelRequestFields, in
// the words of the model's maker.
//
// Stateless and thread-safe.

#include "dataplane/provider/dialect.h"

namespace rota::provider {

class BedrockTranslator final : public Translator {
 public:
  // Stands in for the tools when the history has calls and no tool may be called any more. Calls of
  // it are nobody's.
  static constexpr std::string_view kPlaceholderTool = "no_tool_may_be_called";

  std::string_view name() const override { return "bedrock"; }
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
  Framing framing() const override { return Framing::kAmazonEventStream; }
  Signing signing() const override { return Signing::kSigV4; }
};

}  // namespace rota::provider
