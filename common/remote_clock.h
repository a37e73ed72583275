#pragma once

// When did the other end of a stream send this message, by the clock of this end? Its own clock is
// not comparable, but differences on it are: the message that was under way for the shortest time
// shows how the two clocks stand to each other, and whatever another one took longer than that is
// delay. So a time that is said as "in 30 s" does not move when the message is held up.
//
// Exact but for the shortest delay of the last minute or so, and for what the two clocks drift
// apart in that time (50 ppm: 3 ms). Single-thread.

#include <algorithm>
#include <vector>

#include "common/clock.h"

namespace rota {

// Two dates of one message that differ by less are the same.
inline constexpr Duration kDelayTolerance = std::chrono::milliseconds(5);

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
    return this->origin() + sent;
  }
  // The start of the peer's clock, by the local one, as far as is known. REQUIRES: something came.
  MonotonicTime origin() const { return std::min(current_, previous_); }

 private:
  static constexpr Duration kWindow = std::chrono::seconds(30);

  MonotonicTime current_ = MonotonicTime::max();
  MonotonicTime previous_ = MonotonicTime::max();
  MonotonicTime window_end_ = MonotonicTime::min();
};

// What came while little was known about the delay, to be dated anew when more is known: when all
// first messages of a stream are held up together, nothing shows it until one comes in time. Only
// the first half minute is remembered; by then a message has come in time. Bounded by the two
// constants, over the whole stream. Single-thread.
template <typename T>  // a message of protobuf
class EarlyMessages {
 public:
  static constexpr Duration kEarly = std::chrono::seconds(30);
  // Both: an item of a few bytes takes a hundred in memory, and one may have megabytes of name.
  static constexpr size_t kMaxItems = 1024;
  static constexpr size_t kMaxBytes = 1 << 20;
  // `items`: how many the message has; without any there is nothing to date.
  void Remember(const RemoteClock& clock, Duration sent, const T& message, int items) {
    if (items <= 0 || sent >= kEarly) {
      return;
    }
    const size_t all_items = items_ + static_cast<size_t>(items);
    const size_t all_bytes = bytes_ + message.ByteSizeLong();
    if (all_items <= kMaxItems && all_bytes <= kMaxBytes) {
      items_ = all_items;
      bytes_ = all_bytes;
      messages_.push_back({sent, clock.origin(), message});
    }
  }
  // Calls apply(message, when it was sent) for each that was sent earlier than was thought.
  template <typename Apply>
  void DateAnew(const RemoteClock& clock, Duration sent, Apply apply) {
    for (Early& early : messages_) {
      if (clock.origin() + kDelayTolerance <= early.origin) {
        early.origin = clock.origin();
        apply(early.message, early.origin + early.sent);
      }
    }
    if (sent >= kEarly) {
      messages_.clear();
    }
  }

 private:
  struct Early {
    Duration sent;
    MonotonicTime origin;  // that it was dated with
    T message;
  };
  std::vector<Early> messages_;
  size_t items_ = 0;
  size_t bytes_ = 0;
};

}  // namespace rota
