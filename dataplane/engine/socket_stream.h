#pragma once

// Plain TCP as a Stream, and the part that TLS shares: what the socket is ready for, and who waits
// for it. Single-thread (owner: the loop).

#include <array>
#include <optional>
#include <string>

#include "dataplane/engine/poller.h"
#include "dataplane/engine/stream.h"

namespace rota::engine {

// Whether an errno of accept(2), socket(2), connect(2) or epoll_ctl(2) says that this machine lacks
// descriptors, ports or memory: nothing that the peer has done.
bool LacksResources(int error);

class SocketStream : public Stream, private Poller::Source {
 public:
  // For StartConnect.
  explicit SocketStream(Poller& poller) : poller_(poller) {}
  // Takes over a connection that was accepted, non-blocking.
  SocketStream(Poller& poller, int descriptor, const SocketAddress& peer);
  ~SocketStream() override;

  void StartConnect(const SocketAddress& address, IoWaiter& waiter) override;
  void StartHandshake(IoWaiter& waiter) override;
  void StartRead(char* data, size_t size, IoWaiter& waiter) override;
  void AwaitEnd(IoWaiter& waiter) override;
  IoResult TryWrite(std::span<const iovec> parts) override;
  void AwaitWritable(IoWaiter& waiter) override;
  void StopAwaitingWritable() override { pending_[kWriting].waiter = nullptr; }
  void ShutdownWrites() override;
  void SetAwaitsRequest(bool awaits) override {
    set_patience(awaits ? Patience::kRefusable : Patience::kNone);
  }
  void Close() override;
  void Reset() override;

  bool is_quiet() const override;
  std::optional<uint64_t> acknowledged_bytes() const override;
  bool is_tls() const override { return false; }
  std::string server_name() const override { return ""; }
  std::string failure() const override { return failure_; }
  SocketAddress peer() const override { return peer_; }

 protected:
  enum Operation : uint8_t { kOpening, kReading, kWriting, kEnding, kOperations };

  // One operation may go on: what it waits for has come about, or the stream was closed. Calls
  // Complete() or goes on waiting. May destroy this.
  virtual void Continue(Operation operation);
  // Waits until the socket is ready for it; Continue() follows, from the loop.
  void Begin(Operation operation, IoWaiter& waiter, bool for_write);
  // REQUIRES: the operation has begun. May destroy this.
  void Complete(Operation operation, IoResult result);
  // Whether the operation waits for the socket to take bytes rather than to have some.
  void WaitFor(Operation operation, bool for_write) { pending_[operation].for_write = for_write; }

  // kNone with 0 bytes: the socket has none (takes none) now.
  IoResult Receive(char* data, size_t size);
  IoResult Send(std::span<const iovec> parts);
  bool is_open() const { return descriptor_ >= 0; }
  // There is something to read that the kernel does not know of.
  void MarkReadable() { readable_ = true; }

  std::string failure_;
  char* read_data_ = nullptr;  // where kReading puts what it gets
  size_t read_size_ = 0;

 private:
  struct Pending {
    IoWaiter* waiter = nullptr;
    bool for_write = false;
  };

  void OnReady(uint32_t events) final;
  void OnDeferred() final { ContinueOne(); }
  bool IsDue(size_t operation) const;
  void ContinueOne();
  // False with `failure_`.
  bool Register();

  Poller& poller_;
  int descriptor_ = -1;
  bool readable_ = false;
  bool writable_ = false;
  bool has_ended_ = false;              // the peer's last byte is in the socket, or it was reset
  IoError closed_ = IoError::kAborted;  // what operations end with when it is not open
  std::array<Pending, kOperations> pending_;
  SocketAddress peer_;
};

}  // namespace rota::engine
