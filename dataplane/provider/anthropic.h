#pragma once

// Anthropic's Messages API (https://docs.anthropic.com/en/api/messages). What is not obvious:
// max_tokens is required (providerOptions.maxTokens, else 4096); structured output is a forced call
// of a tool whose arguments are the answer's content; `reasoning_effort` is a thinking budget.
//
// Stateless and thread-safe.

#include "dataplane/provider/dialect.h"

namespace rota::provider {

class AnthropicTranslator final : public Translator {
 public:
  std::string_view name() const override { return "anthropic"; }
  absl::StatusOr<TranslatedRequest> Chat(const Json& request,
                                         const TargetContext& target) const override;
  absl::Span<const FieldRule> fields() const override;
  absl::StatusOr<TranslatedAnswer> ChatAnswer(std::string_view body,
                                              const AnswerContext& context) const override;
  OpenAiError ErrorAnswer(const ErrorInput& input) const override;
  std::unique_ptr<StreamTranslator> NewStream(const AnswerContext& context) const override;
};

}  // namespace rota::provider
