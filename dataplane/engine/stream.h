#pragma once

// A byte stream to a peer: plain TCP or TLS over it. The seam that keeps sockets and OpenSSL out of
// the request path's translation units.
//
// At most one read, one wait for the end, one wait for writability and one connect or handshake at
// a time. Completions are never delivered from inside the call that started them. Close() ends
// everything: what is outstanding completes with kAborted, and the stream must outlive that.
// Single-thread (owner: the loop).

#include <netinet/in.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/engine/socket_address.h"

namespace rota::engine {

class Poller;

enum class IoError : uint8_t {
  kNone,
  kEndOfStream,  // orderly: FIN, or close_notify
  kTruncated,    // TLS: the connection ended without close_notify
  kReset,        // anything else that the operating system or TLS reports
  kNoResources,  // connecting: descriptors, ports or memory of this side are used up
  kAborted,      // Close() was called here
};

struct IoResult {
  IoError error = IoError::kNone;
  size_t bytes = 0;
  bool ok() const { return error == IoError::kNone; }
};

class IoWaiter {
 public:
  virtual void OnIo(IoResult result) = 0;

 protected:
  ~IoWaiter() = default;
};

class Stream {
 public:
  virtual ~Stream() = default;

  virtual void StartConnect(const SocketAddress& address, IoWaiter& waiter) = 0;
  // TLS only; a plain stream completes at once.
  virtual void StartHandshake(IoWaiter& waiter) = 0;
  // `data` stays valid until the completion.
  virtual void StartRead(char* data, size_t size, IoWaiter& waiter) = 0;
  // Completes with kEndOfStream as soon as the peer has sent its last byte or gone, however much is
  // unread in front of that. Beside a read, if there is one.
  virtual void AwaitEnd(IoWaiter& waiter) = 0;
  // Writes what the socket takes now; 0 bytes without an error: call AwaitWritable, then again with
  // the same bytes in front.
  virtual IoResult TryWrite(std::span<const iovec> parts) = 0;
  virtual void AwaitWritable(IoWaiter& waiter) = 0;
  // Ends that wait without a completion.
  virtual void StopAwaitingWritable() = 0;
  // No more writes: close_notify and FIN, as far as that goes without waiting.
  virtual void ShutdownWrites() = 0;
  // What a client sends next is a new request: it may wait for those that have been begun, or be
  // refused. Not from the beginning.
  virtual void SetAwaitsRequest(bool awaits) = 0;
  virtual void Close() = 0;
  // Close() with a reset: the peer cannot mistake what it has for a whole answer.
  virtual void Reset() = 0;

  // Nothing that was not read has come, no end either; by a system call.
  virtual bool is_quiet() const = 0;
  // Bytes that the peer's system has acknowledged since the connection was made, by a system call;
  // nothing when that is not known.
  virtual std::optional<uint64_t> acknowledged_bytes() const = 0;
  virtual bool is_tls() const = 0;
  // TLS server side: the name that the client asked for, "" for none.
  virtual std::string server_name() const = 0;
  // Why the handshake failed, for the log; no secrets.
  virtual std::string failure() const = 0;
  virtual SocketAddress peer() const = 0;
};

// One connect, handshake: `IoResult result = co_await ...`.
class IoAwaiter : public IoWaiter {
 public:
  void OnIo(IoResult result) final {
    result_ = result;
    handle_.resume();
  }
  bool await_ready() const noexcept { return false; }
  IoResult await_resume() const noexcept { return result_; }

 protected:
  ~IoAwaiter() = default;
  std::coroutine_handle<> handle_;
  IoResult result_;
};

class Connecting final : public IoAwaiter {
 public:
  Connecting(Stream& stream, const SocketAddress& address) : stream_(stream), address_(address) {}
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    stream_.StartConnect(address_, *this);
  }

 private:
  Stream& stream_;
  const SocketAddress& address_;
};

class Handshaking final : public IoAwaiter {
 public:
  explicit Handshaking(Stream& stream) : stream_(stream) {}
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    stream_.StartHandshake(*this);
  }

 private:
  Stream& stream_;
};

// Told each time that a write has to wait for the peer: the place to set a deadline.
class StallGuard {
 public:
  virtual void OnWriteStalled() = 0;
  virtual void OnWriteDone() = 0;

 protected:
  ~StallGuard() = default;
};

// Writes all of `parts` (which it consumes). Does not suspend when the socket takes everything at
// once.
class Writing final : public IoWaiter {
 public:
  Writing(Stream& stream, std::span<iovec> parts, StallGuard& guard)
      : stream_(stream), parts_(parts), guard_(guard) {}
  void OnIo(IoResult result) override;
  bool await_ready() { return Step(); }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    guard_.OnWriteStalled();
    stream_.AwaitWritable(*this);
  }
  IoResult await_resume() const { return result_; }
  // Ends it with kAborted where it waits for the peer; resumes who awaits it. A stream keeps no
  // reference to bytes between two calls, so that they are the caller's again. REQUIRES: it has
  // stalled, and is not done.
  void Abandon();

 private:
  // True when done, or failed.
  bool Step();
  Stream& stream_;
  std::span<iovec> parts_;
  StallGuard& guard_;
  std::coroutine_handle<> handle_;
  IoResult result_;
};

inline iovec Part(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};  // sendmsg does not write to it
}

// For StartConnect.
std::unique_ptr<Stream> MakePlainStream(Poller& poller);

}  // namespace rota::engine
