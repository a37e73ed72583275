#include "controller/reconcile/status_tracker.h"

#include <algorithm>
#include <utility>

#include "controller/reconcile/status_json.h"

namespace rota::reconcile {
namespace {

// Neither confirmed nor refused: may pass by itself.
bool IsTransient(const Condition& programmed) {
  return programmed.status == ConditionStatus::kUnknown || programmed.reason == "NoDataPlane";
}

void SetTime(const Condition* before, WallTime now, Condition& condition) {
  const bool is_unchanged = before != nullptr && before->status == condition.status &&
                            !before->last_transition_time.empty();
  condition.last_transition_time = is_unchanged ? before->last_transition_time : FormatTime(now);
}

// What the user reads is the same but for Programmed.
bool IsSameButProgrammed(const ApiStatus& a, const ApiStatus& b) {
  return SaysTheSame(a.accepted, b.accepted) && SaysTheSame(a.resolved_refs, b.resolved_refs);
}

// A first success waits for the data planes; a finding does not.
bool IsFinding(const ApiStatus& status) {
  return status.accepted.status != ConditionStatus::kTrue ||
         status.resolved_refs.status == ConditionStatus::kFalse;
}

}  // namespace

void StatusTracker::Seed(const resource::ObjectName& name, ApiStatus status) {
  status.name = name;
  if (told_.try_emplace(name, std::move(status)).second) {
    seeded_.insert(name);
  }
}

ApiStatus StatusTracker::Tell(ApiStatus status, WallTime wall_now) {
  const auto before = told_.find(status.name);
  const ApiStatus* old = before == told_.end() ? nullptr : &before->second;
  SetTime(old == nullptr ? nullptr : &old->accepted, wall_now, status.accepted);
  SetTime(old == nullptr ? nullptr : &old->resolved_refs, wall_now, status.resolved_refs);
  SetTime(old == nullptr ? nullptr : &old->programmed, wall_now, status.programmed);
  status.accepted_is_news = old == nullptr || !SaysTheSame(old->accepted, status.accepted);
  status.resolved_refs_is_news =
      old == nullptr || !SaysTheSame(old->resolved_refs, status.resolved_refs);
  waiting_.erase(status.name);
  seeded_.erase(status.name);
  told_[status.name] = status;
  return status;
}

std::optional<ApiStatus> StatusTracker::Offer(ApiStatus status, MonotonicTime now,
                                              WallTime wall_now) {
  const auto told = told_.find(status.name);
  const bool is_known = told != told_.end() && told->second.models == status.models;
  const bool is_same = is_known && IsSameButProgrammed(told->second, status);
  if (is_same && SaysTheSame(told->second.programmed, status.programmed)) {
    waiting_.erase(status.name);
    return seeded_.contains(status.name) ? std::optional(Tell(std::move(status), wall_now))
                                         : std::nullopt;
  }
  if (!IsTransient(status.programmed)) {
    return Tell(std::move(status), wall_now);
  }
  const auto [entry, is_new] =
      waiting_.try_emplace(status.name, Waiting{now + kProgrammedGrace, status});
  if (!is_new) {
    entry->second.status = status;
  }
  if (!is_same && IsFinding(status)) {
    // Told at once, with what was last known of the data planes; the rest follows when it is
    // settled.
    const MonotonicTime until = entry->second.until;
    ApiStatus early = status;
    if (told != told_.end() && !told->second.programmed.type.empty()) {
      early.programmed = told->second.programmed;
    } else {
      early.programmed = Condition{};
      early.programmed.type = "Programmed";
      early.programmed.message = "the data planes have not confirmed it yet";
      early.programmed.observed_generation = status.programmed.observed_generation;
    }
    early = Tell(std::move(early), wall_now);
    if (!SaysTheSame(early.programmed, status.programmed)) {
      waiting_.emplace(status.name, Waiting{until, std::move(status)});
    }
    return early;
  }
  return std::nullopt;
}

std::vector<ApiStatus> StatusTracker::Due(MonotonicTime now, WallTime wall_now) {
  std::vector<ApiStatus> due;
  for (const auto& [name, waiting] : waiting_) {
    if (waiting.until <= now) {
      due.push_back(waiting.status);
    }
  }
  for (ApiStatus& status : due) {
    status = Tell(std::move(status), wall_now);
  }
  return due;
}

std::optional<MonotonicTime> StatusTracker::NextDue() const {
  std::optional<MonotonicTime> next;
  for (const auto& [name, waiting] : waiting_) {
    next = std::min(next.value_or(waiting.until), waiting.until);
  }
  return next;
}

void StatusTracker::Forget(const resource::ObjectName& name) {
  told_.erase(name);
  seeded_.erase(name);
  waiting_.erase(name);
}

}  // namespace rota::reconcile
