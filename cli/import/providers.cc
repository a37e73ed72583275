#include "cli/import/providers.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace rota::importer {
namespace {

constexpr std::array<ProviderRow, 32> kRows = {{
    {"openai", "openai", "https://api.openai.com/v1", "Authorization"},
    {"azure", "azure", "", "api-key"},
    {"azureopenai", "azure", "", "api-key"},
    {"azureai", "azure", "", "api-key"},
    {"anthropic", "anthropic", "https://api.anthropic.com", "x-api-key"},
    {"claude", "anthropic", "https://api.anthropic.com", "x-api-key"},
    {"bedrock", "bedrock", "", ""},
    {"awsbedrock", "bedrock", "", ""},
    {"aws", "bedrock", "", ""},
    {"amazon", "bedrock", "", ""},
    {"gemini", "gemini", "https://generativelanguage.googleapis.com", "x-goog-api-key"},
    {"google", "gemini", "https://generativelanguage.googleapis.com", "x-goog-api-key"},
    {"ollama", "ollama", "", ""},
    {"mistral", "mistral", "https://api.mistral.ai/v1", "Authorization"},
    {"groq", "groq", "https://api.groq.com/openai/v1", "Authorization"},
    {"deepseek", "deepseek", "https://api.deepseek.com/v1", "Authorization"},
    {"xai", "xai", "https://api.x.ai/v1", "Authorization"},
    {"openrouter", "openrouter", "https://openrouter.ai/api/v1", "Authorization"},
    {"together", "together", "https://api.together.xyz/v1", "Authorization"},
    {"togetherai", "together", "https://api.together.xyz/v1", "Authorization"},
    {"vllm", "vllm", "", "Authorization"},
    // These speak OpenAI's form and need nothing else.
    {"fireworks", "openai", "https://api.fireworks.ai/inference/v1", "Authorization"},
    {"cerebras", "openai", "https://api.cerebras.ai/v1", "Authorization"},
    {"perplexity", "openai", "https://api.perplexity.ai", "Authorization"},
    {"deepinfra", "openai", "https://api.deepinfra.com/v1/openai", "Authorization"},
    {"dashscope", "openai", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
     "Authorization"},
    {"lmstudio", "openai", "", "Authorization"},
    {"tgi", "openai", "", "Authorization"},
    {"localai", "openai", "", "Authorization"},
    {"openaicompatible", "openai", "", "Authorization"},
    {"custom", "openai", "", "Authorization"},
    {"nvidia", "openai", "https://integrate.api.nvidia.com/v1", "Authorization"},
}};

// Paths of operations: the dialect adds them itself.
constexpr std::array<std::string_view, 9> kOperations = {
    "/chat/completions", "/completions",  "/embeddings", "/v1/messages",   "/messages",
    "/api/chat",         "/api/generate", "/api/embed",  "/api/embeddings"};

std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_' && c != '.') {
      plain.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    }
  }
  return plain;
}

}  // namespace

const ProviderRow* FindProvider(std::string_view name) {
  const std::string plain = Plain(name);
  const auto* const row = std::find_if(kRows.begin(), kRows.end(),
                                       [&](const ProviderRow& r) { return r.spelling == plain; });
  return row == kRows.end() ? nullptr : row;
}

const ProviderRow* GuessProvider(std::string_view name) {
  const std::string plain = Plain(name);
  const ProviderRow* best = nullptr;
  for (const ProviderRow& row : kRows) {
    const bool is_better = best == nullptr || row.spelling.size() > best->spelling.size();
    if (plain.starts_with(row.spelling) && is_better) {
      best = &row;
    }
  }
  return best;
}

std::optional<std::string> BaseOfOperation(std::string_view url) {
  while (url.ends_with('/')) {
    url.remove_suffix(1);
  }
  for (const std::string_view operation : kOperations) {
    if (url.ends_with(operation)) {
      return std::string(url.substr(0, url.size() - operation.size()));
    }
  }
  return std::nullopt;
}

OrderedJson KeySecurity(std::string_view secret, std::string_view header, bool in_query) {
  return {{"enabled", true},
          {"securityType",
           {{"secretName", std::string(secret)},
            {"in", in_query ? "Query" : "Header"},
            {"apiKeyNameKey", std::string(header)},
            {"apiKeyValueKey", "apiKey"}}}};
}

OrderedJson DurationOfMilliseconds(int64_t milliseconds) {
  if (milliseconds % 1000 == 0) {
    return milliseconds / 1000;
  }
  return absl::StrCat(milliseconds, "ms");
}

}  // namespace rota::importer
