#pragma once

// TrustGate's JSON -> APIs: upstreams (`{name, algorithm, targets, health_checks}`), as their
// documents post them, and consumers with `lb_config` and `fallback` beside the registries that
// they name. A file may hold one object, a list of them, or several documents.
//
// What TrustGate means: `round-robin` ignores weights; a weight of 0 counts as 1; `models` is what
// a client may ask for, and `default_model` answers anything else.
//
// Pure and thread-safe.

#include <vector>

#include "cli/import/imported.h"

namespace rota::importer {

Imported ImportTrustGate(const std::vector<SourceDocument>& documents);

}  // namespace rota::importer
