#pragma once

// When what a token service has given is asked for anew, and how long it may be used. Pure:
// single-thread, time is an argument.
//
// Asked anew after 70 to 80 % of its life (not all data planes at once), so that a service that
// fails for a fifth of it is not felt; after a failure with exponential back-off from 1 s to 30 s
// and as much jitter. Used until a tenth of its life, at most a minute, before its end: a request
// that begins then has been checked by the provider before it is over, and a fetch (https_post.h)
// has been given up.

#include <optional>

#include "common/backoff.h"
#include "common/clock.h"

namespace rota::cloud {

class RefreshPlan {
 public:
  explicit RefreshPlan(Backoff::Random random);

  // What was asked for has come, good for `lifetime` from `now`.
  void OnGrant(Duration lifetime, MonotonicTime now);
  void OnFailure(MonotonicTime now);
  // What there was is not used any more.
  void OnEnd() { usable_until_.reset(); }

  // The first one is due at once.
  MonotonicTime next_fetch() const { return next_fetch_; }
  std::optional<MonotonicTime> usable_until() const { return usable_until_; }

 private:
  Backoff::Random random_;
  Backoff backoff_;
  MonotonicTime next_fetch_{};
  std::optional<MonotonicTime> usable_until_;
};

}  // namespace rota::cloud
