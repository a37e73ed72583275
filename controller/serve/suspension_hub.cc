#include "controller/serve/suspension_hub.h"

#include <algorithm>

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

// The origin of what a person lifts at the controller; no data plane may be called so, because a
// node name is never empty and this one has a space.
constexpr char kOperatorOrigin[] = "by hand";

Duration FromProto(const google::protobuf::Duration& duration, Duration maximum) {
  if (duration.seconds() < 0 || duration.nanos() < 0) {
    return Duration::zero();
  }
  const int64_t limit = std::chrono::duration_cast<std::chrono::seconds>(maximum).count();
  if (duration.seconds() >= limit) {
    return maximum;
  }
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

}  // namespace

v1::Suspension ToProto(const SharedSuspension& suspension, MonotonicTime now) {
  v1::Suspension item;
  item.set_target(suspension.target);
  item.set_origin(suspension.origin);
  item.set_reason(suspension.reason);
  item.set_epoch(suspension.epoch);
  item.set_lifted(suspension.lifted);
  const Duration remaining = std::max<Duration>(suspension.until - now, Duration::zero());
  item.mutable_remaining()->set_seconds(remaining.count() / 1'000'000'000);
  item.mutable_remaining()->set_nanos(static_cast<int32_t>(remaining.count() % 1'000'000'000));
  return item;
}

std::vector<SharedSuspension> SuspensionHub::Merge(const std::string& origin,
                                                   const v1::SuspensionReport& report,
                                                   MonotonicTime now) {
  std::vector<SharedSuspension> changes;
  std::lock_guard guard(mutex_);
  Prune(now);
  for (const v1::Suspension& item : report.items()) {
    if (item.target().empty() || item.target().size() > options_.max_name_bytes || origin.empty() ||
        origin.size() > options_.max_name_bytes) {
      ++dropped_;
      continue;
    }
    SharedSuspension incoming;
    incoming.target = item.target();
    incoming.origin = origin;
    incoming.reason = item.reason();
    incoming.epoch = item.epoch();
    incoming.lifted = item.lifted();
    incoming.until = now + FromProto(item.remaining(), options_.max_remaining);
    MergeOne(incoming, now, changes);
  }
  return changes;
}

void SuspensionHub::MergeOne(const SharedSuspension& incoming, MonotonicTime now,
                             std::vector<SharedSuspension>& changes) {
  auto target = targets_.find(incoming.target);
  if (target != targets_.end()) {
    const auto known = target->second.find(incoming.origin);
    if (known != target->second.end() && known->second.epoch >= incoming.epoch) {
      return;  // a duplicate, or older than what is known
    }
  }
  if (incoming.lifted) {
    if (target == targets_.end()) {
      // Nothing is known, but somebody may know more: the lift is passed on and not remembered.
      changes.push_back(incoming);
      return;
    }
    EndAll(target->second, incoming, changes);
    return;
  }
  if (incoming.until <= now) {
    return;
  }
  if (target == targets_.end() || !target->second.contains(incoming.origin)) {
    if (count_ >= options_.max_statements) {
      DropOne();
    }
    ++count_;
  }
  Statements& statements = targets_[incoming.target];
  statements[incoming.origin] = incoming;
  if (!IsShared(statements, incoming)) {
    return;
  }
  // The second witness of AUTH makes the first one's statement known too.
  for (const auto& [origin, statement] : statements) {
    if (origin == incoming.origin ||
        (incoming.reason == v1::AUTH && !statement.lifted && statement.reason == v1::AUTH)) {
      changes.push_back(statement);
    }
  }
}

void SuspensionHub::EndAll(Statements& statements, const SharedSuspension& lift,
                           std::vector<SharedSuspension>& changes) {
  // What was lifted is remembered until it would have ended, so that a late repetition of the same
  // statement does not bring it back.
  SharedSuspension told = lift;
  for (auto& [origin, statement] : statements) {
    statement.lifted = true;
    told.until = std::max(told.until, statement.until);
  }
  if (statements.contains(lift.origin)) {
    statements[lift.origin] = told;
  } else if (told.until > lift.until && count_ < options_.max_statements) {
    statements[lift.origin] = told;
    ++count_;
  }
  changes.push_back(told);
}

std::vector<SharedSuspension> SuspensionHub::Lift(const std::string& target, MonotonicTime now) {
  std::vector<SharedSuspension> changes;
  std::lock_guard guard(mutex_);
  Prune(now);
  SharedSuspension lift;
  lift.target = target;
  lift.origin = kOperatorOrigin;
  lift.epoch = ++lift_epoch_;
  lift.lifted = true;
  lift.until = now;
  EndAll(targets_[target], lift, changes);
  Prune(now);
  return changes;
}

void SuspensionHub::set_connected(size_t data_planes) {
  std::lock_guard guard(mutex_);
  connected_ = data_planes;
}

bool SuspensionHub::IsShared(const Statements& statements,
                             const SharedSuspension& statement) const {
  if (statement.reason != v1::AUTH || connected_ <= 1) {
    return true;
  }
  return std::count_if(statements.begin(), statements.end(), [](const auto& entry) {
           return entry.second.reason == v1::AUTH && !entry.second.lifted;
         }) >= 2;
}

std::vector<SharedSuspension> SuspensionHub::Shared(MonotonicTime now) const {
  std::vector<SharedSuspension> lifted;
  std::vector<SharedSuspension> active;
  std::lock_guard guard(mutex_);
  for (const auto& [target, statements] : targets_) {
    for (const auto& [origin, statement] : statements) {
      if (statement.until <= now) {
        continue;
      }
      if (statement.lifted) {
        lifted.push_back(statement);
      } else if (IsShared(statements, statement)) {
        active.push_back(statement);
      }
    }
  }
  lifted.insert(lifted.end(), active.begin(), active.end());
  return lifted;
}

std::vector<SharedSuspension> SuspensionHub::Active(MonotonicTime now) const {
  std::vector<SharedSuspension> active;
  std::lock_guard guard(mutex_);
  for (const auto& [target, statements] : targets_) {
    const SharedSuspension* last = nullptr;
    for (const auto& [origin, statement] : statements) {
      if (!statement.lifted && statement.until > now &&
          (last == nullptr || statement.until > last->until)) {
        last = &statement;
      }
    }
    if (last != nullptr) {
      active.push_back(*last);
    }
  }
  return active;
}

MonotonicTime SuspensionHub::NextEnd(MonotonicTime now) const {
  MonotonicTime next = MonotonicTime::max();
  for (const SharedSuspension& suspension : Active(now)) {
    next = std::min(next, suspension.until);
  }
  return next;
}

uint64_t SuspensionHub::dropped() const {
  std::lock_guard guard(mutex_);
  return dropped_;
}

void SuspensionHub::Prune(MonotonicTime now) {
  for (auto target = targets_.begin(); target != targets_.end();) {
    count_ -= std::erase_if(target->second,
                            [now](const auto& entry) { return entry.second.until <= now; });
    target = target->second.empty() ? targets_.erase(target) : std::next(target);
  }
}

void SuspensionHub::DropOne() {
  auto victim_target = targets_.end();
  Statements::iterator victim;
  for (auto target = targets_.begin(); target != targets_.end(); ++target) {
    for (auto entry = target->second.begin(); entry != target->second.end(); ++entry) {
      if (victim_target == targets_.end() || entry->second.until < victim->second.until) {
        victim_target = target;
        victim = entry;
      }
    }
  }
  if (victim_target == targets_.end()) {
    return;
  }
  victim_target->second.erase(victim);
  if (victim_target->second.empty()) {
    targets_.erase(victim_target);
  }
  --count_;
  ++dropped_;
}

}  // namespace rota::serve
