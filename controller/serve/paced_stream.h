#pragma once

// The server's way with one stream of the transport, whatever the messages are: one write at a
// time, and an end that does not cut a write in flight off.

#include <utility>

#include "absl/status/status.h"
#include "common/clock.h"

namespace rota::serve {

// One stream of the transport. Called under a mutex: no function may call back before it returns.
template <typename Out>
class OutgoingStream {
 public:
  virtual ~OutgoingStream() = default;
  // One at a time: the next one follows OnWriteDone.
  virtual void StartWrite(Out message) = 0;
  // Ends the stream with a status. Called once, with no write in flight.
  virtual void Finish(const absl::Status& status) = 0;
  // Ends it at once, whatever is in flight; a write in flight then fails.
  virtual void Cancel() = 0;
};

// Thread-compatible (owner: a connection, under its mutex).
template <typename Out>
class PacedStream {
 public:
  // Nothing is written before.
  void Open(OutgoingStream<Out>& stream) {
    stream_ = &stream;
    if (closing_) {
      Finish();
    }
  }
  // The stream is over and will not be touched again.
  void Release() {
    stream_ = nullptr;
    closing_ = true;
    finished_ = true;
  }

  bool closing() const { return closing_; }
  bool can_write() const { return stream_ != nullptr && !writing_ && !closing_; }
  // REQUIRES: can_write().
  void Write(Out message) {
    writing_ = true;
    stream_->StartWrite(std::move(message));
  }
  // To be called for every write; true when the next one may follow.
  bool OnWriteDone(bool ok, MonotonicTime now) {
    writing_ = false;
    if (closing_) {
      Finish();
      return false;
    }
    if (!ok) {
      Close(absl::CancelledError("the peer has gone"), now);
      return false;
    }
    return true;
  }
  // Ends the stream with a status, after the write in flight.
  void Close(const absl::Status& status, MonotonicTime now) {
    if (closing_) {
      return;
    }
    closing_ = true;
    closing_status_ = status;
    closing_since_ = now;
    if (!writing_) {
      Finish();
    }
  }
  // While closing: cancels when the status could not be sent for `patience`. Returns when to be
  // called again.
  MonotonicTime CheckClosing(MonotonicTime now, Duration patience) {
    if (stream_ == nullptr) {
      return MonotonicTime::max();
    }
    if (now - closing_since_ >= patience) {
      stream_->Cancel();
    }
    return closing_since_ + patience;
  }

 private:
  void Finish() {
    if (!finished_ && stream_ != nullptr) {
      finished_ = true;
      stream_->Finish(closing_status_);
    }
  }

  OutgoingStream<Out>* stream_ = nullptr;
  bool writing_ = false;
  bool closing_ = false;
  bool finished_ = false;
  absl::Status closing_status_;
  MonotonicTime closing_since_;
};

}  // namespace rota::serve
