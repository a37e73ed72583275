#include "dataplane/engine/tls_stream.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::engine {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kRecordBytes = 16384;

}  // namespace

TlsStream::TlsStream(Socket socket, SslContext context)
    : SocketStream(std::move(socket)),
      context_(std::move(context)),
      ssl_(SSL_new(context_.get())),
      is_server_(true) {
  if (ssl_ != nullptr) {
    SSL_set_fd(ssl_, socket_.native_handle());
    SSL_set_accept_state(ssl_);
  }
}

TlsStream::TlsStream(asio::io_context& context, ClientTls& tls, SslContext ssl_context,
                     const std::string& host, const std::string& pool_key)
    : SocketStream(context),
      context_(std::move(ssl_context)),
      ssl_(SSL_new(context_.get())),
      is_server_(false),
      client_tls_(&tls),
      pool_key_(pool_key) {
  if (ssl_ == nullptr) {
    return;
  }
  SSL_set_connect_state(ssl_);
  SSL_set_ex_data(ssl_, 0, this);  // 0: the application's own slot
  if (SocketAddress::Parse(host, 0).has_value()) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
  } else {
    // The macro for this casts in a way that our warnings refuse.
    SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl_, host.c_str());
  }
  if (SSL_SESSION* session = tls.Recall(pool_key)) {
    SSL_set_session(ssl_, session);
    SSL_SESSION_free(session);
  }
}

TlsStream::~TlsStream() {
  if (ssl_ != nullptr) {
    SSL_free(ssl_);
  }
}

void TlsStream::KeepSession(SSL_SESSION* session) { client_tls_->Remember(pool_key_, session); }

int OnNewTlsSession(SSL* ssl, SSL_SESSION* session) {
  if (auto* stream = static_cast<TlsStream*>(SSL_get_ex_data(ssl, 0))) {
    stream->KeepSession(session);
  }
  return 0;  // OpenSSL keeps its reference
}

template <typename Next>
void TlsStream::Await(int ssl_error, Next next) {
  const auto wait = ssl_error == SSL_ERROR_WANT_WRITE ? Socket::wait_write : Socket::wait_read;
  socket_.async_wait(wait, std::move(next));
}

void TlsStream::StartHandshake(IoWaiter& waiter) {
  handshake_waiter_ = &waiter;
  if (ssl_ == nullptr) {
    failure_ = "out of memory for a TLS session";
    Post(waiter, {IoError::kReset, 0});
    return;
  }
  if (!is_server_) {
    SSL_set_fd(ssl_, socket_.native_handle());
  }
  // The first step may finish at once; the completion still comes from the loop.
  asio::post(socket_.get_executor(), [this] { ContinueHandshake(); });
}

void TlsStream::ContinueHandshake() {
  IoResult result;
  if (!HandshakeStep(result)) {
    Await(wants_, [this](const error_code& error) {
      if (error) {
        failure_ = error.message();
        std::exchange(handshake_waiter_, nullptr)->OnIo({ErrorOf(error), 0});
        return;
      }
      ContinueHandshake();
    });
    return;
  }
  std::exchange(handshake_waiter_, nullptr)->OnIo(result);
}

bool TlsStream::HandshakeStep(IoResult& result) {
  if (!socket_.is_open()) {
    result.error = IoError::kAborted;
    return true;
  }
  ERR_clear_error();
  const int code = SSL_do_handshake(ssl_);
  if (code == 1) {
    established_ = true;
    return true;
  }
  wants_ = SSL_get_error(ssl_, code);
  if (wants_ == SSL_ERROR_WANT_READ || wants_ == SSL_ERROR_WANT_WRITE) {
    return false;
  }
  broken_ = true;
  failure_ = HandshakeFailure();
  result.error = IoError::kReset;
  return true;
}

std::string TlsStream::HandshakeFailure() {
  const long verify = SSL_get_verify_result(ssl_);
  if (!is_server_ && verify != X509_V_OK) {
    ERR_clear_error();
    return absl::StrCat("the certificate was not accepted: ",
                        X509_verify_cert_error_string(verify));
  }
  return absl::StrCat("TLS handshake: ", TakeSslError("the peer closed the connection"));
}

