#include "controller/publish/suspension_book.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace rota::publish {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kMaxNamed = 4;  // in the summary
// Repetitions of a statement may say an end that differs by what the ways took.
constexpr Duration kSameEnd = std::chrono::seconds(1);

std::string ReasonText(v1::SuspensionReason reason) {
  switch (reason) {
    case v1::FAILURES:
      return "failures";
    case v1::AUTH:
      return "auth";
    default:
      return "quota";
  }
}

// The second in which it will be over.
std::string EndText(Duration remaining, WallTime wall_now) {
  const WallTime end = wall_now + std::chrono::duration_cast<WallTime::duration>(remaining);
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromChrono(std::chrono::ceil<std::chrono::seconds>(end)),
                          absl::UTCTimeZone());
}

std::string Summary(const std::vector<ShownSuspension>& items) {
  std::vector<std::string> names;
  for (const ShownSuspension& item : items) {
    std::string name = item.environment == "production"
                           ? item.model
                           : absl::StrCat(item.model, " (", item.environment, ")");
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  }
  if (names.size() <= kMaxNamed) {
    return absl::StrJoin(names, ", ");
  }
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kMaxNamed, ", "), " and ",
                      names.size() - kMaxNamed, " more");
}

// One entry per (environment, model, endpoint, reason): an operation may have a rotation of its
// own, with the same targets. The one that ends last counts.
ShownSuspensions Arranged(std::vector<ShownSuspension> items) {
  std::sort(items.begin(), items.end(), [](const ShownSuspension& a, const ShownSuspension& b) {
    return std::tie(b.until, a.environment, a.model, a.endpoint, a.reason) <
           std::tie(a.until, b.environment, b.model, b.endpoint, b.reason);
  });
  std::set<std::tuple<std::string, std::string, std::string, std::string>> seen;
  std::erase_if(items, [&seen](const ShownSuspension& item) {
    return !seen.emplace(item.environment, item.model, item.endpoint, item.reason).second;
  });
  ShownSuspensions shown;
  shown.summary = Summary(items);
  items.resize(std::min(items.size(), kMaxShown));
  shown.items = std::move(items);
  return shown;
}

std::vector<ShownSuspension> Added(const ShownSuspensions& before, const ShownSuspensions& now) {
  std::vector<ShownSuspension> added;
  for (const ShownSuspension& item : now.items) {
    const bool was_there = std::any_of(
        before.items.begin(), before.items.end(), [&item](const ShownSuspension& other) {
          return std::tie(other.environment, other.model, other.endpoint, other.reason) ==
                 std::tie(item.environment, item.model, item.endpoint, item.reason);
        });
    if (!was_there) {
      added.push_back(item);
    }
  }
  return added;
}

}  // namespace

void AddTo(const ShownSuspensions& shown, nlohmann::json& status) {
  if (shown.items.empty()) {
    return;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const ShownSuspension& item : shown.items) {
    list.push_back({{"environment", item.environment},
                    {"model", item.model},
                    {"endpoint", item.endpoint},
                    {"reason", item.reason},
                    {"until", item.until}});
  }
  status["suspensions"] = std::move(list);
  status["suspended"] = shown.summary;
}

void SuspensionBook::Learn(const std::vector<serve::SharedSuspension>& active, MonotonicTime now,
                           WallTime wall_now, MonotonicTime first_seen) {
  std::map<std::string, Known> known;
  for (const serve::SharedSuspension& suspension : active) {
    if (suspension.until <= now) {
      continue;
    }
    const auto before = known_.find(suspension.target);
    Known entry;
    entry.first_seen = first_seen;
    if (before != known_.end()) {
      entry = std::move(before->second);
    }
    const Duration moved = suspension.until - entry.until;
    if (before == known_.end() || moved > kSameEnd || moved < -kSameEnd) {
      entry.until = suspension.until;
      entry.until_text = EndText(suspension.until - now, wall_now);
    }
    entry.reason = suspension.reason;
    known.emplace(suspension.target, std::move(entry));
  }
  known_ = std::move(known);
}

SuspensionChanges SuspensionBook::Update(const std::vector<serve::SharedSuspension>& active,
                                         const TargetPlaces& places, MonotonicTime now,
                                         WallTime wall_now, bool wait_for_new) {
  Learn(active, now, wall_now, wait_for_new ? now : now - kSettleTime);
  next_due_.reset();
  const auto look_again = [this](MonotonicTime time) {
    next_due_ = std::min(next_due_.value_or(time), time);
  };
  std::map<resource::ObjectName, std::vector<ShownSuspension>> lists;
  for (const auto& [target, known] : known_) {
    look_again(known.until);
    if (const MonotonicTime settles = known.first_seen + kSettleTime; settles > now) {
      look_again(settles);
      continue;
    }
    if (const TargetPlace* place = places.Find(target)) {
      lists[place->api].push_back({place->environment, place->model, place->endpoint,
                                   ReasonText(known.reason), known.until_text});
    }
  }
  SuspensionChanges changes;
  std::map<resource::ObjectName, ShownSuspensions> shown;
  for (auto& [api, items] : lists) {
    shown[api] = Arranged(std::move(items));
  }
  for (const auto& [api, now_shown] : shown) {
    const auto before = shown_.find(api);
    if (before == shown_.end() || before->second != now_shown) {
      changes[api] = {now_shown, Added(before == shown_.end() ? ShownSuspensions() : before->second,
                                       now_shown)};
    }
  }
  for (const auto& [api, before] : shown_) {
    if (!shown.contains(api)) {
      changes[api] = SuspensionChange();
    }
  }
  shown_ = std::move(shown);
  return changes;
}

void SuspensionBook::Clear() {
  known_.clear();
  shown_.clear();
  next_due_.reset();
}

}  // namespace rota::publish
