#include "dataplane/table/operation_form.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

// Whether the operation's requests mean something to the target's provider.
bool CanTake(const v1::Operation& operation, const Target& target) {
  const provider::Translator* translator = target.endpoint->translator;
  switch (operation.kind()) {
    case v1::COMPLETIONS:
      return translator == nullptr;
    case v1::EMBEDDINGS:
      return translator == nullptr || !translator->embedding_fields().empty();
    case v1::MESSAGES:
      return target.endpoint->provider == "anthropic";
    case v1::CONVERSE: {
      const bool is_google = operation.target().find("enerateContent") != std::string::npos;
      return target.endpoint->provider == (is_google ? "gemini" : "bedrock");
    }
    default:
      return true;
  }
}

}  // namespace

std::optional<provider::OpenAiOperation> OpenAiOperationOf(v1::OperationKind kind) {
  switch (kind) {
    case v1::CHAT:
      return provider::OpenAiOperation::kChat;
    case v1::COMPLETIONS:
      return provider::OpenAiOperation::kCompletions;
    case v1::EMBEDDINGS:
      return provider::OpenAiOperation::kEmbeddings;
    default:
      return std::nullopt;
  }
}

std::string_view OwnPathOf(const v1::Operation& operation) {
  const std::optional<provider::OpenAiOperation> form = OpenAiOperationOf(operation.kind());
  if (!form.has_value()) {
    return "";
  }
  std::string_view target = operation.target();
  while (target.ends_with('/')) {
    target.remove_suffix(1);
  }
  const std::string_view path = provider::OpenAiPath(*form);
  return target.ends_with(path) ? "" : path;
}

rotation::TargetSet ExcludedTargets(const v1::Operation& operation,
                                    const std::vector<Target>& targets) {
  rotation::TargetSet excluded;
  for (size_t i = 0; i < targets.size(); ++i) {
    excluded.set(i, !CanTake(operation, targets[i]));
  }
  return excluded.count() == targets.size() ? rotation::TargetSet() : excluded;
}

}  // namespace rota::table
