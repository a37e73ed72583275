#pragma once

// What an event loop waits with: epoll, edge-triggered. A descriptor is registered once, for its
// whole life; its source remembers what it is ready for, so that a read neither tries a socket that
// is empty nor asks the kernel to tell again (docs/decisions/0003-engine.md: each of the two costs
// 2 % of a request).
//
// A turn takes what has become ready, then what sources have put off (Defer), then what others have
// asked for (Post). Events of patient sources, which would begin something new, come after those of
// the others, in their order, and no more than kStarts of them in a turn: a loop that has too much
// to do finishes what it has begun, on connections and in memory that it has at hand, instead of
// beginning everything at once. Those that an Overload refuses do not wait: they are come to at
// once, and whoever handles them sees that they are turned away.
//
// Single-thread (owner: the loop), but for Post().

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "common/clock.h"
#include "dataplane/engine/overload.h"

namespace rota::engine {

// What a source does when its loop has too much to do.
enum class Patience : uint8_t {
  kNone,       // what it is ready for has been begun, and is to be finished
  kWaits,      // begins something new
  kRefusable,  // the same, and may be refused instead
};

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

    void set_patience(Patience patience) { patience_ = patience; }

   protected:
    virtual ~Source() = default;

   private:
    friend class Poller;
    bool is_deferred_ = false;
    Patience patience_ = Patience::kNone;
    uint32_t held_events_ = 0;  // those that wait in held_; not 0: it is in there
    uint64_t held_place_ = 0;
  };

  // Events that one turn takes from the kernel; more of them wait for the next one.
  static constexpr size_t kMaxEvents = 256;
  // Events of patient sources that one turn comes to.
  static constexpr size_t kStarts = 16;

  // `overload`: null refuses nothing.
  explicit Poller(const Clock& clock, Overload* overload = nullptr);
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
  // Events that this turn has taken from the kernel, and those that it has left for the next one.
  size_t events() const { return event_count_ + held_.size(); }
  // What is being handled, of a patient source, is not to be served but refused.
  bool turns_away() const { return turns_away_; }
  // No descriptor is registered and nothing is left to do.
  bool is_idle() const;

 private:
  bool has_posted() const { return has_posted_.load(std::memory_order_acquire); }
  void OnEvents(Source& source, uint32_t events);
  void Hold(Source& source, uint32_t events);
  void TurnAway(Source& source, uint32_t events);
  void RunHeld();
  void RunDeferred();
  void RunPosted();

  const Clock& clock_;
  Overload* const overload_;
  bool turns_away_ = false;
  int epoll_ = -1;
  int wake_up_ = -1;  // an eventfd; never read, each write is an edge
  MonotonicTime turn_time_;
  size_t sources_ = 0;
  std::array<epoll_event, kMaxEvents> events_;
  size_t next_event_ = 0;  // of those in events_
  size_t event_count_ = 0;
  std::deque<Source*> held_;  // patient ones, first come first; null: it has gone
  uint64_t held_start_ = 0;   // the place of the first of them
  std::vector<Source*> deferred_;
  std::vector<Source*> running_;  // those of this turn
  std::atomic<bool> has_posted_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace rota::engine
