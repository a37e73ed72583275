#pragma once

// A rate limit: `rate` tokens a second, at most `burst` saved up. Single-thread; the caller brings
// the time.

#include <algorithm>

#include "common/clock.h"

namespace rota::kube {

class TokenBucket {
 public:
  // REQUIRES: rate > 0, burst >= 1.
  TokenBucket(double rate, double burst, MonotonicTime now)
      : rate_(rate), burst_(burst), tokens_(burst), at_(now) {}

  // Takes a token, or says how long until there is one (then nothing is taken).
  Duration Take(MonotonicTime now) {
    Fill(now);
    if (tokens_ >= 1.0) {
      tokens_ -= 1.0;
      return Duration::zero();
    }
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>((1.0 - tokens_) / rate_) + std::chrono::nanoseconds(1));
  }

 private:
  void Fill(MonotonicTime now) {
    if (now > at_) {
      const double seconds = std::chrono::duration<double>(now - at_).count();
      tokens_ = std::min(burst_, tokens_ + seconds * rate_);
      at_ = now;
    }
  }

  double rate_;
  double burst_;
  double tokens_;
  MonotonicTime at_;
};

}  // namespace rota::kube
