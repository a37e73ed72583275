#pragma once

// What has still to be told about suspensions on one stream: everything at first, then what has
// changed. Nothing is queued: the newest statement per (target, origin) waits, and when too many
// wait everything is told anew.
//
// Thread-compatible (owner: a session, under its connection's mutex).

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controller/serve/suspension_hub.h"

namespace rota::serve {

class SuspensionLane {
 public:
  static constexpr size_t kMaxPending = 8192;
  static constexpr size_t kItemsPerMessage = 1024;

  void Add(const std::vector<SharedSuspension>& statements);
  // Everything will be told, again.
  void Restart();
  bool has_something() const { return !everything_told_ || !pending_.empty(); }
  // Whether the next message is the first one and needs `everything`.
  bool needs_everything() const { return !everything_told_; }

  // The next message; `everything` is looked at only when needs_everything().
  rota::sync::v1::SuspensionUpdate Next(const std::vector<SharedSuspension>& everything,
                                        MonotonicTime now);

 private:
  bool everything_told_ = false;
  std::map<std::pair<std::string, std::string>, SharedSuspension> pending_;  // by target, origin
};

}  // namespace rota::serve
