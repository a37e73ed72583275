#pragma once

// `rotactl validate`: checks files before they are applied, with the code of the controller.
// Single-thread.

#include <iosfwd>
#include <string>
#include <vector>

#include "cli/exit_code.h"

namespace rota::cli {

struct ValidateOptions {
  std::vector<std::string>
      paths;          // files, directories (*.yaml, *.yml, *.json in them) or "-" (stdin)
  bool json = false;  // one JSON object instead of lines
  std::string stdin_name = "<stdin>";  // what findings call it
};

// Writes findings and a summary to `out`, what cannot be read to `err`. Returns kExitOk (warnings
// are allowed), kExitFindings (at least one error) or kExitUsage (nothing to check).
int Validate(const ValidateOptions& options, std::istream& in, std::ostream& out,
             std::ostream& err);

}  // namespace rota::cli
