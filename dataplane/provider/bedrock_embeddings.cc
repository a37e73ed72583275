// Embeddings of the models on Bedrock: no common form, but InvokeModel with each maker's own. Titan
// takes one text per request, Cohere as many as 96.

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/sigv4.h"
#include "dataplane/provider/translator_parts.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr FieldRule kEmbeddingFields[] = {
    {"input", FieldUse::kTranslated, "texts; one per request for Titan, no tokens"},
    {"encoding_format", FieldUse::kTranslated, "base64 is made here"},
    {"dimensions", FieldUse::kTranslated, "Titan v2 and Cohere v4"},
    {"input_type", FieldUse::kTranslated, "Cohere; search_document when it is not there"},
    {"user", FieldUse::kDropped, ""},
};

enum class Maker : uint8_t { kTitan, kCohere, kUnknown };

bool Holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// providerOptions.format says it where the model's name does not (an ARN of an inference profile).
Maker MakerOf(const TargetContext& target) {
  const std::string_view format = target.options->format;
  if (format == "titan" || Holds(target.model, "amazon.titan-embed")) {
    return Maker::kTitan;
  }
  return format == "cohere" || Holds(target.model, "cohere.embed") ? Maker::kCohere
                                                                   : Maker::kUnknown;
}

absl::StatusOr<Json> TitanBody(const Json& request, const std::vector<std::string_view>& texts) {
  if (texts.size() != 1) {
    return UnsupportedField("input", "takes one text per request");
  }
  Json body = ObjectOf("inputText", TextValue(texts.front()));
  RETURN_IF_ERROR(CopyNumber(request, "dimensions", "dimensions", body));
  return body;
}

absl::StatusOr<Json> CohereBody(const Json& request, const std::vector<std::string_view>& texts) {
  Json body = Json::object();
  body["texts"] = Json::array();
  for (const std::string_view text : texts) {
    body["texts"].push_back(TextValue(text));
  }
  const std::string_view input_type = FindText(request, "input_type");
  body["input_type"] = TextValue(input_type.empty() ? "search_document" : input_type);
  RETURN_IF_ERROR(CopyNumber(request, "dimensions", "output_dimension", body));
  return body;
}

// Cohere's list of vectors: "embeddings" itself, or its member "float" when types were asked for.
const Json* CohereVectors(const Json& document) {
  const Json* embeddings = Find(document, "embeddings");
  return embeddings != nullptr && embeddings->is_object() ? Find(*embeddings, "float") : embeddings;
}

}  // namespace

absl::Span<const FieldRule> BedrockTranslator::embedding_fields() const { return kEmbeddingFields; }

absl::StatusOr<TranslatedRequest> BedrockTranslator::Embeddings(const Json& request,
                                                                const TargetContext& target) const {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> texts, ReadEmbeddingInput(request));
  TranslatedRequest translated;
  translated.plan = PlanOf(request);
  Json body;
  switch (MakerOf(target)) {
    case Maker::kTitan: {
      ASSIGN_OR_RETURN(body, TitanBody(request, texts));
      break;
    }
    case Maker::kCohere: {
      ASSIGN_OR_RETURN(body, CohereBody(request, texts));
      break;
    }
    case Maker::kUnknown:
      return UnsupportedField(
          "model", "gives embeddings of Titan and Cohere only (providerOptions.format names one)");
  }
  translated.path = fmt::format("/model/{}/invoke", PercentEncoded(target.model));
  translated.body = DumpJson(body);
  return translated;
}

absl::StatusOr<TranslatedAnswer> BedrockTranslator::EmbeddingsAnswer(
    std::string_view body, const AnswerContext& context) const {
  const absl::StatusOr<Json> document = ParseJson(body);
  if (!document.ok()) {
    return absl::DataLossError("the provider's answer is not JSON");
  }
  EmbeddingsResult result;
  bool is_good = true;
  if (const Json* vector = Find(*document, "embedding"); vector != nullptr) {
    is_good = ReadVector(*vector, result.embeddings.emplace_back());
  } else if (const Json* vectors = CohereVectors(*document); vectors != nullptr) {
    is_good = vectors->is_array();
    for (const Json& item : *vectors) {
      is_good = is_good && ReadVector(item, result.embeddings.emplace_back());
    }
  }
  if (!is_good || result.embeddings.empty()) {
    return absl::DataLossError("the provider's answer has no embeddings");
  }
  result.usage.prompt = FindCount(*document, "inputTextTokenCount");
  result.usage.total = result.usage.prompt;
  TranslatedAnswer answer;
  answer.usage = result.usage;
  answer.body = RenderEmbeddings(result, context);
  return answer;
}

}  // namespace rota::provider
