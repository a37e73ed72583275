#pragma once

// Lets a few streams at a time send much, so that a thousand data planes that connect at once, or
// that all need a large change, cost the memory of a few chunks and not of a thousand. The others
// stand in line; their suspensions and heartbeats do not. A slow reader cannot keep its place for
// ever: after `patience` the next one may begin too.
//
// Thread-safe. Calls `granted` (from Leave, without a lock) for each stream that may begin now
// although it had to wait.

#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "common/clock.h"

namespace rota::serve {

class TransferGate {
 public:
  TransferGate(size_t places, Duration patience, std::function<void(uint64_t)> granted)
      : places_(places), patience_(patience), granted_(std::move(granted)) {}

  // True when `stream` may send; otherwise it stands in line.
  bool Enter(uint64_t stream, MonotonicTime now);
  // `stream` has sent what it had to, or is gone.
  void Leave(uint64_t stream, MonotonicTime now);

 private:
  const size_t places_;
  const Duration patience_;
  const std::function<void(uint64_t)> granted_;
  std::mutex mutex_;
  std::map<uint64_t, MonotonicTime> inside_;  // since when
  std::deque<uint64_t> line_;
};

}  // namespace rota::serve
