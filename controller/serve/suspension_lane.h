#pragma once

// What has still to be told about suspensions on one stream: everything at first, then what has
// changed. Nothing is queued: the newest statement per (target, origin) waits, and when too many
// wait everything is told anew. Everything is a walk over what the hub holds, a message at a time,
// so that a stream costs no copy of it.
//
// Thread-compatible (owner: a session, under its connection's mutex).

#include <functional>
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
  // The statements of everything that follow `after`, at most `count`.
  using Everything =
      std::function<std::vector<SharedSuspension>(const StatementKey& after, size_t count)>;

  void Add(const std::vector<SharedSuspension>& statements);
  // Everything will be told, again.
  void Restart();
  bool has_something() const { return is_walking_ || !pending_.empty(); }

  // The next message.
  rota::sync::v1::SuspensionUpdate Next(const Everything& everything, MonotonicTime now);

 private:
  bool is_walking_ = true;  // not everything has been told
  bool has_begun_ = false;  // the walk
  StatementKey walked_;     // the last one that the walk has told
  std::map<StatementKey, SharedSuspension> pending_;
};

}  // namespace rota::serve
