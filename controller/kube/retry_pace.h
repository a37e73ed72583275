#pragma once

// How long a reflector waits before it tries again. Two paces: what costs the API server work (a
// list, a request that it refuses) is tried again with the back-off of client-go, which grows to
// half a minute and starts over when nothing has failed for a while. A watch that nobody answers
// costs nothing and is what a changed credential waits for: once a second, for as long as it takes,
// so that a server that was away is followed again within a second of its return.
//
// Pure. Single-thread.

#include "common/backoff.h"
#include "common/clock.h"
#include "controller/kube/reflector_state.h"

namespace rota::kube {

struct RetryPaceOptions {
  BackoffOptions backoff;
  // Without a failure after which `backoff` starts over.
  Duration reset = std::chrono::seconds(10);
  BackoffOptions reconnect = {std::chrono::milliseconds(250), std::chrono::milliseconds(500), 2.0,
                              1.0};
};

class RetryPace {
 public:
  RetryPace(const RetryPaceOptions& options, const Backoff::Random& uniform);

  // `now`: when the try has failed.
  Duration Next(const Wait& wait, MonotonicTime now);

 private:
  const Duration reset_;
  Backoff backoff_;
  Backoff reconnect_;
  MonotonicTime last_wait_{};  // end of the last one that was no reconnect
};

}  // namespace rota::kube
