#include "dataplane/engine/socket_stream.h"

#include <linux/tcp.h>  // netinet/tcp.h lacks the newer members of tcp_info
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace rota::engine {
namespace {

constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

IoError OpeningError(int error) {
  return LacksResources(error) ? IoError::kNoResources : IoError::kReset;
}

}  // namespace

bool LacksResources(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:         // fs.epoll.max_user_watches
    case EADDRNOTAVAIL:  // no port is free: some 28,000 connections to one address
      return true;
    default:
      return false;
  }
}

SocketStream::SocketStream(Poller& poller, int descriptor, const SocketAddress& peer)
    : poller_(poller), descriptor_(descriptor), peer_(peer) {
  if (!Register()) {
    ::close(std::exchange(descriptor_, -1));
  }
}

SocketStream::~SocketStream() {
  SocketStream::Close();
  poller_.Forget(*this);
}

bool SocketStream::Register() {
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!poller_.Add(descriptor_, kInterest, *this)) {
    closed_ = OpeningError(errno);
    failure_ = std::strerror(errno);
    return false;
  }
  return true;
}

void SocketStream::OnReady(uint32_t events) {
  readable_ = readable_ || (events & (EPOLLIN | kEnd)) != 0;
  writable_ = writable_ || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
  has_ended_ = has_ended_ || (events & kEnd) != 0;
  ContinueOne();
}

bool SocketStream::IsDue(size_t operation) const {
  const Pending& pending = pending_[operation];
  const bool takes_or_has_bytes = pending.for_write ? writable_ : readable_;
  const bool is_ready = operation == kEnding ? has_ended_ : takes_or_has_bytes;
  return pending.waiter != nullptr && (!is_open() || is_ready);
}

// One only: its completion may destroy this.
void SocketStream::ContinueOne() {
  size_t due = kOperations;
  for (size_t i = 0; i < kOperations; ++i) {
    if (!IsDue(i)) {
      continue;
    }
    if (due != kOperations) {
      poller_.Defer(*this);
      break;
    }
    due = i;
  }
  if (due != kOperations) {
    Continue(static_cast<Operation>(due));
  }
}

void SocketStream::Begin(Operation operation, IoWaiter& waiter, bool for_write) {
  pending_[operation] = {&waiter, for_write};
  if (IsDue(operation)) {
    poller_.Defer(*this);
  }
}

void SocketStream::Complete(Operation operation, IoResult result) {
  std::exchange(pending_[operation].waiter, nullptr)->OnIo(result);
}

void SocketStream::Continue(Operation operation) {
  IoResult result;
  if (!is_open()) {
    result.error = closed_;
  } else if (operation == kReading) {
    result = Receive(read_data_, read_size_);
    if (result.ok() && result.bytes == 0) {
      return;
    }
  } else if (operation == kEnding) {
    result.error = IoError::kEndOfStream;
  } else if (operation == kOpening) {
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      failure_ = std::strerror(error);
      result.error = IoError::kReset;
    }
  }
  Complete(operation, result);
}

void SocketStream::StartConnect(const SocketAddress& address, IoWaiter& waiter) {
  peer_ = address;
  descriptor_ = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  const bool is_under_way =
      is_open() && (::connect(descriptor_, address.data(), address.size()) == 0 ||
                    errno == EINPROGRESS || errno == EINTR);
  if (!is_under_way) {
    closed_ = OpeningError(errno);
    failure_ = std::strerror(errno);
  }
  // Only now: before connect() the kernel reports a socket as hung up.
  const bool has_failed = !is_under_way || !Register();
  if (has_failed && is_open()) {
    ::close(std::exchange(descriptor_, -1));
  }
  Begin(kOpening, waiter, /*for_write=*/true);
}

void SocketStream::StartHandshake(IoWaiter& waiter) { Begin(kOpening, waiter, /*for_write=*/true); }

void SocketStream::StartRead(char* data, size_t size, IoWaiter& waiter) {
  read_data_ = data;
  read_size_ = size;
  Begin(kReading, waiter, /*for_write=*/false);
}

void SocketStream::AwaitEnd(IoWaiter& waiter) { Begin(kEnding, waiter, /*for_write=*/false); }

IoResult SocketStream::Receive(char* data, size_t size) {
  while (true) {
    const ssize_t received = ::recv(descriptor_, data, size, 0);
    if (received > 0) {
      // Fewer bytes than there was room for: the socket is empty, and what comes next will be told.
      // An end behind them has been told already.
      readable_ = static_cast<size_t>(received) == size || has_ended_;
      return {IoError::kNone, static_cast<size_t>(received)};
    }
    if (received == 0) {
      return {IoError::kEndOfStream, 0};
    }
    if (WouldBlock(errno)) {
      readable_ = false;
      return {};
    }
    if (errno != EINTR) {
      return {IoError::kReset, 0};
    }
  }
}

IoResult SocketStream::Send(std::span<const iovec> parts) {
  static constexpr size_t kMaxParts = 64;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg does not write to it
  message.msg_iovlen = std::min(parts.size(), kMaxParts);
  while (true) {
    // A single part costs the kernel less by itself.
    const ssize_t sent = parts.size() == 1 ? ::send(descriptor_, parts.front().iov_base,
                                                    parts.front().iov_len, MSG_NOSIGNAL)
                                           : ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      return {IoError::kNone, static_cast<size_t>(sent)};
    }
    if (WouldBlock(errno)) {
      writable_ = false;
      return {};
    }
    if (errno != EINTR) {
      return {IoError::kReset, 0};
    }
  }
}

IoResult SocketStream::TryWrite(std::span<const iovec> parts) {
  if (!is_open()) {
    return {IoError::kAborted, 0};
  }
  return Send(parts);
}

void SocketStream::AwaitWritable(IoWaiter& waiter) { Begin(kWriting, waiter, /*for_write=*/true); }

void SocketStream::ShutdownWrites() {
  if (is_open()) {
    ::shutdown(descriptor_, SHUT_WR);
  }
}

void SocketStream::Close() {
  if (!is_open()) {
    return;
  }
  poller_.Remove(*this);
  ::close(std::exchange(descriptor_, -1));
  const bool is_awaited = std::any_of(pending_.begin(), pending_.end(), [](const Pending& pending) {
    return pending.waiter != nullptr;
  });
  if (is_awaited) {
    poller_.Defer(*this);
  }
}

bool SocketStream::is_quiet() const {
  char next = 0;
  return is_open() && ::recv(descriptor_, &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         WouldBlock(errno);
}

std::optional<uint64_t> SocketStream::acknowledged_bytes() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  constexpr socklen_t kNeeded =
      offsetof(tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked);
  // An older kernel tells less.
  if (!is_open() || ::getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < kNeeded) {
    return std::nullopt;
  }
  return info.tcpi_bytes_acked;
}

void SocketStream::Reset() {
  if (is_open()) {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  SocketStream::Close();
}

std::unique_ptr<Stream> MakePlainStream(Poller& poller) {
  return std::make_unique<SocketStream>(poller);
}

}  // namespace rota::engine
