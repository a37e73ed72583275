// Embeddings: batchEmbedContents, and on Vertex AI predict.

#include <utility>

#include "common/status_macros.h"
#include "dataplane/provider/gemini.h"
#include "dataplane/provider/translator_parts.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr FieldRule kEmbeddingFields[] = {
    {"input", FieldUse::kTranslated, "texts, no tokens"},
    {"encoding_format", FieldUse::kTranslated, "base64 is made here"},
    {"dimensions", FieldUse::kTranslated, "outputDimensionality"},
    {"user", FieldUse::kDropped, ""},
};

bool IsVertex(std::string_view base_path) {
  return base_path.find("/publishers/") != std::string_view::npos;
}

// {"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"outputDimensionality":256}]}
absl::StatusOr<Json> BatchOf(const Json& request, const std::vector<std::string_view>& texts,
                             std::string_view model) {
  const bool is_whole = model.find('/') != std::string_view::npos;
  const Json name = TextValue(is_whole ? std::string(model) : fmt::format("models/{}", model));
  Json requests = Json::array();
  for (const std::string_view text : texts) {
    Json parts = Json::array();
    parts.push_back(ObjectOf("text", TextValue(text)));
    Json one = ObjectOf("model", name);
    one["content"] = ObjectOf("parts", std::move(parts));
    RETURN_IF_ERROR(CopyNumber(request, "dimensions", "outputDimensionality", one));
    requests.push_back(std::move(one));
  }
  return ObjectOf("requests", std::move(requests));
}

// {"instances":[{"content":"a"}],"parameters":{"outputDimensionality":256}}
absl::StatusOr<Json> PredictionOf(const Json& request, const std::vector<std::string_view>& texts) {
  Json body = Json::object();
  body["instances"] = Json::array();
  for (const std::string_view text : texts) {
    body["instances"].push_back(ObjectOf("content", TextValue(text)));
  }
  Json parameters = Json::object();
  RETURN_IF_ERROR(CopyNumber(request, "dimensions", "outputDimensionality", parameters));
  if (!parameters.empty()) {
    body["parameters"] = std::move(parameters);
  }
  return body;
}

// One vector and, on Vertex, its tokens; false when it is none.
bool ReadOne(const Json& holder, EmbeddingsResult& result) {
  const Json* values = Find(holder, "values");
  if (values == nullptr || !ReadVector(*values, result.embeddings.emplace_back())) {
    return false;
  }
  const Json* statistics = Find(holder, "statistics");
  if (statistics != nullptr) {
    result.usage.prompt =
        result.usage.prompt.value_or(0) + FindCount(*statistics, "token_count").value_or(0);
  }
  return true;
}

bool ReadAll(const Json& document, EmbeddingsResult& result) {
  const Json* list = Find(document, "embeddings");
  const bool is_vertex = list == nullptr;
  if (is_vertex) {
    list = Find(document, "predictions");
  }
  if (list == nullptr || !list->is_array() || list->empty()) {
    return false;
  }
  for (const Json& item : *list) {
    const Json* holder = is_vertex ? Find(item, "embeddings") : &item;
    if (holder == nullptr || !ReadOne(*holder, result)) {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::Span<const FieldRule> GeminiTranslator::embedding_fields() const { return kEmbeddingFields; }

absl::StatusOr<TranslatedRequest> GeminiTranslator::Embeddings(const Json& request,
                                                               const TargetContext& target) const {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> texts, ReadEmbeddingInput(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  const bool is_vertex = IsVertex(target.base_path);
  absl::StatusOr<Json> body =
      is_vertex ? PredictionOf(request, texts) : BatchOf(request, texts, target.model);
  RETURN_IF_ERROR(body.status());
  translated.path = PathOf(target, is_vertex ? "predict" : "batchEmbedContents");
  translated.body = DumpJson(*body);
  return translated;
}

absl::StatusOr<TranslatedAnswer> GeminiTranslator::EmbeddingsAnswer(
    std::string_view body, const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  EmbeddingsResult result;
  if (!document.ok() || !ReadAll(*document, result)) {
    return absl::DataLossError("the provider's answer has no embeddings");
  }
  result.usage.total = result.usage.prompt;
  TranslatedAnswer answer;
  answer.usage = result.usage;
  answer.body = RenderEmbeddings(result, context);
  return answer;
}

}  // namespace rota::provider
