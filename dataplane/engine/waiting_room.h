#pragma once

// `onAllSuspended: Wait`: where requests wait until a target of their rotation returns. Who waits
// for the same targets stands in one line over all loops, first in first out: at the return one is
// released as a probe, and two for each that is served: 1, 2, 4, 8 ..., and nobody has to wait for
// the slowest of them. One that finds nothing goes back to its place in the line. Who wants other
// targets (another operation, a newer configuration) has a line of its own, so that nobody waits
// behind somebody who waits for something else. A request counts as served whichever target has
// served it in the end: one that fails must not hold up those that another one can serve.
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
    // `place`: of the stay before, for one that was released and found nothing.
    explicit Ticket(size_t bytes, uint64_t place = 0) : bytes_(bytes), place_(place) {}
    virtual ~Ticket() = default;
    // In the order of coming; 0 before Enter().
    uint64_t place() const { return place_; }
    // It is this one's turn. Called once at most, from any thread, without a lock.
    virtual void OnReleased() = 0;

   private:
    friend class WaitingRooms;
    const size_t bytes_;
    uint64_t place_;
    bool is_queued_ = false;  // this and the next: guarded by the rooms' mutex
    std::list<std::shared_ptr<Ticket>>::iterator position_;
    uint64_t ramp_ = 0;  // in which it was released
  };

  // What came of a release.
  enum class Outcome : uint8_t {
    kServed,   // by a target, not always the first that was asked
    kFailed,   // by none
    kNothing,  // there was nothing to pick after all
    kGone,     // the request has ended without a word about the target
  };

  // False when the room is full; who comes back always finds room.
  bool Enter(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket);
  // False: it had been released already.
  bool Leave(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket);
  // Somebody has seen that there is something to pick: those whose turn it is are released.
  void Release(const Wanted& wanted, MonotonicTime now);
  // Of each ticket that was released, once.
  void Report(const Wanted& wanted, const Ticket& ticket, Outcome outcome, MonotonicTime now);
  // A newcomer stands behind those who wait.
  bool HasWaiters(const Wanted& wanted);

 private:
  using Tickets = std::vector<std::shared_ptr<Ticket>>;
  struct Line {
    Wanted wanted;
    std::list<std::shared_ptr<Ticket>> queue;
    uint64_t ramp = 0;       // who was released in an earlier one is not counted any more
    size_t window = 1;       // that many may be released and not reported
    size_t outstanding = 0;  // are
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
  static Tickets Take(Room& room, Line& line, MonotonicTime now);
  void Learn(Line& line, Outcome outcome, MonotonicTime now);
  void BeginRamp(Line& line, MonotonicTime when);
  void EraseIfEmpty(const Wanted& wanted);
  static void Tell(const Tickets& released);  // without it

  std::mutex mutex_;
  std::unordered_map<std::string, Room> rooms_;  // by the rotation's id
  uint64_t last_place_ = 0;
  uint64_t last_ramp_ = 0;
};

}  // namespace rota::engine
