// rota-dataplane: serves LLM traffic from the snapshots that rota-controller pushes.

#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/command_line.h"
#include "common/log.h"
#include "common/process.h"
#include "dataplane/app.h"
#include "dataplane/flags.h"

namespace {

constexpr int kUsageError = 2;
constexpr int kStartError = 1;

// A pod's host name is its name, which is what its token is checked against; elsewhere the process
// id tells several on one machine apart.
std::string DefaultNode(const rota::dataplane::Flags& flags) {
  const std::string name = rota::HostName();
  return flags.token_file.empty() ? absl::StrCat(name, "-", getpid()) : name;
}

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "rota-dataplane: " << std::string(status.message()) << "\n";
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  rota::CommandLine line(
      "rota-dataplane",
      "Serves LLM traffic: spreads each environment's requests over its models by exact weighted "
      "rotation, takes a model off the rota while its quota is used up, and fails over to the "
      "next.");
  rota::dataplane::Flags flags;
  rota::dataplane::DeclareFlags(line, flags);
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  absl::Status status = rota::dataplane::CheckFlags(flags);
  status.Update(rota::log::SetLevel(flags.log_level));
  if (!status.ok()) {
    return Fail(status, kUsageError);
  }
  if (flags.node.empty()) {
    flags.node = DefaultNode(flags);
  }
  rota::SignalWaiter signals;
  rota::ForbidCoreDumps();
  rota::RealClock clock;
  auto app = rota::dataplane::App::Start(flags, clock);
  if (!app.ok()) {
    return Fail(app.status(), kStartError);
  }
  while (signals.Wait() == SIGHUP) {
    (*app)->Reload();
  }
  (*app)->Drain();
  return 0;
}
