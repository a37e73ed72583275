#pragma once

// Keeps what is served when most of the APIs vanish at once, or the gateways that serve them. That
// is hardly ever meant: a directory that is not mounted, a restored or half-filled store behind the
// API server, a resource definition that was deleted together with everything of its kind. So such
// removals are held until the source has been asked to look again, a while later, and has not found
// the objects either.
//
// Up to `free_removals`, or `free_share` of the APIs, within `window` go through at once; a gateway
// counts as the APIs that it takes. What comes while others are held is held with them. Source of
// the figures: the sync protocol's design, "mass-removal brake".
//
// Pure (time is an argument), single-thread. Bounded by the APIs and gateways that exist.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "controller/source/object.h"

namespace rota::reconcile {

struct RemovalBrakeOptions {
  size_t free_removals = 50;
  double free_share = 0.3;
  Duration window = std::chrono::seconds(10);
  Duration recheck_after = std::chrono::seconds(10);
};

class RemovalBrake {
 public:
  using Keys = std::vector<source::ObjectKey>;

  explicit RemovalBrake(RemovalBrakeOptions options = {}) : options_(options) {}

  // The source says that these are gone. True: so be it; false: they are held. `reach`: APIs that
  // would not be served any more, at one gateway at least. `api_count`: APIs that there are, these
  // and the held ones among them.
  bool MayGo(const Keys& gone, size_t reach, size_t api_count, MonotonicTime now);
  // The object is there (again): a held removal is forgotten.
  void OnPresent(const source::ObjectKey& key);

  // When the source is to be asked to look again; nullopt: nothing is held, or it has been asked.
  std::optional<MonotonicTime> recheck_at() const { return recheck_at_; }
  // True when that time has come: the caller asks.
  bool TakeRecheck(MonotonicTime now);
  // The source has looked again, as it was asked to. What it has not found is gone; nothing when it
  // was not asked.
  Keys Confirm();

  size_t held() const { return held_.size(); }
  // Times that removals were held.
  uint64_t holds() const { return holds_; }

 private:
  const RemovalBrakeOptions options_;
  std::deque<std::pair<MonotonicTime, size_t>> passed_;  // reach, within the window
  std::set<source::ObjectKey> held_;
  std::optional<MonotonicTime> recheck_at_;
  bool is_asked_ = false;
  uint64_t holds_ = 0;
};

}  // namespace rota::reconcile
