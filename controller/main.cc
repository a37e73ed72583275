// rota-controller: watches API resources and Secrets, compiles them into snapshots and keeps the
// data planes at the newest one.

#include <iostream>

#include "common/command_line.h"
#include "common/log.h"
#include "common/process.h"
#include "controller/app.h"
#include "controller/flags.h"

namespace {

constexpr int kUsageError = 2;
constexpr int kStartError = 1;

}  // namespace

int main(int argc, char** argv) {
  rota::CommandLine line(
      "rota-controller",
      "Watches API resources and Secrets, compiles them into routing snapshots and pushes these to "
      "rota-dataplane processes.");
  rota::controller::Flags flags;
  rota::controller::DeclareFlags(line, flags);
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  absl::Status status = rota::controller::CheckFlags(flags);
  status.Update(rota::log::SetLevel(flags.log_level));
  if (!status.ok()) {
    std::cerr << "rota-controller: " << std::string(status.message()) << "\n";
    return kUsageError;
  }
  rota::SignalWaiter signals;
  rota::ForbidCoreDumps();
  rota::RealClock clock;
  auto app = rota::controller::App::Start(flags, clock);
  if (!app.ok()) {
    std::cerr << "rota-controller: " << std::string(app.status().message()) << "\n";
    return kStartError;
  }
  // Certificates and configuration are read again when their files change: SIGHUP has nothing to
  // do.
  while (signals.Wait() == SIGHUP) {
  }
  rota::log::Info("controller", "stopping");
  return 0;
}
