#pragma once

// The commands of rotactl and their options. Single-thread.

#include <iosfwd>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "cli/session.h"
#include "common/clock.h"

namespace rota::cli {

class Commands {
 public:
  // Declares them in `app`, which outlives this object.
  explicit Commands(CLI::App& app);
  ~Commands();
  // Runs the one that was parsed and returns its exit code; nullopt when none was.
  std::optional<int> Run(const Console& console, std::istream& in, Clock& clock);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rota::cli
