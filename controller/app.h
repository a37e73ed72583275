#pragma once

// rota-controller, wired together: source -> reconciler -> snapshot -> sync service -> data planes,
// and statuses and suspensions on the way back.

#include <memory>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/flags.h"

namespace rota::controller {

// Thread-compatible: owned by main().
class App {
 public:
  // Binds every listener, announces the addresses and starts the threads. The error names the
  // option or file and the fix. `clock` outlives the app.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Flags& flags, Clock& clock);
  // Asks data planes to reconnect elsewhere, lets streams end, stops everything.
  ~App();

 private:
  struct State;
  explicit App(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rota::controller
