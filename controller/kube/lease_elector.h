#pragma once

// Runs LeaseState against the API server: one thread asks and renews, a second one ends our term at
// its deadline even while the first one waits for an answer. What depends on the lease asks leads()
// before each act; `on_change` starts and cancels what is longer.
//
// Thread-safe but for Start() and Stop(), which belong to one thread.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "common/backoff.h"
#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/lease.h"

namespace rota::kube {

struct LeaseOptions {
  std::string ns;
  std::string name;
  std::string identity;  // unique per process, "<pod>_<random>"
  LeaseTimings timings;
  Backoff::Random uniform = Backoff::SystemRandom();
  // Called with true when a term begins and with false when it has ended, in turn, from one thread
  // and without a lock. leads() has changed already.
  std::function<void(bool)> on_change;
};

// For metrics and people.
struct LeaseReport {
  bool leads = false;
  std::string identity;  // ours
  std::string holder;    // "": nobody, or not known
  uint64_t changes = 0;  // terms of ours that have begun or ended
  uint64_t failures = 0;
  std::string error;  // of the last turn, "" when it went well
};

class LeaseElector {
 public:
  // `api` and `clock` outlive the elector.
  LeaseElector(const KubeApi& api, Clock& clock, LeaseOptions options);
  ~LeaseElector();  // stops

  void Start();
  // Ends our term (on_change is told) and hands the lease on, so that nobody has to wait for its
  // end. To be called when everything that depends on it has stopped.
  void Stop();

  // We hold the lease, and nobody else can before a while from now.
  bool leads() const;
  // False: the term should have ended long ago and has not; the process is not to be trusted.
  bool healthy() const;
  LeaseReport report() const;

 private:
  void Elect(std::stop_token stop);
  void TakeTurn(std::stop_token stop);
  void Watch(std::stop_token stop);
  absl::StatusOr<nlohmann::json> Send(const LeaseRequest& request, std::stop_token stop,
                                      const HttpLimits& limits) const;
  void Note(const absl::Status& status);
  void Release();

  const KubeApi& api_;
  Clock& clock_;
  const LeaseOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  LeaseState state_;     // guarded by mutex_
  LeaseReport report_;   // guarded by mutex_; `leads` is what on_change was told
  absl::Status logged_;  // guarded by mutex_

  std::jthread elector_;
  std::jthread watcher_;
};

}  // namespace rota::kube
