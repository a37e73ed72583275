#include "controller/compile/provider.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace rota::compile {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

// Names are compared in lower case without spaces, dashes, dots and underscores.
constexpr std::array<Row, 27> kNames = {{
    {"openai", "openai"},
    {"anthropic", "anthropic"},
    {"claude", "anthropic"},
    {"azure", "azure"},
    {"azureai", "azure"},
    {"azureopenai", "azure"},
    {"azureaifoundry", "azure"},
    {"bedrock", "bedrock"},
    {"aws", "bedrock"},
    {"awsbedrock", "bedrock"},
    {"amazonbedrock", "bedrock"},
    {"gemini", "gemini"},
    {"google", "gemini"},
    {"googleai", "gemini"},
    {"googlegemini", "gemini"},
    {"vertex", "gemini"},
    {"vertexai", "gemini"},
    {"ollama", "ollama"},
    // These speak OpenAI's dialect.
    {"mistral", "openai"},
    {"mistralai", "openai"},
    {"groq", "openai"},
    {"deepseek", "openai"},
    {"vllm", "openai"},
    {"openrouter", "openai"},
    {"together", "openai"},
    {"xai", "openai"},
    {"custom", "openai"},
}};

// A host that equals the first word, or ends with it when that starts with a dot.
constexpr std::array<Row, 8> kHosts = {{
    {"api.openai.com", "openai"},
    {"api.anthropic.com", "anthropic"},
    {".openai.azure.com", "azure"},
    {".services.ai.azure.com", "azure"},
    {".cognitiveservices.azure.com", "azure"},
    {"generativelanguage.googleapis.com", "gemini"},
    {"aiplatform.googleapis.com", "gemini"},
    {"-aiplatform.googleapis.com", "gemini"},
}};

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

std::optional<std::string> DialectOfName(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_' && c != '.') {
      plain.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  const auto* const row =
      std::find_if(kNames.begin(), kNames.end(), [&](const Row& r) { return r.first == plain; });
  return row == kNames.end() ? std::nullopt : std::optional<std::string>(row->second);
}

std::optional<std::string> DialectOfUrl(std::string_view normalised_url) {
  const std::string_view authority = AuthorityOf(normalised_url);
  const std::string_view host = authority.substr(0, authority.find(':'));
  for (const auto& [pattern, dialect] : kHosts) {
    const bool is_suffix = pattern.front() == '.' || pattern.front() == '-';
    if (host == pattern || (is_suffix && host.ends_with(pattern))) {
      return std::string(dialect);
    }
  }
  if (IsBedrockHost(host)) {
    return "bedrock";
  }
  // Ollama's own port: nobody else listens there.
  if (authority.ends_with(":11434")) {
    return "ollama";
  }
  return std::nullopt;
}

std::string KnownDialects() { return "anthropic, azure, bedrock, gemini, ollama, openai"; }

}  // namespace rota::compile
