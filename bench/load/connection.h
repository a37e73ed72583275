#pragma once

// One connection of the load generator: connect, optional TLS, send the request, read the answer.
// Driven by epoll events. Private to load.cc and connection.cc. Single-thread.

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "bench/load/event_scanner.h"
#include "bench/load/response_reader.h"
#include "common/clock.h"

namespace rota::bench {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class Connection {
 public:
  enum class State : uint8_t { kClosed, kConnecting, kHandshake, kIdle, kSending, kReceiving };
  // What a call has come to.
  enum class Progress : uint8_t { kWaiting, kIdle, kAnswered, kFailed };

  explicit Connection(ResponseReader::OnBody on_body) : reader_(std::move(on_body)) {}
  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Starts to connect. False: no socket. The caller adds fd() to its epoll for reading and writing,
  // edge-triggered.
  bool Connect(const sockaddr* address, socklen_t size, SSL_CTX* tls, const char* server_name);
  // REQUIRES: state() == kIdle. `request` must live until the answer.
  Progress Send(std::string_view request);
  // The socket may be readable or writable. `peer_has_closed`: EPOLLRDHUP was in the event.
  Progress OnReady(bool peer_has_closed);
  void Close();

  int fd() const { return fd_; }
  State state() const { return state_; }
  const ResponseReader& reader() const { return reader_; }
  // Why it failed: "connect", "tls", "reset", "broken", "idle_close".
  const char* error() const { return error_; }

  MonotonicTime due{};                    // of the request under way
  MonotonicTime sent{};                   // of the request under way
  MonotonicTime deadline{};               // of the request under way
  std::unique_ptr<EventScanner> scanner;  // streams only
  bool saw_first_event = false;

 private:
  Progress Fail(const char* error);
  Progress FinishConnect();
  Progress Handshake();
  Progress WriteMore();
  Progress ReadMore();
  // Like read() and write(): > 0 bytes, 0 end of stream, -1 would block, -2 failed.
  ssize_t ReadSome(char* data, size_t size);
  ssize_t WriteSome(std::string_view bytes);

  int fd_ = -1;
  std::unique_ptr<SSL, SslDeleter> ssl_;
  State state_ = State::kClosed;
  std::string_view unsent_;
  ResponseReader reader_;
  bool peer_has_closed_ = false;
  const char* error_ = "";
};

}  // namespace rota::bench
