#pragma once

// Every provider by its name. A dialect has one row; OpenAI-compatible ones need none, or one with
// what they do differently.
//
// Pure and thread-safe; rows live for ever.

#include <string_view>

#include "absl/types/span.h"
#include "dataplane/provider/dialect.h"

namespace rota::provider {

// The dialect of `provider` ("anthropic", "bedrock", ...; the controller's canonical names and the
// usual other spellings, case does not matter); null when it speaks OpenAI's own.
const Translator* FindTranslator(std::string_view provider);
// All of them, in the order of their names.
absl::Span<const Translator* const> Translators();

}  // namespace rota::provider
