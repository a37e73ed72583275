#pragma once

// Which dialect an endpoint speaks: the words that select a translator and the quota evidence.
// Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

namespace rota::compile {

// "Azure OpenAI" -> "azure": the dialect that a name of a user stands for, whatever its case,
// spaces and dashes; nullopt when no dialect has that name.
std::optional<std::string> DialectOfName(std::string_view name);

// The dialect of a well-known host ("https://api.anthropic.com" -> "anthropic"); nullopt otherwise.
std::optional<std::string> DialectOfUrl(std::string_view normalised_url);

// All dialects, for messages: "anthropic, azure, ...".
std::string KnownDialects();

}  // namespace rota::compile
