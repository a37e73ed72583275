#pragma once

// One request's stay in a waiting room (waiting_room.h). Single-thread (owner: the loop of the
// request).

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/clock.h"
#include "dataplane/engine/deadline.h"
#include "dataplane/engine/task.h"
#include "dataplane/engine/waiting_room.h"

namespace rota::engine {

class Loop;

class Waiting {
 public:
  using Wanted = WaitingRooms::Wanted;
  using Outcome = WaitingRooms::Outcome;
  enum class Result : uint8_t {
    kReleased,  // owes a Report()
    kTooLong,   // its turn has not come in time, or nothing is going to return in time
    kFull,
    kCancelled,
  };

  // `bytes`: of the body that is held meanwhile.
  Waiting(Loop& loop, const Wanted& wanted, size_t bytes);
  ~Waiting();

  // Somebody waits for the same already.
  bool IsBehindOthers() const;
  // Until it is released. Not longer than `until`, nor than it takes to see that nothing returns by
  // then.
  Task<Result> Wait(MonotonicTime until);
  void Cancel();
  // What came of being released; later calls do nothing.
  void Report(Outcome outcome);

 private:
  class Ticket;
  // So often is looked whether a target is back before its time (a person has lifted its
  // suspension, its credential has changed).
  static constexpr Duration kLookInterval = std::chrono::milliseconds(100);

  void OnDeadline();
  void LookForReturn(MonotonicTime now);
  void SetNextLook(MonotonicTime now);
  bool IsHopeless() const { return returns_ > until_; }

  Loop& loop_;
  const Wanted wanted_;
  const size_t bytes_;
  std::shared_ptr<Ticket> ticket_;  // of the newest stay
  uint64_t place_ = 0;              // in the line, once it has one
  Deadline deadline_;
  MonotonicTime until_;
  MonotonicTime returns_;  // not later than now: there is something to pick. max(): never
  uint64_t seen_change_ = 0;
  bool owes_report_ = false;
  bool cancelled_ = false;
};

}  // namespace rota::engine
