#pragma once

// `rotactl validate`: checks files before they are applied, with the code of the controller.
// Single-thread.

#include <iosfwd>
#include <string>
#include <vector>

namespace rota::cli {

struct ValidateOptions {
  std::vector<std::string>
      paths;          // files, directories (*.yaml, *.yml, *.json in them) or "-" (stdin)
  bool json = false;  // one JSON object instead of lines
};

inline constexpr int kExitOk = 0;        // warnings allowed
inline constexpr int kExitFindings = 1;  // at least one error
inline constexpr int kExitUsage = 2;     // a path cannot be read, nothing to check

// Writes findings and a summary to `out`, what cannot be read to `err`. Returns the exit code.
int Validate(const ValidateOptions& options, std::istream& in, std::ostream& out,
             std::ostream& err);

}  // namespace rota::cli
