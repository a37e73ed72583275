#include "common/provider_catalog.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"

namespace rota {
namespace {

constexpr std::string_view kBearer = "Authorization";

// 422 "Extra inputs are not permitted" (https://docs.mistral.ai/api); usage comes unasked with the
// last chunk.
constexpr FieldQuirk kMistralQuirks[] = {
    {"stream_options", ""},
    {"max_completion_tokens", "max_tokens"},
    {"seed", "random_seed"},
};

constexpr Provider kProviders[] = {
    {"anthropic", "Anthropic", "https://api.anthropic.com", "x-api-key", true, {}, ""},
    {"azure", "Azure OpenAI", "", "api-key", true, {}, "see [below](#azure-openai)"},
    {"bedrock", "Amazon Bedrock", "", kBearer, true, {}, "see [below](#amazon-bedrock)"},
    {"custom",
     "any other OpenAI-compatible server",
     "",
     kBearer,
     false,
     {},
     "nothing is put into its requests"},
    {"deepseek", "DeepSeek", "https://api.deepseek.com/v1", kBearer, true, {}, ""},
    {"gemini",
     "Gemini, Vertex AI",
     "https://generativelanguage.googleapis.com",
     "x-goog-api-key",
     true,
     {},
     "see [below](#gemini-and-vertex-ai)"},
    {"groq", "Groq", "https://api.groq.com/openai/v1", kBearer, true, {}, ""},
    {"mistral", "Mistral AI", "https://api.mistral.ai/v1", kBearer, false, kMistralQuirks,
     "says unasked what a stream has cost"},
    {"ollama", "Ollama", "", kBearer, true, {}, "see [below](#ollama)"},
    {"openai", "OpenAI", "https://api.openai.com/v1", kBearer, true, {}, ""},
    {"openrouter", "OpenRouter", "https://openrouter.ai/api/v1", kBearer, true, {}, ""},
    {"together", "Together AI", "https://api.together.xyz/v1", kBearer, true, {}, ""},
    {"vllm", "vLLM", "", kBearer, true, {}, ""},
    {"xai", "xAI", "https://api.x.ai/v1", kBearer, true, {}, ""},
};

using Row = std::pair<std::string_view, std::string_view>;

// Other spellings of a name, in lower case without spaces, dashes, dots and underscores.
constexpr Row kSpellings[] = {
    {"claude", "anthropic"},      {"azureai", "azure"},       {"azureopenai", "azure"},
    {"azureaifoundry", "azure"},  {"aws", "bedrock"},         {"awsbedrock", "bedrock"},
    {"amazonbedrock", "bedrock"}, {"google", "gemini"},       {"googleai", "gemini"},
    {"googlegemini", "gemini"},   {"vertex", "gemini"},       {"vertexai", "gemini"},
    {"mistralai", "mistral"},     {"togetherai", "together"},
};

// A host that equals the first word, or ends with it when that starts with a dot or a dash.
constexpr Row kHosts[] = {
    {"api.openai.com", "openai"},
    {"api.anthropic.com", "anthropic"},
    {".openai.azure.com", "azure"},
    {".services.ai.azure.com", "azure"},
    {".cognitiveservices.azure.com", "azure"},
    {"generativelanguage.googleapis.com", "gemini"},
    {"aiplatform.googleapis.com", "gemini"},
    {"-aiplatform.googleapis.com", "gemini"},
    {"api.mistral.ai", "mistral"},
    {"api.groq.com", "groq"},
    {"api.deepseek.com", "deepseek"},
    {"api.x.ai", "xai"},
    {"openrouter.ai", "openrouter"},
    {"api.together.xyz", "together"},
    {"api.together.ai", "together"},
};

// "https://host:port/path" -> "host:port".
std::string_view AuthorityOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = url.substr(scheme + 3);
  return rest.substr(0, rest.find('/'));
}

bool IsBedrockHost(std::string_view host) {
  return (host.starts_with("bedrock-runtime.") || host.starts_with("bedrock-runtime-fips.")) &&
         (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"));
}

}  // namespace

std::span<const Provider> Providers() { return kProviders; }

const Provider* FindProvider(std::string_view name) {
  const auto* const row =
      std::find_if(std::begin(kProviders), std::end(kProviders),
                   [name](const Provider& provider) { return provider.name == name; });
  return row == std::end(kProviders) ? nullptr : row;
}

const Provider* ProviderOfName(std::string_view written) {
  std::string plain;
  for (const char c : written) {
    if (c != ' ' && c != '-' && c != '_' && c != '.') {
      plain.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    }
  }
  const auto* const spelling =
      std::find_if(std::begin(kSpellings), std::end(kSpellings),
                   [&plain](const Row& row) { return row.first == plain; });
  return FindProvider(spelling == std::end(kSpellings) ? plain : spelling->second);
}

const Provider* ProviderOfUrl(std::string_view normalised_url) {
  const std::string_view authority = AuthorityOf(normalised_url);
  const std::string_view host = authority.substr(0, authority.find(':'));
  for (const auto& [pattern, name] : kHosts) {
    const bool is_suffix = pattern.front() == '.' || pattern.front() == '-';
    if (host == pattern || (is_suffix && host.ends_with(pattern))) {
      return FindProvider(name);
    }
  }
  if (IsBedrockHost(host)) {
    return FindProvider("bedrock");
  }
  // Ollama's own port: nobody else listens there.
  return authority.ends_with(":11434") ? FindProvider("ollama") : nullptr;
}

}  // namespace rota
