#pragma once

// Decides when a status is worth telling. A change of Accepted or ResolvedRefs goes out at once;
// while the data planes are merely on their way (or, after a start, not there yet) the news waits a
// moment, so that one change of an API is one status and not three, and pods that come and go
// change nothing. What a resource's .status says already is told once all the same: the sinks know
// every API then, and who writes compares.
//
// Pure (time is an argument), single-thread. Bounded by the APIs that exist.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/clock.h"
#include "controller/reconcile/status.h"

namespace rota::reconcile {

// How long data planes may take to confirm before "Pending" is told, or to connect before
// "NoDataPlane".
inline constexpr Duration kProgrammedGrace = std::chrono::seconds(5);

class StatusTracker {
 public:
  // What the resource's .status says already, for an API that is seen for the first time.
  void Seed(const resource::ObjectName& name, ApiStatus status);
  // The newest status of an API. Returns it, times of transition filled in, when it is to be told
  // now.
  std::optional<ApiStatus> Offer(ApiStatus status, MonotonicTime now, WallTime wall_now);
  // Statuses whose waiting time is over.
  std::vector<ApiStatus> Due(MonotonicTime now, WallTime wall_now);
  std::optional<MonotonicTime> NextDue() const;
  void Forget(const resource::ObjectName& name);

 private:
  struct Waiting {
    MonotonicTime until;
    ApiStatus status;
  };

  ApiStatus Tell(ApiStatus status, WallTime wall_now);

  std::map<resource::ObjectName, ApiStatus> told_;
  std::set<resource::ObjectName> seeded_;  // of told_: those that no sink has been told
  std::map<resource::ObjectName, Waiting> waiting_;
};

}  // namespace rota::reconcile
