#pragma once

// Plain TCP as a Stream, and the part that TLS shares. Includes Asio: for the translation units
// that make streams only. Single-thread (owner: the loop).

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "dataplane/engine/stream.h"

namespace rota::engine {

class SocketStream : public Stream {
 public:
  // The concrete executor: a type-erased one costs a virtual call and an allocation per operation.
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp,
                                                  boost::asio::io_context::executor_type>;

  explicit SocketStream(boost::asio::io_context& context) : socket_(context) {}
  explicit SocketStream(Socket socket) : socket_(std::move(socket)) { Prepare(); }

  void StartConnect(const SocketAddress& address, IoWaiter& waiter) override;
  void StartHandshake(IoWaiter& waiter) override;
  void StartRead(char* data, size_t size, IoWaiter& waiter) override;
  IoResult TryWrite(std::span<const iovec> parts) override;
  void AwaitWritable(IoWaiter& waiter) override;
  void ShutdownWrites() override;
  void Close() override;
  void Reset() override;

  bool is_tls() const override { return false; }
  std::string server_name() const override { return ""; }
  std::string failure() const override { return failure_; }
  SocketAddress peer() const override;

 protected:
  // Without Nagle's delay, non-blocking.
  void Prepare();
  void Post(IoWaiter& waiter, IoResult result);
  Socket socket_;
  std::string failure_;
};

IoError ErrorOf(const boost::system::error_code& error);

}  // namespace rota::engine
