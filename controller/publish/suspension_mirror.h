#pragma once

// Looks at the fleet's suspensions for as long as this controller leads, and tells what the
// statuses have to show: SuspensionBook on a thread. News are looked at once a second at most, so
// that ten thousand suspensions are ten thousand changes and not ten million comparisons.
//
// Thread-safe.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "controller/publish/suspension_book.h"

namespace rota::publish {

struct MirrorOptions {
  // What the fleet knows; per target the statement that ends last.
  std::function<std::vector<serve::SharedSuspension>(MonotonicTime)> active;
  std::function<Snapshots()> snapshots;
  // Called without a lock, one call at a time. `is_first`: the first look after Lead(), at what was
  // suspended before.
  std::function<void(const SuspensionChanges&, bool is_first)> on_change;
};

class SuspensionMirror {
 public:
  static constexpr Duration kShortestInterval = std::chrono::seconds(1);

  // `clock` outlives the mirror. Starts its thread.
  SuspensionMirror(Clock& clock, MirrorOptions options);
  ~SuspensionMirror();  // stops

  // Takes the first look at once, on the caller's thread.
  void Lead();
  void Retire();
  // Suspensions, or what is served, may have changed. Cheap; does nothing while another one leads.
  void Wake();
  void Stop();

 private:
  void Run(std::stop_token stop);
  void Look(bool is_first);  // REQUIRES: look_mutex_

  Clock& clock_;
  const MirrorOptions options_;

  std::mutex look_mutex_;  // held while the book is used and the change told
  SuspensionBook book_;    // guarded by look_mutex_
  TargetPlaces places_;    // guarded by look_mutex_

  std::mutex mutex_;  // after look_mutex_
  std::condition_variable_any wake_;
  bool leads_ = false;         // guarded by mutex_
  bool has_news_ = false;      // guarded by mutex_
  MonotonicTime next_look_{};  // guarded by mutex_: not before, with news
  MonotonicTime next_due_{};   // guarded by mutex_: then, without news
  std::jthread thread_;
};

}  // namespace rota::publish