void TlsStream::StartRead(char* data, size_t size, IoWaiter& waiter) {
  read_data_ = data;
  read_size_ = size;
  read_waiter_ = &waiter;
  IoResult result;
  // Nothing of an earlier read is left: the usual case between two messages. Trying the socket
  // first would be a call in vain; what is in it already makes the wait return at once.
  if (socket_.is_open() && !broken_ && SSL_has_pending(ssl_) == 0) {
    wants_ = SSL_ERROR_WANT_READ;
    ContinueRead();
    return;
  }
  if (ReadStep(result)) {
    asio::post(socket_.get_executor(),
               [this, result] { std::exchange(read_waiter_, nullptr)->OnIo(result); });
    return;
  }
  ContinueRead();
}

// REQUIRES: `wants_` says what there is to wait for.
void TlsStream::ContinueRead() {
  Await(wants_, [this](const error_code& error) {
    IoResult result{ErrorOf(error), 0};
    if (!error && !ReadStep(result)) {
      ContinueRead();
      return;
    }
    std::exchange(read_waiter_, nullptr)->OnIo(result);
  });
}

bool TlsStream::ReadStep(IoResult& result) {
  if (!socket_.is_open()) {
    result.error = IoError::kAborted;
    return true;
  }
  if (broken_) {
    result.error = IoError::kReset;
    return true;
  }
  ERR_clear_error();
  size_t bytes = 0;
  if (SSL_read_ex(ssl_, read_data_, read_size_, &bytes) == 1) {
    result.bytes = bytes;
    return true;
  }
  wants_ = SSL_get_error(ssl_, 0);
  switch (wants_) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return false;
    case SSL_ERROR_ZERO_RETURN:
      result.error = IoError::kEndOfStream;
      return true;
    default:
      broken_ = true;
      // Without close_notify anybody on the path may have cut the stream.
      result.error = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                         ? IoError::kTruncated
                         : IoError::kReset;
      ERR_clear_error();
      return true;
  }
}

IoResult TlsStream::TryWrite(std::span<const iovec> parts) {
  if (!socket_.is_open()) {
    return {IoError::kAborted, 0};
  }
  if (broken_) {
    return {IoError::kReset, 0};
  }
  if (pending_ == 0) {
    // One record from all parts: SSL_write takes one buffer.
    flat_.clear();
    for (const iovec& part : parts) {
      const size_t size = std::min(part.iov_len, kRecordBytes - flat_.size());
      const char* data = static_cast<const char*>(part.iov_base);
      flat_.insert(flat_.end(), data, data + size);
      if (flat_.size() == kRecordBytes) {
        break;
      }
    }
    pending_ = flat_.size();
  }
  ERR_clear_error();
  size_t written = 0;
  if (SSL_write_ex(ssl_, flat_.data() + (flat_.size() - pending_), pending_, &written) == 1) {
    pending_ -= written;
    if (pending_ == 0 && flat_.capacity() > kRecordBytes / 4) {
      std::vector<char>().swap(flat_);  // idle streams keep no record buffer
    }
    return {IoError::kNone, written};
  }
  if (SSL_get_error(ssl_, 0) == SSL_ERROR_WANT_WRITE) {
    return {};
  }
  broken_ = true;
  ERR_clear_error();
  return {IoError::kReset, 0};
}

void TlsStream::ShutdownWrites() {
  if (socket_.is_open() && established_ && !broken_ && pending_ == 0) {
    ERR_clear_error();
    SSL_shutdown(ssl_);  // sends close_notify if the socket takes it
    ERR_clear_error();
  }
  SocketStream::ShutdownWrites();
}

std::string TlsStream::server_name() const {
  const char* name =
      ssl_ == nullptr ? nullptr : SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

absl::StatusOr<std::unique_ptr<Stream>> MakeTlsClientStream(asio::io_context& context,
                                                            ClientTls& tls, const std::string& host,
                                                            const std::string& ca_pem,
                                                            const std::string& pool_key) {
  absl::StatusOr<SslContext> ssl_context = tls.ContextFor(ca_pem);
  if (!ssl_context.ok()) {
    return ssl_context.status();
  }
  return std::make_unique<TlsStream>(context, tls, *std::move(ssl_context), host, pool_key);
}

}  // namespace rota::engine
