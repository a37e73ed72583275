#pragma once

// What importers know of providers: how other gateways spell them, where they are, and which header
// their key goes into. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "cli/import/imported.h"

namespace rota::importer {

struct ProviderRow {
  std::string_view spelling;  // lower case, without spaces, dashes and underscores
  std::string_view provider;  // Rota's `provider`
  std::string_view url;       // "" when the user has to say it
  std::string_view header;    // of the key; "" when there is none or it is no plain key
};

// By any of its spellings; null when Rota has no such provider.
const ProviderRow* FindProvider(std::string_view name);
// The row whose name a user's name begins with: "openai-east" -> openai. Null when there is none.
const ProviderRow* GuessProvider(std::string_view name);

// The base URL where the URL of an operation is known ("http://ollama:11434/api/chat" ->
// "http://ollama:11434"); absent when its path is no operation of any provider.
std::optional<std::string> BaseOfOperation(std::string_view url);

// The `endpointSecurity` of a plain key.
OrderedJson KeySecurity(std::string_view secret, std::string_view header, bool in_query = false);
// Whole seconds as a number, anything else as text: "1500ms".
OrderedJson DurationOfMilliseconds(int64_t milliseconds);

}  // namespace rota::importer
