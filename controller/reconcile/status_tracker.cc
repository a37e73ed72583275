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
  return SaysTheSame(a.accepted, b.accepted) && SaysTheSame(a.resolved_refs, b.resolved_refs) &&
         std::equal(a.gateways.begin(), a.gateways.end(), b.gateways.begin(), b.gateways.end(),
                    [](const ApiAtGateway& x, const ApiAtGateway& y) {
                      return x.gateway == y.gateway && SaysTheSame(x.accepted, y.accepted) &&
                             SaysTheSame(x.resolved_refs, y.resolved_refs);
                    });
}

const ApiAtGateway* FindGateway(const ApiStatus* status, const std::string& gateway) {
  if (status == nullptr) {
    return nullptr;
  }
  const auto found = std::find_if(status->gateways.begin(), status->gateways.end(),
                                  [&](const auto& known) { return known.gateway == gateway; });
  return found == status->gateways.end() ? nullptr : &*found;
}

void SetTimes(const ApiStatus* before, WallTime now, ApiStatus& status) {
  SetTime(before == nullptr ? nullptr : &before->accepted, now, status.accepted);
  SetTime(before == nullptr ? nullptr : &before->resolved_refs, now, status.resolved_refs);
  SetTime(before == nullptr ? nullptr : &before->programmed, now, status.programmed);
  for (ApiAtGateway& gateway : status.gateways) {
    const ApiAtGateway* old = FindGateway(before, gateway.gateway);
    SetTime(old == nullptr ? nullptr : &old->accepted, now, gateway.accepted);
    SetTime(old == nullptr ? nullptr : &old->resolved_refs, now, gateway.resolved_refs);
    SetTime(old == nullptr ? nullptr : &old->programmed, now, gateway.programmed);
  }
}

// Programmed as it was told before; not confirmed when nothing was.
void KeepProgrammed(const Condition* told, Condition& programmed) {
  if (told != nullptr && !told->type.empty()) {
    programmed = *told;
    return;
  }
  const int64_t generation = programmed.observed_generation;
  programmed = Condition{};
  programmed.type = "Programmed";
  programmed.message = "the data planes have not confirmed it yet";
  programmed.observed_generation = generation;
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
  SetTimes(old, wall_now, status);
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
  if (is_same && SaysTheSame(told->second.programmed, status.programmed) &&
      SaysTheSame(told->second.gateways, status.gateways)) {
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
    const ApiStatus* before = told == told_.end() ? nullptr : &told->second;
    KeepProgrammed(before == nullptr ? nullptr : &before->programmed, early.programmed);
    for (ApiAtGateway& gateway : early.gateways) {
      if (IsTransient(gateway.programmed)) {
        const ApiAtGateway* old = FindGateway(before, gateway.gateway);
        KeepProgrammed(old == nullptr ? nullptr : &old->programmed, gateway.programmed);
      }
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
