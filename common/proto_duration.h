#pragma once

// Durations as protobuf carries them. What comes from a stranger is bounded, so that sums with it
// do not overflow: never negative, never more than a year, which is as long as a policy may suspend
// a target. Thread-safe (pure functions). Needs protobuf, which the common library itself does not.

#include <algorithm>

#include "common/clock.h"
#include "google/protobuf/duration.pb.h"

namespace rota {

inline Duration FromProto(const google::protobuf::Duration& duration) {
  constexpr int64_t kMaxSeconds = int64_t{365} * 24 * 3600;
  const int64_t seconds = std::clamp<int64_t>(duration.seconds(), 0, kMaxSeconds);
  const int64_t nanos = std::clamp<int64_t>(duration.nanos(), 0, 999'999'999);
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
}

inline void ToProto(Duration duration, google::protobuf::Duration& out) {
  const int64_t nanos = std::max<int64_t>(duration.count(), 0);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

}  // namespace rota
