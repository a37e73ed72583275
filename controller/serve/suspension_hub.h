#pragma once

// What the whole fleet knows about suspended targets. Statements come from data planes in any order
// and any number of times; the merge is commutative and idempotent: of one (target, origin) the
// highest epoch wins, across origins the latest end counts, a lift ends them all. Soft state: data
// planes repeat their own active suspensions after every reconnect, so a controller that restarts
// forgets nothing for long.
//
// Ends are monotonic times of this process. Thread-safe; never calls back.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/clock.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

struct SharedSuspension {
  std::string target;
  std::string origin;
  rota::sync::v1::SuspensionReason reason = rota::sync::v1::SUSPENSION_REASON_UNSPECIFIED;
  uint64_t epoch = 0;
  MonotonicTime until;
  bool lifted = false;
};

// As it goes on the wire: the end as what remains at `now`.
rota::sync::v1::Suspension ToProto(const SharedSuspension& suspension, MonotonicTime now);

struct SuspensionHubOptions {
  size_t max_statements = 8192;  // beyond: the one that ends first is dropped and counted
  Duration max_remaining = std::chrono::hours(24 * 7);
  size_t max_name_bytes = 256;  // of a target or an origin; longer ones are ignored and counted
};

class SuspensionHub {
 public:
  explicit SuspensionHub(SuspensionHubOptions options = {}) : options_(options) {}

  // Statements of one data plane, whose name replaces what they claim as origin. Returns what the
  // other data planes have to be told. An AUTH statement (a broken pod, or a broken credential?) is
  // shared only when a second data plane says so too, or when no second one is connected.
  std::vector<SharedSuspension> Merge(const std::string& origin,
                                      const rota::sync::v1::SuspensionReport& report,
                                      MonotonicTime now);
  // A person ends every suspension of a target. Returns what all data planes have to be told.
  std::vector<SharedSuspension> Lift(const std::string& target, MonotonicTime now);

  // The number of data planes that are connected: decides how many witnesses AUTH needs.
  void set_connected(size_t data_planes);

  // For a data plane that has just connected: lifts first, then everything that is shared.
  std::vector<SharedSuspension> Shared(MonotonicTime now) const;
  // For people and status: per target the statement that ends last, shared or not yet.
  std::vector<SharedSuspension> Active(MonotonicTime now) const;
  // When the next active suspension ends, MonotonicTime::max() without one.
  MonotonicTime NextEnd(MonotonicTime now) const;
  // Statements that were dropped at the bound or ignored as malformed.
  uint64_t dropped() const;

 private:
  using Statements = std::map<std::string, SharedSuspension>;  // by origin

  bool IsShared(const Statements& statements, const SharedSuspension& statement) const;
  void MergeOne(const SharedSuspension& incoming, MonotonicTime now,
                std::vector<SharedSuspension>& changes);
  void EndAll(Statements& statements, const SharedSuspension& lift,
              std::vector<SharedSuspension>& changes);
  void Prune(MonotonicTime now);
  void DropOne();

  const SuspensionHubOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, Statements> targets_;
  size_t count_ = 0;
  size_t connected_ = 0;
  uint64_t dropped_ = 0;
  uint64_t lift_epoch_ = 0;
};

}  // namespace rota::serve
