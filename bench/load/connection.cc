#include "bench/load/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rota::bench {

bool Connection::Connect(const sockaddr* address, socklen_t size, SSL_CTX* tls,
                         const char* server_name) {
  fd_ = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    return false;
  }
  const int yes = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (connect(fd_, address, size) != 0 && errno != EINPROGRESS) {
    Close();
    return false;
  }
  if (tls != nullptr) {
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), fd_);
    // SSL_set_tlsext_host_name is a macro with an old-style cast.
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(server_name));
    SSL_set1_host(ssl_.get(), server_name);
    SSL_set_connect_state(ssl_.get());
  }
  state_ = State::kConnecting;
  reader_.Reset();
  return true;
}

void Connection::Close() {
  ssl_.reset();
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
  state_ = State::kClosed;
}

Connection::Progress Connection::Fail(const char* error) {
  error_ = error;
  Close();
  return Progress::kFailed;
}

Connection::Progress Connection::Send(std::string_view request) {
  unsent_ = request;
  reader_.Reset();
  state_ = State::kSending;
  return WriteMore();
}

Connection::Progress Connection::OnReady(bool peer_has_closed) {
  peer_has_closed_ = peer_has_closed;
  switch (state_) {
    case State::kConnecting:
      return FinishConnect();
    case State::kHandshake:
      return Handshake();
    case State::kSending: {
      const Progress progress = WriteMore();
      return progress == Progress::kWaiting ? ReadMore() : progress;
    }
    case State::kReceiving:
    case State::kIdle:
      return ReadMore();
    case State::kClosed:
      return Progress::kWaiting;
  }
  return Progress::kWaiting;
}

Connection::Progress Connection::FinishConnect() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    return Fail("connect");
  }
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) {
    return Progress::kWaiting;  // not connected yet
  }
  if (ssl_ != nullptr) {
    state_ = State::kHandshake;
    return Handshake();
  }
  state_ = State::kIdle;
  return Progress::kIdle;
}

Connection::Progress Connection::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    state_ = State::kIdle;
    return Progress::kIdle;
  }
  const int reason = SSL_get_error(ssl_.get(), result);
  return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? Progress::kWaiting
                                                                         : Fail("tls");
}

ssize_t Connection::WriteSome(std::string_view bytes) {
  if (ssl_ == nullptr) {
    const ssize_t written = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return written >= 0 ? written : (errno == EAGAIN || errno == EINTR ? -1 : -2);
  }
  ERR_clear_error();
  const int written = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (written > 0) {
    return written;
  }
  const int reason = SSL_get_error(ssl_.get(), written);
  return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? -1 : -2;
}

ssize_t Connection::ReadSome(char* data, size_t size) {
  if (ssl_ == nullptr) {
    const ssize_t got = recv(fd_, data, size, 0);
    return got >= 0 ? got : (errno == EAGAIN || errno == EINTR ? -1 : -2);
  }
  ERR_clear_error();
  const int got = SSL_read(ssl_.get(), data, static_cast<int>(size));
  if (got > 0) {
    return got;
  }
  const int reason = SSL_get_error(ssl_.get(), got);
  if (reason == SSL_ERROR_ZERO_RETURN) {
    return 0;
  }
  return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? -1 : -2;
}

Connection::Progress Connection::WriteMore() {
  while (!unsent_.empty()) {
    const ssize_t written = WriteSome(unsent_);
    if (written == -1) {
      return Progress::kWaiting;
    }
    if (written <= 0) {
      return Fail("reset");
    }
    unsent_.remove_prefix(static_cast<size_t>(written));
  }
  state_ = State::kReceiving;
  return Progress::kWaiting;
}

Connection::Progress Connection::ReadMore() {
  std::array<char, 16 << 10> buffer;
  while (true) {
    const ssize_t got = ReadSome(buffer.data(), buffer.size());
    if (got == -1) {
      return Progress::kWaiting;
    }
    if (got == -2) {
      return Fail("reset");
    }
    if (state_ == State::kIdle) {
      return Fail(got == 0 ? "idle_close" : "broken");
    }
    const ResponseReader::State read =
        got == 0 ? reader_.ReadEnd() : reader_.Read({buffer.data(), static_cast<size_t>(got)});
    if (read == ResponseReader::State::kBroken) {
      return Fail(got == 0 ? "reset" : "broken");
    }
    if (read == ResponseReader::State::kDone) {
      state_ = State::kIdle;
      return Progress::kAnswered;
    }
    // A short read has emptied the socket: the next event will come, unless it is the end, which
    // this event has told already. TLS may hold more.
    if (ssl_ == nullptr && !peer_has_closed_ && static_cast<size_t>(got) < buffer.size()) {
      return Progress::kWaiting;
    }
  }
}

}  // namespace rota::bench
