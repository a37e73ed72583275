#pragma once

// What the commands that talk to a running Rota share: how it is reached, how answers are printed,
// and printing them again and again. Single-thread.

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/peer.h"
#include "cli/port_forward.h"
#include "common/clock.h"

namespace rota::cli {

// Where answers go and how they look. Everything outlives the commands.
struct Console {
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  Style style;
  bool is_terminal = false;  // `out` is one: --watch clears it
  const char* program = "rotactl";
};

struct SessionOptions {
  std::vector<std::string> data_planes{};  // URLs of admin ports
  std::vector<std::string> controllers{};
  KubectlOptions kubectl{};
  Format format = Format::kTable;
  bool watch = false;
  Duration interval = std::chrono::seconds(2);
};

// Whom a command asks. Without URLs, kubectl forwards to the controllers where they are among them,
// because they know their data planes, else to the data planes.
struct Needs {
  bool data_planes = false;
  bool controllers = false;
  bool one_is_enough = false;  // the first pod that runs
};
// Adds the options of the session to a command.
void DeclareSession(CLI::App& command, const Needs& needs, bool can_watch, SessionOptions& options);

// The admin ports that a command asks.
struct Fleet {
  std::vector<Peer> data_planes;
  std::vector<Peer> controllers;
  std::vector<std::string> problems;  // pods that are not among them
  PortForwards forwards;
};
// By the URLs that were given, else through kubectl. InvalidArgument: what is needed was not given.
absl::StatusOr<Fleet> Connect(const SessionOptions& options, const Needs& needs);

// Collects, prints, and with --watch does so again until it is killed. `verdict`: the exit code of
// an answer. Returns the exit code; errors are written to `console.err`.
struct Command {
  std::function<absl::StatusOr<Json>()> collect;
  std::function<std::string(const Json&, Style)> print;
  std::function<int(const Json&)> verdict;
};
int Run(const Command& command, const SessionOptions& options, const Console& console,
        Clock& clock);

// Waits so long.
void Pause(Clock& clock, Duration duration);
// Writes it and returns the exit code that it means.
int Fail(const absl::Status& status, const Console& console);

}  // namespace rota::cli
