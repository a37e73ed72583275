#pragma once

// `rotactl import`: files of other gateways in, manifests and a report out. Single-thread.

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.h"

namespace rota::cli {

struct ImportOptions {
  std::string gateway{};             // "kong"
  std::vector<std::string> files{};  // or "-": standard input
  std::string directory{};           // where manifests go; "" = standard output
  bool secrets_from_env = false;
  std::vector<std::string> providers{};  // of agentcc: NAME=URL[,FORMAT[,VARIABLE]]
};

// The value of an environment variable; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

// Writes manifests to `out` or into the directory (which is made; no file in it is overwritten),
// and to `err` what was mapped, what differs, what has no equal, and what `rotactl validate` says
// of the result. Returns kExitOk, kExitFindings (something could not be imported, or the result has
// errors) or kExitUsage (a file cannot be read or written, a variable is not set).
int Import(const ImportOptions& options, const Environment& environment, std::istream& in,
           std::ostream& out, std::ostream& err);

}  // namespace rota::cli
