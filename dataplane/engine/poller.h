#pragma once

// What an event loop waits with: epoll, edge-triggered. A descriptor is registered once, for its
// whole life; its source remembers what it is ready for, so that a read neither tries a socket that
// is empty nor asks the kernel to tell again (docs/decisions/0003-engine.md: each of the two costs
// 2 % of a request).
//
// A turn takes what has become ready, then what sources have put off (Defer), then what others have
// asked for (Post). Single-thread (owner: the loop), but for Post().

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "common/clock.h"

namespace rota::engine {

class Poller {
 public:
  class Source {
   public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    // What has become ready: EPOLLIN, EPOLLOUT, ... May destroy this.
    virtual void OnReady(uint32_t events) = 0;
    // Once for each Defer(). May destroy this.
    virtual void OnDeferred() = 0;

   protected:
    virtual ~Source() = default;

   private:
    friend class Poller;
    bool is_deferred_ = false;
  };

  // Events that one turn takes from the kernel; more of them wait for the next one.
  static constexpr size_t kMaxEvents = 256;

  explicit Poller(const Clock& clock);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // False when the kernel has no memory for it.
  bool Add(int descriptor, uint32_t events, Source& source);
  void Change(int descriptor, uint32_t events, Source& source);
  // To be followed by closing the descriptor, which ends its registration: nothing more comes.
  void Remove(Source& source);
  // Calls OnDeferred() soon, but not from inside this call.
  void Defer(Source& source);
  // Before a source is destroyed.
  void Forget(Source& source);

  // Thread-safe: runs `work` on the loop. Not run when the loop has ended.
  void Post(std::function<void()> work);

  // One turn; waits at most `at_most` for something to do.
  void Turn(Duration at_most);
  // When this turn's events were taken from the kernel: cheaper than a clock, and as exact as most
  // uses need.
  MonotonicTime turn_time() const { return turn_time_; }
  // Events that this turn has taken from the kernel.
  size_t events() const { return event_count_; }
  // No descriptor is registered and nothing is left to do.
  bool is_idle() const;

 private:
  bool has_posted() const { return has_posted_.load(std::memory_order_acquire); }
  void RunDeferred();
  void RunPosted();

  const Clock& clock_;
  int epoll_ = -1;
  int wake_up_ = -1;  // an eventfd; never read, each write is an edge
  MonotonicTime turn_time_;
  size_t sources_ = 0;
  std::array<epoll_event, kMaxEvents> events_;
  size_t next_event_ = 0;  // of those in events_
  size_t event_count_ = 0;
  std::vector<Source*> deferred_;
  std::vector<Source*> running_;  // those of this turn
  std::atomic<bool> has_posted_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace rota::engine
