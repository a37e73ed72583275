#pragma once

// TLS over a socket as a Stream. Includes Asio: for listener.cc and tls_stream.cc only.
// Single-thread (owner: the loop).

#include <memory>
#include <string>
#include <vector>

#include "dataplane/engine/socket_stream.h"
#include "dataplane/engine/tls.h"

namespace rota::engine {

class TlsStream final : public SocketStream {
 public:
  // Server side, on a connection that was accepted.
  TlsStream(Socket socket, SslContext context);
  // Client side, to be connected.
  TlsStream(boost::asio::io_context& context, ClientTls& tls, SslContext ssl_context,
            const std::string& host, const std::string& pool_key);
  ~TlsStream() override;

  void StartHandshake(IoWaiter& waiter) override;
  void StartRead(char* data, size_t size, IoWaiter& waiter) override;
  IoResult TryWrite(std::span<const iovec> parts) override;
  void ShutdownWrites() override;

  bool is_tls() const override { return true; }
  std::string server_name() const override;
  // Client side: the server has given a session to resume.
  void KeepSession(SSL_SESSION* session);

 private:
  // One step; false when the operation waits for the socket.
  bool HandshakeStep(IoResult& result);
  bool ReadStep(IoResult& result);
  void ContinueHandshake();
  void ContinueRead();
  // Waits for what SSL_get_error asks for, then calls `next`.
  template <typename Next>
  void Await(int ssl_error, Next next);
  std::string HandshakeFailure();

  SslContext context_;
  SSL* ssl_;
  const bool is_server_;
  ClientTls* client_tls_ = nullptr;
  std::string pool_key_;
  bool established_ = false;
  bool broken_ = false;
  int wants_ = 0;
  IoWaiter* handshake_waiter_ = nullptr;
  IoWaiter* read_waiter_ = nullptr;
  char* read_data_ = nullptr;
  size_t read_size_ = 0;
  // A record that SSL_write has begun: the caller's next bytes, `pending_` of them.
  std::vector<char> flat_;
  size_t pending_ = 0;
};

}  // namespace rota::engine
