#include "dataplane/provider/dialect.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"

namespace rota::provider {
namespace {

// `dropped` by the review of the fields, beside what the translation has dropped.
absl::StatusOr<TranslatedRequest> WithDropped(std::vector<std::string> dropped,
                                              absl::StatusOr<TranslatedRequest> translated) {
  if (!translated.ok()) {
    return translated;
  }
  for (std::string& field : dropped) {
    std::vector<std::string>& all = translated->dropped;
    if (std::find(all.begin(), all.end(), field) == all.end()) {
      all.push_back(std::move(field));
    }
  }
  return translated;
}

}  // namespace

bool StreamTranslator::Finish(std::string& out) {
  if (has_ended_) {
    chunks_.End(usage_, out);
  }
  return has_ended_;
}

absl::StatusOr<TranslatedRequest> Translator::Embeddings(const Json& /*request*/,
                                                         const TargetContext& /*target*/) const {
  return UnsupportedField("input", "has no embeddings");
}

absl::StatusOr<TranslatedAnswer> Translator::EmbeddingsAnswer(
    std::string_view /*body*/, const AnswerContext& /*context*/) const {
  return absl::DataLossError("this provider has no embeddings");
}

absl::StatusOr<TranslatedRequest> TranslateChat(const Translator& translator, const Json& request,
                                                const TargetContext& target) {
  ASSIGN_OR_RETURN(std::vector<std::string> dropped,
                   ReviewFields(request, translator.fields(), CommonChatFields()));
  return WithDropped(std::move(dropped), translator.Chat(request, target));
}

absl::StatusOr<TranslatedRequest> TranslateEmbeddings(const Translator& translator,
                                                      const Json& request,
                                                      const TargetContext& target) {
  const absl::Span<const FieldRule> rules = translator.embedding_fields();
  if (rules.empty()) {
    return translator.Embeddings(request, target);
  }
  ASSIGN_OR_RETURN(std::vector<std::string> dropped, ReviewFields(request, rules));
  return WithDropped(std::move(dropped), translator.Embeddings(request, target));
}

std::string VersionedPath(std::string_view base_path, std::string_view version,
                          std::string_view path) {
  const std::string_view last = base_path.substr(std::min(base_path.rfind('/'), base_path.size()));
  const bool names_version = last.size() >= 3 && last[1] == 'v' &&
                             absl::ascii_isdigit(static_cast<unsigned char>(last[2]));
  return names_version ? std::string(path) : std::string(version).append(path);
}

}  // namespace rota::provider
