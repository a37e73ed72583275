#include "controller/serve/suspension_hub.h"

#include <algorithm>

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

bool IsWitness(const SharedSuspension& statement, MonotonicTime now) {
  return statement.reason == v1::AUTH && !statement.lifted && statement.until > now;
}

}  // namespace

v1::Suspension ToProto(const SharedSuspension& suspension, MonotonicTime now) {
  v1::Suspension item;
  item.set_target(suspension.target);
  item.set_origin(suspension.origin);
  item.set_reason(suspension.reason);
  item.set_epoch(suspension.epoch);
  item.set_lifted(suspension.lifted);
  ToProto(suspension.until - now, *item.mutable_remaining());
  return item;
}

HubChanges SuspensionHub::Merge(const std::string& node, const Items& items, MonotonicTime sent,
                                MonotonicTime now) {
  HubChanges changes;
  std::lock_guard guard(mutex_);
  Prune(now);
  for (const v1::Suspension& item : items) {
    SharedSuspension statement;
    if (!Read(item, sent, statement)) {
      continue;
    }
    if (statement.origin.empty()) {
      statement.origin = node;
    }
    if (statement.origin == node || statement.reason != v1::AUTH || statement.lifted) {
      MergeOne(statement, now, changes);
    }
  }
  return changes;
}

HubChanges SuspensionHub::MergeFromPeer(const Items& items, MonotonicTime sent, MonotonicTime now) {
  HubChanges changes;
  std::lock_guard guard(mutex_);
  Prune(now);
  for (const v1::Suspension& item : items) {
    SharedSuspension statement;
    if (Read(item, sent, statement)) {
      MergeOne(statement, now, changes);
    }
  }
  return changes;
}

bool SuspensionHub::Read(const v1::Suspension& item, MonotonicTime sent,
                         SharedSuspension& statement) {
  if (item.target().empty() || item.target().size() > options_.max_name_bytes ||
      item.origin().size() > options_.max_name_bytes) {
    ++dropped_;
    return false;
  }
  statement.target = item.target();
  statement.origin = item.origin();
  statement.reason = item.reason();
  statement.epoch = item.epoch();
  statement.lifted = item.lifted();
  statement.until = sent + FromProto(item.remaining());  // which is bounded: a year
  return true;
}

void SuspensionHub::MergeOne(SharedSuspension incoming, MonotonicTime now, HubChanges& changes) {
  const auto target = targets_.find(incoming.target);
  bool is_new = true;
  if (target != targets_.end()) {
    const auto known = target->second.find(incoming.origin);
    is_new = known == target->second.end();
    if (!is_new && !IsNews(known->second, incoming)) {
      return;
    }
    // Whoever goes on saying what was shared is still believed.
    incoming.confirmed = !is_new && known->second.confirmed && IsWitness(known->second, now) &&
                         incoming.reason == v1::AUTH;
  }
  if (is_new && incoming.until <= now) {
    return;  // what is over is news only about a statement that is here
  }
  if (is_new && ends_.size() >= options_.max_statements) {
    EraseFirstEnd();
    ++dropped_;
  }
  Put(incoming);
  Statements& statements = targets_.at(incoming.target);
  const bool is_witness = IsWitness(incoming, now);
  if (is_witness) {
    Confirm(statements, now);
  }
  changes.news.push_back(incoming);
  if (!IsShared(statements.at(incoming.origin))) {
    return;
  }
  // The second witness of AUTH makes the first one's statement known too.
  for (const auto& [origin, statement] : statements) {
    if (origin == incoming.origin || (is_witness && IsWitness(statement, now))) {
      changes.shared.push_back(statement);
    }
  }
}

// Those who say so at one time confirm each other.
void SuspensionHub::Confirm(Statements& statements, MonotonicTime now) {
  const auto is_witness = [&](const auto& entry) { return IsWitness(entry.second, now); };
  if (std::count_if(statements.begin(), statements.end(), is_witness) < 2) {
    return;
  }
  for (auto& [origin, statement] : statements) {
    statement.confirmed = statement.confirmed || IsWitness(statement, now);
  }
}

bool SuspensionHub::IsNews(const SharedSuspension& known, const SharedSuspension& incoming) {
  if (known.epoch != incoming.epoch || known.lifted != incoming.lifted) {
    return incoming.epoch > known.epoch || (incoming.epoch == known.epoch && incoming.lifted);
  }
  // A repetition. What was held up on its way makes an end later, nothing makes it earlier; a
  // difference of the usual delays is not worth telling.
  return incoming.until + kDelayTolerance <= known.until;
}

