// rotactl: what people do with Rota from a shell. Also the kubectl plug-in `kubectl rota`, by the
// name kubectl-rota, and its shell completion, by the name kubectl_complete-rota.

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/exit_code.h"
#include "common/command_line.h"
#include "common/process.h"

namespace {

// The last part of the path by which it was called.
std::string CalledAs(const char* path) {
  const std::string text = path == nullptr ? "" : path;
  return text.substr(text.rfind('/') + 1);
}

// https://no-color.org
bool WantsColours(bool is_terminal) {
  return is_terminal && rota::EnvironmentVariable("NO_COLOR").value_or("").empty() &&
         rota::EnvironmentVariable("TERM").value_or("dumb") != "dumb";
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has left is seen when it is written to
  const std::string called_as = CalledAs(argv[0]);
  const char* const program = called_as == "kubectl-rota" ? "kubectl rota" : "rotactl";
  rota::CommandLine line(program,
                         "Looks at a running Rota, and checks APIs before they are applied.",
                         rota::CommandLine::Sources::kFlagsOnly);
  rota::cli::Commands commands(line.app());

  const bool completes = argc > 1 && std::string(argv[1]) == "__complete";
  if (completes || called_as == "kubectl_complete-rota") {
    std::cout << rota::cli::CompletionAnswer(line.app(), {argv + (completes ? 2 : 1), argv + argc});
    return rota::cli::kExitOk;
  }
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  rota::cli::Console console;
  console.out = &std::cout;
  console.err = &std::cerr;
  console.is_terminal = isatty(STDOUT_FILENO) != 0;
  console.style.colours = WantsColours(console.is_terminal);
  console.program = program;
  rota::RealClock clock;
  if (const std::optional<int> exit_code = commands.Run(console, std::cin, clock)) {
    return *exit_code;
  }
  std::cerr << line.app().help();
  return rota::cli::kExitUsage;
}
