#pragma once

// Measures how long an event waits before the loop comes to it: every now and then it makes one
// event ready, which the kernel puts behind those that wait already, and sees when it comes up.
// Nothing is done while the loop has nothing to do. Single-thread (owner: the loop).

#include "common/clock.h"
#include "dataplane/engine/overload.h"
#include "dataplane/engine/poller.h"

namespace rota::engine {

class QueueProbe final : private Poller::Source {
 public:
  static constexpr Duration kInterval = std::chrono::milliseconds(10);

  // Tells `overload` what it measures. Without a descriptor for it nothing is measured.
  QueueProbe(Poller& poller, const Clock& clock, Overload& overload);
  ~QueueProbe();

  // After a turn that has taken `events` from the kernel. True: it has brought a new wait().
  bool AfterTurn(size_t events);
  void Close();
  // The last wait that was measured.
  Duration wait() const { return wait_; }

 private:
  void OnReady(uint32_t events) override;
  void OnDeferred() override {}

  Poller& poller_;
  const Clock& clock_;
  Overload& overload_;
  int descriptor_ = -1;  // an eventfd; never read, each write is an edge
  bool is_under_way_ = true;
  bool has_come_ = false;  // in this turn
  MonotonicTime sent_;
  Duration wait_{};
};

}  // namespace rota::engine
