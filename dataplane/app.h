#pragma once

// rota-dataplane, wired together: controller -> sync client -> route table -> engine, and
// suspensions, metrics and logs on the way back.

#include <memory>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataplane/flags.h"

namespace rota::dataplane {

// Thread-compatible: owned by main().
class App {
 public:
  // Binds every listener, announces the addresses and starts the threads. The error names the
  // option or file and the fix. `clock` outlives the app.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Flags& flags, Clock& clock);
  ~App();

  // SIGHUP: opens the access log anew and re-reads the listener's certificate.
  void Reload();
  // SIGTERM: not ready any more; open requests may take --drain-timeout to finish.
  void Drain();

 private:
  struct State;
  explicit App(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rota::dataplane
