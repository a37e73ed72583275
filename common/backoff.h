#pragma once

// Exponential back-off with jitter: delay n is uniform in [d, d * (1 + jitter)), d = initial *
// factor^n, capped at `maximum` before the jitter.

#include <functional>

#include "common/clock.h"

namespace rota {

struct BackoffOptions {
  Duration initial = std::chrono::milliseconds(800);
  Duration maximum = std::chrono::seconds(30);
  double factor = 2.0;
  double jitter = 1.0;
};

// Single-thread.
class Backoff {
 public:
  // Numbers in [0, 1). The default is seeded from the operating system.
  using Random = std::function<double()>;

  explicit Backoff(BackoffOptions options, Random random = SystemRandom());

  // The delay before the next try.
  Duration Next();
  // To be called after a success: the next delay is the initial one again.
  void Reset() { tries_ = 0; }

  static Random SystemRandom();

 private:
  BackoffOptions options_;
  Random random_;
  int tries_ = 0;
};

}  // namespace rota
