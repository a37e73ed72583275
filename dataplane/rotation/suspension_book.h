#pragma once

// Who is off the rota until when, and how often each target has failed in a row, by target id: the
// state that rotations share across snapshots. Only targets that have been in trouble, or whose
// credential has changed, have a record.
//
// Thread-safe. Locks: a rotation's mutex may be held when the book is called; the book calls
// nobody.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "dataplane/rotation/rotation.h"

namespace rota::rotation {

// Counts up when the suspensions of one of a rotation's targets may have changed. Shared by all
// objects of one rotation id.
using ChangeSignal = std::atomic<uint64_t>;

// What one origin has said about a target. A lifted statement stays until its end, so that a
// repetition of it does not bring the suspension back.
struct Statement {
  std::string origin;
  uint64_t epoch = 0;
  Reason reason = Reason::kQuota;
  MonotonicTime until;
  bool lifted = false;
  bool decided_here = false;
};

class TargetRecord {
 public:
  explicit TargetRecord(std::string target) : target_(std::move(target)) {}
  const std::string& target() const { return target_; }
  bool IsSuspended(MonotonicTime now) const { return until() > now; }
  // The end of the longest suspension; the clock's epoch when there is none.
  MonotonicTime until() const {
    return MonotonicTime(Duration(until_.load(std::memory_order_acquire)));
  }
  // ... of those that an upstream has asked for: failures alone are a guess.
  MonotonicTime asked_until() const {
    return MonotonicTime(Duration(asked_until_.load(std::memory_order_acquire)));
  }
  uint32_t failures() const { return failures_.load(std::memory_order_relaxed); }
  void ClearFailures() {
    if (failures() != 0) {
      failures_.store(0, std::memory_order_relaxed);
    }
  }

 private:
  friend class SuspensionBook;
  const std::string target_;
  std::atomic<Duration::rep> until_{0};
  std::atomic<Duration::rep> asked_until_{0};
  std::atomic<uint32_t> failures_{0};
  // Guarded by the book's mutex.
  std::vector<Statement> statements_;
  std::vector<std::shared_ptr<ChangeSignal>> signals_;
  bool was_attached_ = false;
  uint64_t generation_ = 0;        // since which the target has its credential
  uint64_t own_lifted_epoch_ = 0;  // of the newest statement of this node that was lifted
};

class SuspensionBook {
 public:
  // More origins per target or unknown targets than these are not remembered.
  static constexpr size_t kMaxOrigins = 64;
  static constexpr size_t kMaxUnknownTargets = 16'384;
  // A full book looks for what has ended this often, not for each statement that it has no room
  // for: a look goes over all records.
  static constexpr Duration kSweepInterval = std::chrono::seconds(1);

  SuspensionBook(std::string node, uint64_t first_epoch);

  // Ties the ids to a rotation's signal; they are views into its spec, until Detach.
  void Attach(const RotationSpec& spec, const std::shared_ptr<ChangeSignal>& signal);
  void Detach(const RotationSpec& spec);

  // Null when there is nothing to know of the target.
  std::shared_ptr<TargetRecord> Find(absl::string_view target) const;
  // `generation`: of the configuration by which the request was sent whose answer is the evidence.
  // Returns the statement as it is to be told to others; absent when it adds nothing (ended
  // already, not later than what this process has said before, or about a credential that has
  // changed).
  std::optional<Suspension> Suspend(const std::string& target, Reason reason, MonotonicTime now,
                                    MonotonicTime until, uint64_t generation,
                                    const std::shared_ptr<ChangeSignal>& signal);
  // Counts one failure and returns the new count. Nothing is counted while the target is suspended:
  // such failures belong to requests that were under way.
  uint32_t CountFailure(const std::string& target, MonotonicTime now,
                        const std::shared_ptr<ChangeSignal>& signal);

  // Returns what others have to be told in turn: when this node said in an earlier life that the
  // target is off for longer than it says now, it says so again.
  std::optional<Suspension> ApplyRemote(const Suspension& said, MonotonicTime now);
  // Returns the statements that were lifted. `generation`: the configuration that has brought a new
  // credential; 0: none has.
  std::vector<Suspension> Lift(const std::string& target, MonotonicTime now, uint64_t generation);
  std::vector<Suspension> Active(MonotonicTime now) const;
  std::vector<Suspension> Own(MonotonicTime now) const;
  std::vector<Suspension> Known(MonotonicTime now) const;
  std::optional<Suspension> ActiveOf(const TargetRecord& record, MonotonicTime now) const;
  // Forgets the records of targets that are not configured any more.
  void Forget(const std::vector<std::string>& targets);

 private:
  TargetRecord& RecordOf(const std::string& target, const std::shared_ptr<ChangeSignal>& signal);
  TargetRecord* RecordOfRemote(const std::string& target, MonotonicTime now);
  static Statement* FindStatement(TargetRecord& record, const std::string& origin);
  static Statement* AddStatement(TargetRecord& record, const std::string& origin,
                                 MonotonicTime until, bool lifted);
  TargetRecord* RecordOfConfigured(const std::string& target);
  static const Statement* Longest(const TargetRecord& record, MonotonicTime now);
  // Brings the record's end up to date after its statements have changed, and tells the rotations.
  static void Settle(TargetRecord& record, MonotonicTime now);
  // True when `said` was said in an earlier life of this node and reaches further than `own`.
  bool Outlasts(const Suspension& said, const TargetRecord& record, const Statement& own) const;
  static Suspension AsSuspension(const TargetRecord& record, const Statement& statement);
  void DropExpiredUnknown(MonotonicTime now);

  const std::string node_;
  const uint64_t first_epoch_;
  mutable std::mutex mutex_;
  uint64_t epoch_;
  absl::flat_hash_map<std::string, std::shared_ptr<TargetRecord>> records_;
  absl::flat_hash_map<absl::string_view, std::shared_ptr<ChangeSignal>> attached_;
  size_t unknown_ = 0;  // records that have never been attached
  MonotonicTime next_sweep_;
};

}  // namespace rota::rotation
