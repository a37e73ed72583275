#pragma once

// What an endpoint's `providerOptions` say. Value; each dialect reads what concerns it.

#include <cstdint>
#include <optional>
#include <string>

namespace rota::provider {

struct ProviderOptions {
  std::string region;       // Bedrock: "eu-west-1"; "" = read from the host
  std::string api_version;  // Azure: "2024-10-21"; Anthropic: "2023-06-01"; "" = the dialect's own
  std::string deployment;   // Azure; "" = the model's name
  std::string format;       // the dialect's variants: Ollama "native" or "openai"; "" = its default
  // Anthropic and Bedrock's Claude: max_tokens of a request that has none.
  std::optional<uint64_t> max_tokens;
  friend bool operator==(const ProviderOptions&, const ProviderOptions&) = default;
};

}  // namespace rota::provider
