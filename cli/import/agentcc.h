#pragma once

// Agent Command Center -> APIs: a `routing_policy`, or the `routing.targets` of its gateway's
// configuration, with the `providers` that the same files define. A provider that no file defines
// is told from its name ("openai-east" is OpenAI), with an endpoint and a Secret of its own.
//
// What Agent Command Center means: an empty strategy is round-robin; a weight of 0 counts as 1;
// failover on 429, 5xx and timeouts, never on 400 or 401.
//
// Pure and thread-safe.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/import/imported.h"

namespace rota::importer {

Imported ImportAgentCommandCenter(const std::vector<SourceDocument>& documents);

// What `--provider NAME=URL[,FORMAT[,VARIABLE]]` defines, as a document of its own.
absl::StatusOr<SourceDocument> ProvidersFromFlags(const std::vector<std::string>& flags);

}  // namespace rota::importer
