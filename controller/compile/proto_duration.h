#pragma once

// A duration as the messages of the sync protocol carry it. Thread-safe (pure function).

#include <google/protobuf/duration.pb.h>

#include "common/clock.h"

namespace rota::compile {

// REQUIRES: value >= 0.
inline void SetDuration(Duration value, google::protobuf::Duration& out) {
  out.set_seconds(value / std::chrono::seconds(1));
  out.set_nanos(static_cast<int32_t>((value % std::chrono::seconds(1)).count()));
}

}  // namespace rota::compile
