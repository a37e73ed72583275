#include "dataplane/engine/socket_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

namespace rota::engine {

namespace asio = boost::asio;
using boost::system::error_code;

IoError ErrorOf(const error_code& error) {
  if (!error) {
    return IoError::kNone;
  }
  if (error == asio::error::eof) {
    return IoError::kEndOfStream;
  }
  return error == asio::error::operation_aborted ? IoError::kAborted : IoError::kReset;
}

void SocketStream::Prepare() {
  error_code ignored;  // a socket that is gone already says so at the first read
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.native_non_blocking(true, ignored);
}

void SocketStream::Post(IoWaiter& waiter, IoResult result) {
  asio::post(socket_.get_executor(), [&waiter, result] { waiter.OnIo(result); });
}

void SocketStream::StartConnect(const SocketAddress& address, IoWaiter& waiter) {
  asio::ip::tcp::endpoint endpoint;
  endpoint.resize(address.size());
  std::copy_n(reinterpret_cast<const char*>(address.data()), address.size(),
              reinterpret_cast<char*>(endpoint.data()));
  error_code error;
  socket_.open(endpoint.protocol(), error);
  if (error) {
    failure_ = error.message();
    Post(waiter, {IoError::kReset, 0});
    return;
  }
  Prepare();
  socket_.async_connect(endpoint, [this, &waiter](const error_code& result) {
    if (result) {
      failure_ = result.message();
    }
    waiter.OnIo({ErrorOf(result), 0});
  });
}

void SocketStream::StartHandshake(IoWaiter& waiter) { Post(waiter, {}); }

void SocketStream::StartRead(char* data, size_t size, IoWaiter& waiter) {
  socket_.async_read_some(asio::buffer(data, size),
                          [&waiter](const error_code& error, size_t bytes) {
                            waiter.OnIo({ErrorOf(error), bytes});
                          });
}

IoResult SocketStream::TryWrite(std::span<const iovec> parts) {
  if (!socket_.is_open()) {
    return {IoError::kAborted, 0};
  }
  static constexpr size_t kMaxParts = 64;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg does not write to it
  message.msg_iovlen = std::min(parts.size(), kMaxParts);
  while (true) {
    const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      return {IoError::kNone, static_cast<size_t>(sent)};
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return {};
    }
    if (errno != EINTR) {
      return {IoError::kReset, 0};
    }
  }
}

void SocketStream::AwaitWritable(IoWaiter& waiter) {
  socket_.async_wait(Socket::wait_write, [&waiter](const error_code& error) {
    waiter.OnIo({ErrorOf(error), 0});
  });
}

void SocketStream::ShutdownWrites() {
  error_code ignored;  // the peer may be gone
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void SocketStream::Close() {
  error_code ignored;
  socket_.close(ignored);
}

void SocketStream::Reset() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

SocketAddress SocketStream::peer() const {
  error_code error;
  const asio::ip::tcp::endpoint endpoint = socket_.remote_endpoint(error);
  if (error) {
    return {};
  }
  return {endpoint.data(), static_cast<socklen_t>(endpoint.size())};
}

std::unique_ptr<Stream> MakePlainStream(asio::io_context& context) {
  return std::make_unique<SocketStream>(context);
}

}  // namespace rota::engine
