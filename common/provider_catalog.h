#pragma once

// The providers that are known by name: one row each, from which an endpoint gets its `provider`,
// its URL and the header of its key, and the data plane what has to be different in a request. The
// controller, the data plane and docs/providers.md (providers_doc_test) read the same rows. Those
// with an API of their own have a translator beside (dataplane/provider/registry.h); all others are
// OpenAI-compatible and nothing but their row.
//
// Pure and thread-safe; rows live for ever.

#include <span>
#include <string_view>

namespace rota {

// A member of a request that the provider refuses, although OpenAI has it.
struct FieldQuirk {
  std::string_view field;
  std::string_view name;  // what the provider calls it; "": it is left out
};

struct Provider {
  std::string_view name;        // "mistral": what the data plane is told
  std::string_view title;       // for people
  std::string_view url;         // of an endpoint that has none; "": it needs one
  std::string_view key_header;  // where it takes its key
  // A stream can be asked what it has cost (stream_options.include_usage); others refuse the field,
  // or say it unasked.
  bool takes_stream_options = true;
  std::span<const FieldQuirk> quirks;
  std::string_view note;  // for people, beside the row
};

// In the order of their names.
std::span<const Provider> Providers();

// By its `name`; null when there is none.
const Provider* FindProvider(std::string_view name);
// By what people write, whatever its case, spaces, dots and dashes: "Azure OpenAI" is azure.
const Provider* ProviderOfName(std::string_view written);
// By a well-known host: "https://api.anthropic.com/v1" is anthropic.
const Provider* ProviderOfUrl(std::string_view normalised_url);

}  // namespace rota
