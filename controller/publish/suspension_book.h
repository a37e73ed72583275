#pragma once

// The fleet's suspensions as the status of an API shows them: what has to be told anew, and when to
// look again. A suspension is shown once it is two seconds old, so that one that ends sooner is
// never written; its end is told in whole seconds and does not move by less than that.
//
// Pure (time is an argument), single-thread. Bounded by the hub's statements.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/publish/target_places.h"
#include "controller/serve/suspension_hub.h"
#include "nlohmann/json_fwd.hpp"

namespace rota::publish {

inline constexpr Duration kSettleTime = std::chrono::seconds(2);
inline constexpr size_t kMaxShown = 16;  // of one API, as the resource's schema says

// One element of status.suspensions.
struct ShownSuspension {
  std::string environment;
  std::string model;
  std::string endpoint;
  std::string reason;  // "quota", "failures" or "auth"
  std::string until;   // RFC 3339, whole seconds
  friend auto operator<=>(const ShownSuspension&, const ShownSuspension&) = default;
};

// Those that end last come first; of more than kMaxShown the ones that end first are left out.
struct ShownSuspensions {
  std::vector<ShownSuspension> items;
  // "gpt-4o, gpt-4o-mini (sandbox) and 3 more": status.suspended, for kubectl's column.
  std::string summary;
  friend bool operator==(const ShownSuspensions&, const ShownSuspensions&) = default;
};

// Writes both members, or none when nothing is suspended.
void AddTo(const ShownSuspensions& shown, nlohmann::json& status);

struct SuspensionChange {
  ShownSuspensions now;
  std::vector<ShownSuspension> added;  // targets that were not shown before, for that reason
};
using SuspensionChanges = std::map<resource::ObjectName, SuspensionChange>;

class SuspensionBook {
 public:
  // What differs from the last call. `wait_for_new` false: what is heard of for the first time
  // counts as two seconds old.
  SuspensionChanges Update(const std::vector<serve::SharedSuspension>& active,
                           const TargetPlaces& places, MonotonicTime now, WallTime wall_now,
                           bool wait_for_new = true);
  // When Update() would give something else without any news: one settles, or ends.
  std::optional<MonotonicTime> NextDue() const { return next_due_; }
  void Clear();

 private:
  struct Known {
    MonotonicTime first_seen;
    MonotonicTime until;
    rota::sync::v1::SuspensionReason reason = rota::sync::v1::SUSPENSION_REASON_UNSPECIFIED;
    std::string until_text;
  };

  void Learn(const std::vector<serve::SharedSuspension>& active, MonotonicTime now,
             WallTime wall_now, MonotonicTime first_seen);

  std::map<std::string, Known> known_;  // by target
  std::map<resource::ObjectName, ShownSuspensions> shown_;
  std::optional<MonotonicTime> next_due_;
};

}  // namespace rota::publish
