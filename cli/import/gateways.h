#pragma once

// The gateways whose files are imported: one row each. Pure and thread-safe.

#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "cli/import/imported.h"

namespace rota::importer {

struct Gateway {
  const char* name;         // as on the command line
  const char* description;  // for --help
  Imported (*import)(const std::vector<SourceDocument>& documents);
};

absl::Span<const Gateway> Gateways();
// Null when there is none of that name.
const Gateway* FindGateway(std::string_view name);

}  // namespace rota::importer
