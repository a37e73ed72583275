#pragma once

// Whether a loop is asked for more than it can do, judged by how long events wait before it comes
// to them. A wait that is long for a moment is a burst; one that stays long is a queue that only
// grows (the idea of CoDel, RFC 8289): from then on some of the requests are refused, until the
// wait has been short once.
//
// Refusing is not free: to read a request and to answer 503 costs nearly half of serving it. A loop
// that refused all that is too much would soon do nothing else. So one request of kRefusedOf is
// refused, which costs some 2 % of the loop: it tells clients to come back later, and whoever adds
// data planes that it is time. The others wait for their turn where they are, in the kernel. Which
// ones is decided when they come (Poller), so that a refusal itself does not wait.
//
// Pure. Single-thread (owner: the loop).

#include <cstdint>
#include <optional>

#include "common/clock.h"

namespace rota::engine {

class Overload {
 public:
  static constexpr uint32_t kRefusedOf = 20;
  // The wait has been too long for as many times the limit.
  static constexpr int kPatience = 10;

  // `max_wait`: what an event may wait; zero: nothing is ever refused.
  explicit Overload(Duration max_wait) : max_wait_(max_wait) {}

  // An event has waited so long.
  void Observe(Duration wait, MonotonicTime now);
  bool is_overloaded() const { return is_overloaded_; }
  // For each new request: whether it is to be refused.
  bool Refuses();

 private:
  const Duration max_wait_;
  std::optional<MonotonicTime> too_long_since_;
  bool is_overloaded_ = false;
  uint32_t requests_ = 0;  // since the last one that was refused
};

}  // namespace rota::engine
