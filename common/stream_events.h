#pragma once

// What a stream of messages tells its user, whatever carries it. From any thread, in order, never
// from within a call to the stream.

#include "absl/status/status.h"

namespace rota {

template <typename In>
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // The answer to one StartRead.
  virtual void OnMessage(In message) = 0;
  // The answer to one StartWrite.
  virtual void OnWriteDone(bool ok) = 0;
  // The stream is over, with the peer's status (or the transport's). Exactly once, last.
  virtual void OnClosed(absl::Status status) = 0;
};

}  // namespace rota
