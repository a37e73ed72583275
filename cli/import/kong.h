#pragma once

// Kong's declarative files (decK, DB-less) -> APIs. Each path of a route with an ai-proxy plugin
// becomes an API with that base path: POST to the path itself, as Kong's clients do it, and POST to
// the operation below it (`/chat/completions`), as OpenAI's clients do it.
//
// Pure and thread-safe.

#include <vector>

#include "cli/import/imported.h"

namespace rota::importer {

// The documents of all files together, as `deck` reads them.
Imported ImportKong(const std::vector<SourceDocument>& documents);

}  // namespace rota::importer
