#pragma once

// Idle keep-alive connections of one loop, by pool key (scheme, host, port, trust). Last in, first
// out, so that a pool that was large for a moment shrinks again. Single-thread (owner: the loop).

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/engine/upstream_connection.h"

namespace rota::engine {

class UpstreamPool {
 public:
  // Shorter than the 60 s after which common servers and load balancers hang up.
  static constexpr Duration kIdleTime = std::chrono::seconds(55);
  // A connection is renewed after this time, so that a changed address of a name takes effect.
  static constexpr Duration kMaxAge = std::chrono::minutes(10);

  // `max_idle_per_key`: of one upstream; `max_idle`: of all.
  UpstreamPool(Loop& loop, size_t max_idle_per_key, size_t max_idle)
      : loop_(loop), max_idle_per_key_(max_idle_per_key), max_idle_(max_idle) {}
  ~UpstreamPool();

  // Null when there is none.
  std::unique_ptr<UpstreamConnection> Take(const std::string& key);
  // REQUIRES: an answer has been read to its end.
  void Give(std::unique_ptr<UpstreamConnection> connection);
  // By an idle connection that has died.
  void Remove(UpstreamConnection& connection);
  void Clear();

 private:
  static constexpr size_t kMaxKeys = 1024;
  Loop& loop_;
  const size_t max_idle_per_key_;
  const size_t max_idle_;
  size_t idle_ = 0;
  bool closed_ = false;
  std::unordered_map<std::string, std::vector<std::unique_ptr<UpstreamConnection>>> connections_;
};

}  // namespace rota::engine
