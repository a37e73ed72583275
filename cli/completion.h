#pragma once

// Shell completion. The scripts ask the program itself (`rotactl __complete WORD...`), so that they
// never grow stale; kubectl asks its plug-ins in the same way. Pure. Thread-safe.

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"

namespace rota::cli {

// What may stand in place of the last of `words` (which may be ""), after the others.
std::vector<std::string> Complete(const CLI::App& app, const std::vector<std::string>& words);

// The answer in the form that kubectl wants from a plug-in: a candidate per line, then how to go
// on.
std::string CompletionAnswer(const CLI::App& app, const std::vector<std::string>& words);

// The script for "bash", "zsh" or "fish".
absl::StatusOr<std::string> CompletionScript(const std::string& shell);

}  // namespace rota::cli
