#pragma once

// The rota: exact weighted rotation over the targets of one (API or operation, environment), less
// those that are suspended. Contract: docs/concepts/rotation.md (exact share on every prefix of
// first picks, survivors in proportion, no catch-up burst, suspensions only ever extended).
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
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/sequencer.h"

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

// A suspension as others see it: what `origin` said. (origin, epoch) identifies the statement.
struct Suspension {
  std::string target;
  Reason reason = Reason::kQuota;
  MonotonicTime until;
  uint64_t epoch = 0;  // of `origin`; counts up
  std::string origin;  // node that saw the evidence
  // This statement counts no more, although its end has not come; kept until then, so that a late
  // repetition does not bring it back.
  bool lifted = false;
};

struct Pick {
  size_t target = 0;  // index into RotationSpec::targets
  // Place in the serial order of first picks: `schedule` counts up with every change of the
  // eligible set, `position` counts the picks since then. Zero for PickNext.
  uint64_t schedule = 0;
  uint64_t position = 0;
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

class Schedule;
class SuspensionBook;
class TargetRecord;
using ChangeSignal = std::atomic<uint64_t>;

// Called with each suspension that this process decides; see Registry::Listener.
using SuspensionListener = std::function<void(const Suspension&)>;

// One rotation. Thread-safe; a first pick takes no allocation and no lock (only where the weights
// make the order longer than a table can be, an uncontended one). Made by Registry.
class Rotation {
 public:
  // `book` and `signal` are shared with the other objects of the same id; `place` is the number of
  // this data plane in its fleet, which picks in a rhythm of its own. Targets beyond kMaxTargets
  // are ignored: whoever decodes a configuration refuses them.
  Rotation(RotationSpec spec, std::shared_ptr<SuspensionBook> book,
           std::shared_ptr<ChangeSignal> signal, std::shared_ptr<const SuspensionListener> listener,
           uint64_t place);
  ~Rotation();
  Rotation(const Rotation&) = delete;
  Rotation& operator=(const Rotation&) = delete;

  // A pick is going to be made soon: what it looks at is fetched meanwhile.
  void Prepare() const;
  // The first pick of a request: exact share on every prefix while the eligible set stands. Only
  // targets of the lowest tier that has an eligible one.
  PickResult PickFirst(MonotonicTime now);
  // ... of an operation that the targets `excluded` cannot have. Exact over the others for each
  // such set; takes a lock.
  PickResult PickFirst(MonotonicTime now, const TargetSet& excluded);
  // The pick after a failed try, on a schedule of its own over (eligible minus tried).
  PickResult PickNext(MonotonicTime now, const TargetSet& tried, const TargetSet& excluded = {});
  // Why PickFirst would find nothing; nullopt: it would find something. Nothing is picked.
  std::optional<NothingEligible> WhyNothing(MonotonicTime now, const TargetSet& excluded = {});

  // Evidence that the target is used up or refuses us: off the rota until `until` or the end
  // already known, whichever is later. `generation`: of the configuration by which the request was
  // sent whose answer says so; about a credential that has changed since it says nothing. True when
  // this is a new suspension or a longer one.
  bool Suspend(size_t target, Reason reason, MonotonicTime now, MonotonicTime until,
               uint64_t generation = UINT64_MAX);
  // The target has answered: its count of consecutive failures starts again.
  void RecordSuccess(size_t target);
  // All failures of one request, at its end. Counts them, unless two targets failed alike; suspends
  // at the threshold, but never the last eligible target. Returns those that it has suspended.
  std::vector<size_t> RecordFailures(const std::vector<Failure>& failures, MonotonicTime now);

  const RotationSpec& spec() const { return spec_; }
  // Differs from before when a suspension may have begun, grown or been lifted (it ends by itself
  // without a change): what waits for a return looks again.
  uint64_t change_count() const;

  // The targets of the next first picks, as far as they are known and at most `most`. Nothing is
  // picked.
  std::vector<size_t> Upcoming(MonotonicTime now, size_t most);

  // For /debug and metrics.
  struct TargetState {
    uint64_t first_picks = 0;
    uint32_t consecutive_failures = 0;
    std::optional<Suspension> suspension;
  };
  std::vector<TargetState> Inspect(MonotonicTime now) const;

 private:
  struct Eligible {
    TargetSet all;                                     // of every tier
    TargetSet active;                                  // of the lowest tier that has one
    MonotonicTime next_return = MonotonicTime::max();  // max: nobody is going to return
  };
  // What of its next pick each target has earned already, in kOnePick; see leads.h.
  using Leads = std::vector<int64_t>;
  struct NextSchedule;
  struct OrderWithout;

  // All of these need `mutex_`.
  Eligible FindEligible(MonotonicTime now, const TargetSet& excluded);
  const TargetRecord* RecordAt(size_t target);
  TargetSet LowestTier(const TargetSet& targets) const;
  static Leads EvenLeads(size_t count);
  std::vector<Sequencer::Item> ItemsInOrder(const TargetSet& targets, const Leads& leads) const;
  std::unique_ptr<Schedule> MakeSchedule(const TargetSet& active);
  std::unique_ptr<Schedule> TakeSpare();
  void StartInPlace(const TargetSet& active, Leads& leads) const;
  void RefreshSchedule(MonotonicTime now);
  void SettleLeads(const Schedule& schedule);
  void FreeRetired();
  NextSchedule& ScheduleOverRest(const TargetSet& rest);
  OrderWithout& OrderOf(const TargetSet& excluded, const TargetSet& active);
  bool SuspendForFailures(size_t target, MonotonicTime now, std::vector<Suspension>& told);

  const RotationSpec spec_;
  const std::shared_ptr<SuspensionBook> book_;
  const std::shared_ptr<ChangeSignal> signal_;
  const std::shared_ptr<const SuspensionListener> listener_;

  std::atomic<Schedule*> schedule_{nullptr};
  // Null until there is something to know of the target: most are never in trouble.
  std::vector<std::atomic<TargetRecord*>> records_;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<TargetRecord>> held_records_;  // keep `records_` alive
  std::vector<std::unique_ptr<Schedule>> retired_;           // some thread may still pick from them
  std::vector<std::unique_ptr<Schedule>> spares_;            // for the next parts of a long order
  std::vector<uint64_t> settled_picks_;  // first picks on schedules that are gone
  Leads leads_;
  const uint64_t place_;
  uint64_t schedules_made_ = 0;
  MonotonicTime latest_now_;
  std::unique_ptr<std::vector<NextSchedule>> next_schedules_;
  Leads next_leads_;
  std::unique_ptr<std::vector<OrderWithout>> orders_without_;  // null until one is needed
};

}  // namespace rota::rotation
