#pragma once

// One stream of a service and the session behind it, whatever the messages are: what to write is
// decided when the transport can take it, faults end the stream after the write in flight. A
// service derives from it for its own kind of session.
//
// Thread-safe. What a derived class keeps is guarded by mutex_; the virtual functions are called
// under it.

#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "common/clock.h"
#include "controller/serve/paced_stream.h"

namespace rota::serve {

template <typename Out>
class PacedConnection {
 public:
  virtual ~PacedConnection() = default;

  // From the transport.
  void OnWriteDone(bool ok) {
    const MonotonicTime now = clock_.Now();
    std::lock_guard guard(mutex_);
    if (stream_.OnWriteDone(ok, now)) {
      PumpLocked(now);
    }
  }
  // The peer has gone or has ended its side.
  void OnPeerClosed() { Close(absl::OkStatus()); }

  // There may be something to say.
  void Pump() {
    Change([](MonotonicTime) {});
  }
  // Ends the stream with that status.
  void Close(const absl::Status& status) {
    const MonotonicTime now = clock_.Now();
    std::lock_guard guard(mutex_);
    stream_.Close(status, now);
  }
  // Time-outs and heartbeats; returns when to be called again.
  MonotonicTime Tick(MonotonicTime now) {
    std::lock_guard guard(mutex_);
    if (!stream_.closing()) {
      const absl::Status status = CheckTimeouts(now);
      if (status.ok()) {
        PumpLocked(now);
        return NextDeadline();
      }
      OnTimeout(status);
      stream_.Close(status, now);
    }
    return stream_.CheckClosing(now, finish_timeout_);
  }

 protected:
  // `finish_timeout`: how long a slow reader may take for the stream's status.
  PacedConnection(const Clock& clock, Duration finish_timeout)
      : clock_(clock), finish_timeout_(finish_timeout) {}

  // The session's part.
  virtual std::optional<Out> NextMessage(MonotonicTime now) = 0;
  virtual absl::Status CheckTimeouts(MonotonicTime now) = 0;
  virtual MonotonicTime NextDeadline() const = 0;
  virtual void OnTimeout(const absl::Status& status) = 0;

  // Calls change(now) under the mutex, then says what there is to say.
  template <typename Function>
  void Change(Function change) {
    const MonotonicTime now = clock_.Now();
    std::lock_guard guard(mutex_);
    change(now);
    PumpLocked(now);
  }
  // REQUIRES: mutex_ is held.
  void PumpLocked(MonotonicTime now) {
    if (!stream_.can_write()) {
      return;
    }
    std::optional<Out> message = NextMessage(now);
    if (message.has_value()) {
      stream_.Write(std::move(*message));
    }
  }

  const Clock& clock_;
  const Duration finish_timeout_;
  mutable std::mutex mutex_;
  PacedStream<Out> stream_;
};

}  // namespace rota::serve
