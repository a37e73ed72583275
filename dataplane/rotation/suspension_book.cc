#include "dataplane/rotation/suspension_book.h"

#include <algorithm>
#include <utility>

namespace rota::rotation {

SuspensionBook::SuspensionBook(std::string node, uint64_t first_epoch)
    : node_(std::move(node)), first_epoch_(first_epoch), epoch_(first_epoch) {}

void SuspensionBook::Attach(const RotationSpec& spec, const std::shared_ptr<ChangeSignal>& signal) {
  std::lock_guard guard(mutex_);
  for (const TargetSpec& target : spec.targets) {
    // Erased first: the key is a view into the spec that attached it before.
    attached_.erase(target.id);
    attached_.emplace(target.id, signal);
    const auto found = records_.find(target.id);
    if (found == records_.end()) {
      continue;
    }
    TargetRecord& record = *found->second;
    if (!std::exchange(record.was_attached_, true)) {
      --unknown_;
    }
    if (std::find(record.signals_.begin(), record.signals_.end(), signal) ==
        record.signals_.end()) {
      record.signals_.push_back(signal);
    }
    signal->fetch_add(1, std::memory_order_release);
  }
}

void SuspensionBook::Detach(const RotationSpec& spec) {
  std::lock_guard guard(mutex_);
  for (const TargetSpec& target : spec.targets) {
    const auto found = attached_.find(target.id);
    if (found != attached_.end() && found->first.data() == target.id.data()) {
      attached_.erase(found);
    }
  }
}

std::shared_ptr<TargetRecord> SuspensionBook::Find(absl::string_view target) const {
  std::lock_guard guard(mutex_);
  const auto found = records_.find(target);
  return found == records_.end() ? nullptr : found->second;
}

std::optional<Suspension> SuspensionBook::Suspend(const std::string& target, Reason reason,
                                                  MonotonicTime now, MonotonicTime until,
                                                  uint64_t generation,
                                                  const std::shared_ptr<ChangeSignal>& signal) {
  if (until <= now) {
    return std::nullopt;
  }
  std::lock_guard guard(mutex_);
  TargetRecord& record = RecordOf(target, signal);
  if (generation < record.generation_) {
    return std::nullopt;
  }
  record.failures_.store(0, std::memory_order_relaxed);
  Statement* own = FindStatement(record, node_);
  if (own != nullptr && !own->lifted && own->until > now) {
    // What an upstream asks for is more than a guess, and neither makes the other shorter.
    const bool is_firmer = own->reason == Reason::kFailures && reason != Reason::kFailures;
    if (own->until >= until && !is_firmer) {
      return std::nullopt;
    }
    until = std::max(until, own->until);
    reason = reason == Reason::kFailures ? own->reason : reason;
  }
  if (own == nullptr) {
    own = AddStatement(record, node_, MonotonicTime::max(), /*lifted=*/false);
  }
  *own = {node_, ++epoch_, reason, until, /*lifted=*/false, /*decided_here=*/true};
  // Copied first: settling moves the statements.
  std::optional<Suspension> told = AsSuspension(record, *own);
  Settle(record, now);
  return told;
}

uint32_t SuspensionBook::CountFailure(const std::string& target, MonotonicTime now,
                                      const std::shared_ptr<ChangeSignal>& signal) {
  std::lock_guard guard(mutex_);
  TargetRecord& record = RecordOf(target, signal);
  if (record.IsSuspended(now)) {
    return 0;
  }
  return record.failures_.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::optional<Suspension> SuspensionBook::ApplyRemote(const Suspension& said, MonotonicTime now) {
  std::lock_guard guard(mutex_);
  if (said.origin == node_) {
    // Said by this node in an earlier life: what it says from now on must count as newer.
    epoch_ = std::max(epoch_, said.epoch);
  }
  const bool is_over = said.until <= now;
  TargetRecord* const record =
      is_over ? RecordOfConfigured(said.target) : RecordOfRemote(said.target, now);
  if (record == nullptr) {
    return std::nullopt;
  }
  if (said.lifted && said.origin == node_) {
    record->own_lifted_epoch_ = std::max(record->own_lifted_epoch_, said.epoch);
  }
  Statement* statement = FindStatement(*record, said.origin);
  if (is_over && (statement == nullptr || statement->decided_here)) {
    return std::nullopt;  // news only about what others have said before
  }
  std::optional<Suspension> told;
  if (statement != nullptr && Outlasts(said, *record, *statement)) {
    statement->until = said.until;
    statement->epoch = ++epoch_;
    told = AsSuspension(*record, *statement);
  } else if (statement != nullptr && statement->epoch == said.epoch &&
             statement->lifted == said.lifted && !statement->decided_here) {
    // Told once more: what was held up on its way makes an end later, nothing makes it earlier.
    statement->until = std::min(statement->until, said.until);
  } else if (statement != nullptr &&
             (statement->epoch > said.epoch ||
              (statement->epoch == said.epoch && statement->lifted >= said.lifted))) {
    return std::nullopt;  // known already, or overtaken
  } else {
    if (statement == nullptr) {
      statement = AddStatement(*record, said.origin, said.until, said.lifted);
    }
    if (statement != nullptr) {
      *statement = {said.origin, said.epoch,  said.reason,
                    said.until,  said.lifted, /*decided_here=*/false};
    }
  }
  Settle(*record, now);
  return told;
}

bool SuspensionBook::Outlasts(const Suspension& said, const TargetRecord& record,
                              const Statement& own) const {
  return own.decided_here && !own.lifted && !said.lifted && said.epoch <= first_epoch_ &&
         said.epoch > record.own_lifted_epoch_ && said.until > own.until;
}

std::vector<Suspension> SuspensionBook::Lift(const std::string& target, MonotonicTime now,
                                             uint64_t generation) {
  std::vector<Suspension> told;
  std::lock_guard guard(mutex_);
  TargetRecord* const record = RecordOfConfigured(target);
  if (record == nullptr) {
    return told;
  }
  record->generation_ = std::max(record->generation_, generation);
  record->failures_.store(0, std::memory_order_relaxed);
  for (Statement& statement : record->statements_) {
    if (!statement.lifted && statement.until > now) {
      statement.lifted = true;
      if (statement.origin == node_) {
        record->own_lifted_epoch_ = std::max(record->own_lifted_epoch_, statement.epoch);
      }
      told.push_back(AsSuspension(*record, statement));
    }
  }
  Settle(*record, now);
  return told;
}

std::vector<Suspension> SuspensionBook::Active(MonotonicTime now) const {
  std::vector<Suspension> active;
  std::lock_guard guard(mutex_);
  for (const auto& [target, record] : records_) {
    const Statement* const longest = Longest(*record, now);
    if (longest != nullptr) {
      active.push_back(AsSuspension(*record, *longest));
    }
  }
  return active;
}

std::vector<Suspension> SuspensionBook::Own(MonotonicTime now) const {
  std::vector<Suspension> own;
  std::lock_guard guard(mutex_);
  for (const auto& [target, record] : records_) {
    for (const Statement& statement : record->statements_) {
      if (statement.decided_here && !statement.lifted && statement.until > now) {
        own.push_back(AsSuspension(*record, statement));
      }
    }
  }
  return own;
}

std::vector<Suspension> SuspensionBook::Known(MonotonicTime now) const {
  std::vector<Suspension> known;
  std::lock_guard guard(mutex_);
  for (const auto& [target, record] : records_) {
    for (const Statement& statement : record->statements_) {
      if (statement.until > now) {
        known.push_back(AsSuspension(*record, statement));
      }
    }
  }
  return known;
}

std::optional<Suspension> SuspensionBook::ActiveOf(const TargetRecord& record,
                                                   MonotonicTime now) const {
  std::lock_guard guard(mutex_);
  const Statement* const longest = Longest(record, now);
  if (longest == nullptr) {
    return std::nullopt;
  }
  return AsSuspension(record, *longest);
}

void SuspensionBook::Forget(const std::vector<std::string>& targets) {
  std::lock_guard guard(mutex_);
  for (const std::string& target : targets) {
    const auto found = records_.find(target);
    if (found != records_.end() && found->second->was_attached_ && !attached_.contains(target)) {
      records_.erase(found);
    }
  }
}

TargetRecord& SuspensionBook::RecordOf(const std::string& target,
                                       const std::shared_ptr<ChangeSignal>& signal) {
  std::shared_ptr<TargetRecord>& record = records_[target];
  if (record == nullptr) {
    record = std::make_shared<TargetRecord>(target);
    record->was_attached_ = true;
    record->signals_.push_back(signal);
    // Other objects of the same rotation have to find the new record.
    signal->fetch_add(1, std::memory_order_release);
  } else if (std::find(record->signals_.begin(), record->signals_.end(), signal) ==
             record->signals_.end()) {
    record->signals_.push_back(signal);
  }
  return *record;
}

// Null: there is no such target as far as is known.
TargetRecord* SuspensionBook::RecordOfConfigured(const std::string& target) {
  const auto found = records_.find(target);
  if (found != records_.end()) {
    return found->second.get();
  }
  const auto attached = attached_.find(target);
  return attached == attached_.end() ? nullptr : &RecordOf(target, attached->second);
}

TargetRecord* SuspensionBook::RecordOfRemote(const std::string& target, MonotonicTime now) {
  if (TargetRecord* const record = RecordOfConfigured(target)) {
    return record;
  }
  if (unknown_ >= kMaxUnknownTargets && now >= next_sweep_) {
    next_sweep_ = now + kSweepInterval;
    DropExpiredUnknown(now);
  }
  if (unknown_ >= kMaxUnknownTargets) {
    return nullptr;
  }
  ++unknown_;
  return records_.emplace(target, std::make_shared<TargetRecord>(target)).first->second.get();
}

Statement* SuspensionBook::FindStatement(TargetRecord& record, const std::string& origin) {
  for (Statement& statement : record.statements_) {
    if (statement.origin == origin) {
      return &statement;
    }
  }
  return nullptr;
}

Statement* SuspensionBook::AddStatement(TargetRecord& record, const std::string& origin,
                                        MonotonicTime until, bool lifted) {
  std::vector<Statement>& statements = record.statements_;
  if (statements.size() < kMaxOrigins) {
    statements.push_back({origin, 0, Reason::kQuota, until, false, false});
    return &statements.back();
  }
  // Full: one that was lifted makes room, or else the one that ends first, if the new one matters
  // longer.
  const auto first = std::min_element(
      statements.begin(), statements.end(), [](const Statement& a, const Statement& b) {
        return std::pair(!a.lifted, a.until) < std::pair(!b.lifted, b.until);
      });
  return first->lifted || (!lifted && first->until < until) ? &*first : nullptr;
}

const Statement* SuspensionBook::Longest(const TargetRecord& record, MonotonicTime now) {
  const Statement* longest = nullptr;
  for (const Statement& statement : record.statements_) {
    if (!statement.lifted && statement.until > now &&
        (longest == nullptr || statement.until > longest->until)) {
      longest = &statement;
    }
  }
  return longest;
}

void SuspensionBook::Settle(TargetRecord& record, MonotonicTime now) {
  std::erase_if(record.statements_,
                [now](const Statement& statement) { return statement.until <= now; });
  Duration::rep until = 0;
  Duration::rep asked_until = 0;
  for (const Statement& statement : record.statements_) {
    if (!statement.lifted) {
      const Duration::rep end = Duration(statement.until.time_since_epoch()).count();
      until = std::max(until, end);
      asked_until = std::max(asked_until, statement.reason == Reason::kFailures ? 0 : end);
    }
  }
  const bool is_other = record.asked_until_.exchange(asked_until) != asked_until;
  if (record.until_.exchange(until, std::memory_order_acq_rel) != until || is_other) {
    for (const std::shared_ptr<ChangeSignal>& signal : record.signals_) {
      signal->fetch_add(1, std::memory_order_release);
    }
  }
}

Suspension SuspensionBook::AsSuspension(const TargetRecord& record, const Statement& statement) {
  return {record.target(), statement.reason, statement.until,
          statement.epoch, statement.origin, statement.lifted};
}

void SuspensionBook::DropExpiredUnknown(MonotonicTime now) {
  absl::erase_if(records_, [now](const auto& entry) {
    return !entry.second->was_attached_ && !entry.second->IsSuspended(now);
  });
  unknown_ =
      static_cast<size_t>(std::count_if(records_.begin(), records_.end(), [](const auto& entry) {
        return !entry.second->was_attached_;
      }));
}

}  // namespace rota::rotation