HubChanges SuspensionHub::Lift(const std::string& target, MonotonicTime now) {
  HubChanges changes;
  std::lock_guard guard(mutex_);
  Prune(now);
  const auto found = targets_.find(target);
  if (found == targets_.end()) {
    return changes;
  }
  for (auto& [origin, statement] : found->second) {
    if (!statement.lifted) {
      statement.lifted = true;
      changes.news.push_back(statement);
    }
  }
  changes.shared = changes.news;
  return changes;
}

void SuspensionHub::set_connected(size_t data_planes) {
  std::lock_guard guard(mutex_);
  connected_ = data_planes;
}

void SuspensionHub::set_connected_elsewhere(size_t data_planes) {
  std::lock_guard guard(mutex_);
  connected_elsewhere_ = data_planes;
}

bool SuspensionHub::IsShared(const SharedSuspension& statement) const {
  return statement.reason != v1::AUTH || statement.lifted || statement.confirmed ||
         connected_ + connected_elsewhere_ <= 1;
}

template <typename Filter>
std::vector<SharedSuspension> SuspensionHub::Collect(const StatementKey& after, size_t count,
                                                     Filter filter) const {
  std::vector<SharedSuspension> found;
  for (auto target = targets_.lower_bound(after.first); target != targets_.end(); ++target) {
    const Statements& statements = target->second;
    auto entry =
        target->first == after.first ? statements.upper_bound(after.second) : statements.begin();
    for (; entry != statements.end(); ++entry) {
      if (found.size() == count) {
        return found;
      }
      if (filter(entry->second)) {
        found.push_back(entry->second);
      }
    }
  }
  return found;
}

std::vector<SharedSuspension> SuspensionHub::Shared(MonotonicTime now, const StatementKey& after,
                                                    size_t count) const {
  std::lock_guard guard(mutex_);
  return Collect(after, count, [&](const SharedSuspension& statement) {
    return statement.until > now && IsShared(statement);
  });
}

std::vector<SharedSuspension> SuspensionHub::Known(MonotonicTime now, const StatementKey& after,
                                                   size_t count) const {
  std::lock_guard guard(mutex_);
  return Collect(after, count,
                 [&](const SharedSuspension& statement) { return statement.until > now; });
}

// The statement that ends last; null when none is active.
const SharedSuspension* SuspensionHub::LastActive(const Statements& statements, MonotonicTime now) {
  const SharedSuspension* last = nullptr;
  for (const auto& [origin, statement] : statements) {
    if (!statement.lifted && statement.until > now &&
        (last == nullptr || statement.until > last->until)) {
      last = &statement;
    }
  }
  return last;
}

std::vector<SharedSuspension> SuspensionHub::Active(MonotonicTime now) const {
  std::vector<SharedSuspension> active;
  std::lock_guard guard(mutex_);
  for (const auto& [target, statements] : targets_) {
    if (const SharedSuspension* last = LastActive(statements, now)) {
      active.push_back(*last);
    }
  }
  return active;
}

MonotonicTime SuspensionHub::NextEnd(MonotonicTime now) const {
  std::lock_guard guard(mutex_);
  for (const auto& [until, statement] : ends_) {
    if (LastActive(targets_.at(statement->target), now) == statement) {
      return until;
    }
  }
  return MonotonicTime::max();
}

uint64_t SuspensionHub::dropped() const {
  std::lock_guard guard(mutex_);
  return dropped_;
}

void SuspensionHub::Put(const SharedSuspension& statement) {
  const auto [place, is_new] = targets_[statement.target].try_emplace(statement.origin, statement);
  if (!is_new) {
    ends_.erase({place->second.until, &place->second});
    place->second = statement;
  }
  ends_.emplace(statement.until, &place->second);
}

void SuspensionHub::Prune(MonotonicTime now) {
  while (!ends_.empty() && ends_.begin()->first <= now) {
    EraseFirstEnd();
  }
}

void SuspensionHub::EraseFirstEnd() {
  const SharedSuspension& statement = *ends_.begin()->second;
  const auto target = targets_.find(statement.target);
  const auto origin = target->second.find(statement.origin);
  ends_.erase(ends_.begin());
  target->second.erase(origin);
  if (target->second.empty()) {
    targets_.erase(target);
  }
}

}  // namespace rota::serve
