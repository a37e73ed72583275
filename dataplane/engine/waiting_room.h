#pragma once

// `onAllSuspended: Wait`: where requests wait until a target of their rotation returns. Who waits
// for the same targets stands in one line over all loops, first in first out: at the return one is
// released as a probe, then 2, 4, 8 ... while they succeed; one that finds nothing goes back to the
// head of its line. Who wants other targets (another operation, a newer configuration) has a line
// of its own, so that nobody waits behind somebody who waits for something else.
//
// Thread-safe. Pure: no clock, no sockets; whoever waits (waiting.h) looks at the time and at the
// rotation.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/rotation.h"

namespace rota::engine {

class WaitingRooms {
 public:
  // Of one rotation, whatever its requests wait for.
  static constexpr size_t kMaxWaiters = 1000;
  static constexpr size_t kMaxBytes = size_t{64} << 20;  // of bodies
  // From a probe that failed to the next.
  static constexpr Duration kProbeInterval = std::chrono::seconds(1);

  // What a request waits for. The rotation outlives all that wait.
  struct Wanted {
    rotation::Rotation* rotation = nullptr;
    rotation::TargetSet excluded;  // targets that its operation cannot have
    friend bool operator==(const Wanted&, const Wanted&) = default;
  };

  // One stay in a line.
  class Ticket {
   public:
    explicit Ticket(size_t bytes) : bytes_(bytes) {}
    virtual ~Ticket() = default;
    // It is this one's turn. Called once at most, from any thread, without a lock.
    virtual void OnReleased() = 0;

   private:
    friend class WaitingRooms;
    const size_t bytes_;
    bool is_queued_ = false;  // this and the next: guarded by the rooms' mutex
    std::list<std::shared_ptr<Ticket>>::iterator place_;
  };

  // What came of a release; of several that were released together the last of these counts.
  enum class Outcome : uint8_t {
    kGone,     // the request has ended without a word about the target
    kServed,   // the target works
    kNothing,  // there was nothing to pick after all
    kFailed,   // the target does not work
  };

  // False when the room is full. `is_back`: released, and found nothing; goes to the head.
  bool Enter(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket, bool is_back);
  // False: it had been released already.
  bool Leave(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket);
  // Somebody has seen that there is something to pick: those whose turn it is are released, unless
  // it is not known yet what has become of the ones before.
  void Release(const Wanted& wanted, MonotonicTime now);
  // Of each ticket that was released, once.
  void Report(const Wanted& wanted, Outcome outcome, MonotonicTime now);
  // A newcomer stands behind those who wait.
  bool HasWaiters(const Wanted& wanted);

 private:
  using Tickets = std::vector<std::shared_ptr<Ticket>>;
  struct Line {
    Wanted wanted;
    std::list<std::shared_ptr<Ticket>> queue;
    size_t pace = 1;                   // released together
    size_t outstanding = 0;            // released, not reported
    Outcome outcome = Outcome::kGone;  // of those that were released together
    MonotonicTime next_release;
  };
  struct Room {
    size_t waiters = 0;
    size_t bytes = 0;
    std::vector<std::unique_ptr<Line>> lines;
  };

  // All of these need `mutex_`.
  Room& RoomOf(const Wanted& wanted);
  Line* FindLine(const Wanted& wanted);
  Tickets Take(Room& room, Line& line);
  static bool MayGoOn(Line& line, MonotonicTime now);
  void EraseIfEmpty(const Wanted& wanted);
  static void Tell(const Tickets& released);  // without it

  std::mutex mutex_;
  std::unordered_map<std::string, Room> rooms_;  // by the rotation's id
};

}  // namespace rota::engine
