#pragma once

// When did the other end of a stream send this message, by the clock of this end? Its own clock is
// not comparable, but differences on it are: the message that was under way for the shortest time
// shows how the two clocks stand to each other, and whatever another one took longer than that is
// delay. So a time that is said as "in 30 s" does not move when the message is held up.
//
// Exact but for the shortest delay of the last minute or so, and for what the two clocks drift
// apart in that time (50 ppm: 3 ms). Single-thread.

#include <algorithm>

#include "common/clock.h"

namespace rota {

class RemoteClock {
 public:
  // A message came at `received`; it was sent when the peer's clock of this stream stood at `sent`.
  // Returns when that was, by the local clock: never later than `received`.
  MonotonicTime Received(Duration sent, MonotonicTime received) {
    const MonotonicTime origin = received - sent;
    if (received >= window_end_) {
      // Two windows: what an old message says counts for one to two of them.
      previous_ = current_;
      current_ = MonotonicTime::max();
      window_end_ = received + kWindow;
    }
    current_ = std::min(current_, origin);
    return std::min(current_, previous_) + sent;
  }

 private:
  static constexpr Duration kWindow = std::chrono::seconds(30);

  // The start of the peer's clock, by the local one: the earliest that was seen.
  MonotonicTime current_ = MonotonicTime::max();
  MonotonicTime previous_ = MonotonicTime::max();
  MonotonicTime window_end_ = MonotonicTime::min();
};

}  // namespace rota
