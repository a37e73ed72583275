#pragma once

// TLS over a socket as a Stream. OpenSSL reads and writes through a BIO of ours, so that the stream
// knows when its socket is empty. Single-thread (owner: the loop).

#include <memory>
#include <string>
#include <vector>

#include "dataplane/engine/socket_stream.h"
#include "dataplane/engine/tls.h"

namespace rota::engine {

class TlsStream final : public SocketStream {
 public:
  // Server side, on a connection that was accepted.
  TlsStream(Poller& poller, int descriptor, const SocketAddress& peer, SslContext context);
  // Client side, to be connected.
  TlsStream(Poller& poller, ClientTls& tls, SslContext ssl_context, const std::string& host,
            const std::string& pool_key);
  ~TlsStream() override;

  void StartConnect(const SocketAddress& address, IoWaiter& waiter) override;
  void StartHandshake(IoWaiter& waiter) override;
  void StartRead(char* data, size_t size, IoWaiter& waiter) override;
  IoResult TryWrite(std::span<const iovec> parts) override;
  void ShutdownWrites() override;

  bool is_tls() const override { return true; }
  std::string server_name() const override;
  // Client side: the server has given a session to resume.
  void KeepSession(SSL_SESSION* session);

 private:
  friend struct SocketBio;
  void Continue(Operation operation) override;
  // One step; false when the operation waits for the socket.
  bool HandshakeStep(IoResult& result);
  bool ReadStep(IoResult& result);
  // What SSL_get_error says to wait for; false when it is an error.
  bool WaitsFor(Operation operation, int ssl_error);
  void Attach();
  std::string HandshakeFailure();

  SslContext context_;
  SSL* ssl_;
  const bool is_server_;
  ClientTls* client_tls_ = nullptr;
  std::string pool_key_;
  bool is_connecting_ = false;
  bool established_ = false;
  bool broken_ = false;
  bool input_has_ended_ = false;  // without close_notify, maybe
  // A record that SSL_write has begun: the caller's next bytes, `pending_` of them.
  std::vector<char> flat_;
  size_t pending_ = 0;
};

}  // namespace rota::engine
