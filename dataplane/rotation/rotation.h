#pragma once

// The rota: exact weighted rotation over the targets of one (API or operation, environment), less those
// that are suspended. Contract: docs/concepts/rotation.md (exact share on every prefix of first picks,
// survivors in proportion, no catch-up burst, suspensions only ever extended).
//
// Pure: no threads, no sockets, no clock of its own (`now` is a parameter).

#include <atomic>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"

namespace rota::rotation {

inline constexpr size_t kMaxTargets = 64;
using TargetSet = std::bitset<kMaxTargets>;

enum class Reason : uint8_t { kQuota = 1, kFailures = 2, kAuth = 3 };

// "quota", "failures", "auth": label values and log words.
std::string_view ReasonName(Reason reason);

// What is configured for one target. `id` outlives snapshots, weight and tier do not matter for it.
struct TargetSpec {
  std::string id;
  uint32_t weight = 1;
  uint32_t tier = 1;
  // False: never picked whatever its weight (its credential is missing).
  bool usable = true;
  friend bool operator==(const TargetSpec&, const TargetSpec&) = default;
};

struct RotationSpec {
  std::string id;
  std::vector<TargetSpec> targets;  // at most kMaxTargets
  uint32_t failure_threshold = 3;   // 0: consecutive failures never suspend
  Duration failure_suspension = std::chrono::seconds(60);
  friend bool operator==(const RotationSpec&, const RotationSpec&) = default;
};

// A suspension as others see it.
struct Suspension {
  std::string target;
  Reason reason = Reason::kQuota;
  MonotonicTime until;
  uint64_t epoch = 0;   // of `origin`; counts up
  std::string origin;   // node that saw the evidence
};

struct Pick {
  size_t target = 0;  // index into RotationSpec::targets
};

// Nothing is eligible. `earliest_return` is absent when no suspended target will ever return (every
// weight is 0 or every credential is missing).
struct NothingEligible {
  std::optional<MonotonicTime> earliest_return;
};

struct PickResult {
  std::optional<Pick> pick;
  NothingEligible nothing;  // meaningful only without a pick
};

// Why a try did not give an answer that counts; two of one kind in one request blame the request.
enum class FailureKind : uint8_t { kConnect, kTls, kReset, kTimeout, kServerError };

struct Failure {
  size_t target = 0;
  FailureKind kind = FailureKind::kConnect;
};

// One rotation. Thread-safe; a pick takes no allocation and no contended lock.
class Rotation {
 public:
  virtual ~Rotation() = default;

  // The first pick of a request: exact share on every prefix while the eligible set stands. Only targets
  // of the lowest tier that has an eligible one.
  virtual PickResult PickFirst(MonotonicTime now) = 0;
  // The pick after a failed try, on a schedule of its own over (eligible minus tried).
  virtual PickResult PickNext(MonotonicTime now, const TargetSet& tried) = 0;

  // Evidence that the target is used up or refuses us: off the rota until `until` or the end already
  // known, whichever is later.
  virtual void Suspend(size_t target, Reason reason, MonotonicTime now, MonotonicTime until) = 0;
  // The target has answered: its count of consecutive failures starts again.
  virtual void RecordSuccess(size_t target) = 0;
  // All failures of one request, at its end. Counts them, unless two targets failed alike; suspends at the
  // threshold, but never the last eligible target.
  virtual void RecordFailures(const std::vector<Failure>& failures, MonotonicTime now) = 0;

  virtual const RotationSpec& spec() const = 0;
  // For /debug and metrics.
  struct TargetState {
    uint64_t first_picks = 0;
    uint32_t consecutive_failures = 0;
    std::optional<Suspension> suspension;
  };
  virtual std::vector<TargetState> Inspect(MonotonicTime now) const = 0;
};

}  // namespace rota::rotation
