#pragma once

// Keeps one identity fresh, on a thread of its own: asks when it is wanted first, again well before
// the end, with back-off after failures. What it has got stays in use while it lives, however often
// the service fails meanwhile. Requests never wait for it. Thread-safe.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "dataplane/cloud/refresh_plan.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

class Refresher {
 public:
  using Values = std::map<std::string, SecretString>;
  // Both are called on the refresher's thread.
  struct Callbacks {
    // Asks the service; may block until `stop`.
    std::function<absl::StatusOr<Grant>(std::stop_token stop)> fetch;
    // New values, or Unavailable: those before must not be used any more.
    std::function<void(absl::StatusOr<Values> values)> publish;
  };

  struct State {
    bool is_wanted = false;
    bool has_asked = false;                     // the first answer, of whatever kind, has come
    std::optional<MonotonicTime> usable_until;  // absent: there is nothing to use
    uint64_t fetched = 0;
    uint64_t failed = 0;
    std::string problem;  // why the newest fetch has failed; "" when it has not
  };

  // `name` for the log ("aws"). `clock` outlives the refresher.
  Refresher(std::string name, Callbacks callbacks, Clock& clock,
            Backoff::Random random = Backoff::SystemRandom());
  // Ends a fetch that is under way.
  ~Refresher();

  // From now on the identity is kept. Never blocks for long; may be called again.
  void Want();
  State state() const;

 private:
  void Run(std::stop_token stop);
  void FetchOnce(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);
  void End(std::unique_lock<std::mutex>& lock);

  const std::string name_;
  const Callbacks callbacks_;
  Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  RefreshPlan plan_;  // of the thread alone
  State state_;       // guarded by mutex_
  std::jthread thread_;
};

}  // namespace rota::cloud
