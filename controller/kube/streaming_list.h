#pragma once

// Whether the API server is asked for streaming lists (sendInitialEvents): one switch for all
// reflectors of a process. A server that cannot is asked once, not by every reflector at every
// list. Thread-safe.

#include <atomic>

namespace rota::kube {

class StreamingListSwitch {
 public:
  bool on() const { return on_; }
  // For the rest of the process. True for the first caller.
  bool TurnOff() { return on_.exchange(false); }

 private:
  std::atomic<bool> on_{true};
};

}  // namespace rota::kube
