#include "dataplane/provider/dialect.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

namespace rota::provider {
namespace {

void AddDropped(std::vector<std::string> reviewed, TranslatedRequest& request) {
  for (std::string& field : reviewed) {
    if (std::find(request.dropped.begin(), request.dropped.end(), field) == request.dropped.end()) {
      request.dropped.push_back(std::move(field));
    }
  }
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
  absl::StatusOr<std::vector<std::string>> dropped = ReviewFields(request, translator.fields());
  if (!dropped.ok()) {
    return dropped.status();
  }
  absl::StatusOr<TranslatedRequest> translated = translator.Chat(request, target);
  if (translated.ok()) {
    AddDropped(*std::move(dropped), *translated);
  }
  return translated;
}

absl::StatusOr<TranslatedRequest> TranslateEmbeddings(const Translator& translator,
                                                      const Json& request,
                                                      const TargetContext& target) {
  const absl::Span<const FieldRule> rules = translator.embedding_fields();
  if (rules.empty()) {
    return translator.Embeddings(request, target);
  }
  absl::StatusOr<std::vector<std::string>> dropped = ReviewFields(request, rules);
  if (!dropped.ok()) {
    return dropped.status();
  }
  absl::StatusOr<TranslatedRequest> translated = translator.Embeddings(request, target);
  if (translated.ok()) {
    AddDropped(*std::move(dropped), *translated);
  }
  return translated;
}

std::string VersionedPath(std::string_view base_path, std::string_view version,
                          std::string_view path) {
  const std::string_view last = base_path.substr(std::min(base_path.rfind('/'), base_path.size()));
  const bool names_version = last.size() >= 3 && last[1] == 'v' &&
                             absl::ascii_isdigit(static_cast<unsigned char>(last[2]));
  return names_version ? std::string(path) : std::string(version).append(path);
}

}  // namespace rota::provider
