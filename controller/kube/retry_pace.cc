#include "controller/kube/retry_pace.h"

#include <algorithm>

namespace rota::kube {

RetryPace::RetryPace(const RetryPaceOptions& options, const Backoff::Random& uniform)
    : reset_(options.reset),
      backoff_(options.backoff, uniform),
      reconnect_(options.reconnect, uniform) {}

Duration RetryPace::Next(const Wait& wait, MonotonicTime now) {
  if (wait.kind == Wait::Kind::kReconnect) {
    return reconnect_.Next();
  }
  reconnect_.Reset();  // somebody has answered
  if (now - last_wait_ > reset_) {
    backoff_.Reset();
  }
  const Duration delay =
      wait.kind == Wait::Kind::kExactly ? wait.duration : std::max(wait.duration, backoff_.Next());
  last_wait_ = now + delay;
  return delay;
}

}  // namespace rota::kube
