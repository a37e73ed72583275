#pragma once

// `onAllSuspended: Wait`: requests that wait until a target of their rotation returns. One queue
// per rotation over all loops, first in first out: at the return one is released as a probe, then
// 2, 4, 8 ... while they succeed; one that finds nothing goes back to the head of the queue.
//
// WaitingRooms is thread-safe and bounded per rotation (kMaxWaiters requests, kMaxBytes of bodies).
// Waiting belongs to the loop of its request.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "dataplane/engine/deadline.h"
#include "dataplane/engine/task.h"

namespace rota::engine {

class Loop;

class WaitingRooms {
 public:
  static constexpr size_t kMaxWaiters = 1000;
  static constexpr size_t kMaxBytes = size_t{64} << 20;
  // A target may come back early (a person lifts its suspension): looked at this often.
  static constexpr Duration kProbeInterval = std::chrono::seconds(1);

  // Shared with the loop that is told: the request may have gone by then.
  struct Ticket {
    explicit Ticket(Loop& owner) : loop(owner) {}
    Loop& loop;
    size_t bytes = 0;
    bool queued = false;  // guarded by the rooms' mutex
    std::list<std::shared_ptr<Ticket>>::iterator place;
    Signal signal;          // loop only
    bool released = false;  // loop only
    bool done = false;      // loop only: nobody waits on `signal` any more
  };

  // False when the room is full. `returning`: a released request that found nothing; goes to the
  // head.
  bool Enter(const std::string& room, const std::shared_ptr<Ticket>& ticket,
             MonotonicTime return_time, MonotonicTime now, bool returning);
  // False: it had been released already.
  bool Leave(const std::string& room, const std::shared_ptr<Ticket>& ticket);
  // To be called when a target may be back: releases the first one if it is time and no probe is
  // out.
  void Poll(const std::string& room, MonotonicTime now);
  // What a released request has found: an answer, or nothing eligible (or it gave up).
  void Report(const std::string& room, bool success);
  // A newcomer queues behind those who wait.
  bool HasWaiters(const std::string& room);

 private:
  struct Room {
    std::list<std::shared_ptr<Ticket>> queue;
    size_t bytes = 0;
    size_t pace = 1;         // released together
    size_t outstanding = 0;  // released, not reported
    bool failed = false;     // one of those has found nothing
    MonotonicTime next_poll;
  };
  using Tickets = std::vector<std::shared_ptr<Ticket>>;
  Tickets TakeLocked(Room& room);
  void EraseIfEmptyLocked(const std::string& name);
  static void Tell(const Tickets& tickets);

  std::mutex mutex_;
  std::unordered_map<std::string, Room> rooms_;
};

// One request's stay in a room.
class Waiting {
 public:
  enum class Result : uint8_t { kReleased, kTooLong, kFull, kCancelled };

  Waiting(Loop& loop, std::string room, size_t bytes);
  ~Waiting();
  // Until it is released, or `until`.
  Task<Result> Wait(MonotonicTime return_time, MonotonicTime until);
  void Cancel();
  // What came of being released; later calls do nothing.
  void Report(bool success);

 private:
  static constexpr Duration kPoll = std::chrono::milliseconds(100);
  void OnDeadline();

  Loop& loop_;
  const std::string room_;
  const size_t bytes_;
  std::shared_ptr<WaitingRooms::Ticket> ticket_;
  Deadline deadline_;
  MonotonicTime until_;
  bool owes_report_ = false;
  bool cancelled_ = false;
};

}  // namespace rota::engine
