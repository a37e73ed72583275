#include "dataplane/engine/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/server_name.h"

namespace rota::engine {
namespace {

constexpr size_t kRecordBytes = 16384;

}  // namespace

// OpenSSL's way to the socket.
struct SocketBio {
  static TlsStream& Owner(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* data, int size) {
    TlsStream& stream = Owner(bio);
    BIO_clear_retry_flags(bio);
    if (!stream.is_open() || size <= 0) {
      return -1;
    }
    const IoResult result = stream.Receive(data, static_cast<size_t>(size));
    stream.input_has_ended_ = result.error == IoError::kEndOfStream;
    if (result.ok() && result.bytes == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    return result.ok() ? static_cast<int>(result.bytes) : stream.input_has_ended_ ? 0 : -1;
  }

  static int Write(BIO* bio, const char* data, int size) {
    TlsStream& stream = Owner(bio);
    BIO_clear_retry_flags(bio);
    if (!stream.is_open() || size <= 0) {
      return -1;
    }
    const iovec part = Part({data, static_cast<size_t>(size)});
    const IoResult result = stream.Send({&part, 1});
    if (result.ok() && result.bytes == 0) {
      BIO_set_retry_write(bio);
      return -1;
    }
    return result.ok() ? static_cast<int>(result.bytes) : -1;
  }

  static long Control(BIO* bio, int command, long, void*) {
    switch (command) {
      case BIO_CTRL_FLUSH:
        return 1;
      case BIO_CTRL_EOF:
        return Owner(bio).input_has_ended_ ? 1 : 0;
      default:
        return 0;
    }
  }

  // For the life of the process.
  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rota socket");
      if (made != nullptr) {
        BIO_meth_set_read(made, Read);
        BIO_meth_set_write(made, Write);
        BIO_meth_set_ctrl(made, Control);
      }
      return made;
    }();
    return method;
  }
};

TlsStream::TlsStream(Poller& poller, int descriptor, const SocketAddress& peer, SslContext context)
    : SocketStream(poller, descriptor, peer),
      context_(std::move(context)),
      ssl_(SSL_new(context_.get())),
      is_server_(true) {
  Attach();
  if (ssl_ != nullptr) {
    SSL_set_accept_state(ssl_);
  }
}

TlsStream::TlsStream(Poller& poller, ClientTls& tls, SslContext ssl_context,
                     const std::string& host, const std::string& pool_key)
    : SocketStream(poller),
      context_(std::move(ssl_context)),
      ssl_(SSL_new(context_.get())),
      is_server_(false),
      client_tls_(&tls),
      pool_key_(pool_key) {
  Attach();
  if (ssl_ == nullptr) {
    return;
  }
  SSL_set_connect_state(ssl_);
  SSL_set_ex_data(ssl_, 0, this);  // 0: the application's own slot
  if (!ExpectServer(ssl_, host)) {
    SSL_free(std::exchange(ssl_, nullptr));
    return;
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

// Without memory for it there is no `ssl_`.
void TlsStream::Attach() {
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(SocketBio::Method());
  if (bio == nullptr) {
    SSL_free(std::exchange(ssl_, nullptr));
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

void TlsStream::KeepSession(SSL_SESSION* session) { client_tls_->Remember(pool_key_, session); }

int OnNewTlsSession(SSL* ssl, SSL_SESSION* session) {
  if (auto* stream = static_cast<TlsStream*>(SSL_get_ex_data(ssl, 0))) {
    stream->KeepSession(session);
  }
  return 0;  // OpenSSL keeps its reference
}

void TlsStream::StartConnect(const SocketAddress& address, IoWaiter& waiter) {
  is_connecting_ = true;
  SocketStream::StartConnect(address, waiter);
}

void TlsStream::StartHandshake(IoWaiter& waiter) {
  // A client has the first word.
  Begin(kOpening, waiter, /*for_write=*/!is_server_);
}

void TlsStream::StartRead(char* data, size_t size, IoWaiter& waiter) {
  if (broken_ || (ssl_ != nullptr && SSL_has_pending(ssl_) != 0)) {
    MarkReadable();  // something of an earlier read is left
  }
  SocketStream::StartRead(data, size, waiter);
}

void TlsStream::Continue(Operation operation) {
  IoResult result;
  const bool is_of_socket = operation == kWriting || operation == kEnding;
  if (!is_open() || is_of_socket || std::exchange(is_connecting_, false)) {
    SocketStream::Continue(operation);
  } else if (operation == kOpening ? HandshakeStep(result) : ReadStep(result)) {
    Complete(operation, result);
  }
}

bool TlsStream::WaitsFor(Operation operation, int ssl_error) {
  WaitFor(operation, /*for_write=*/ssl_error == SSL_ERROR_WANT_WRITE);
  return ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE;
}

bool TlsStream::HandshakeStep(IoResult& result) {
  if (ssl_ == nullptr) {
    failure_ = "out of memory for a TLS session";
    result.error = IoError::kReset;
    return true;
  }
  ERR_clear_error();
  const int code = SSL_do_handshake(ssl_);
  if (code == 1) {
    established_ = true;
    return true;
  }
  if (WaitsFor(kOpening, SSL_get_error(ssl_, code))) {
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

bool TlsStream::ReadStep(IoResult& result) {
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
  const int error = SSL_get_error(ssl_, 0);
  if (WaitsFor(kReading, error)) {
    return false;
  }
  if (error == SSL_ERROR_ZERO_RETURN) {
    result.error = IoError::kEndOfStream;
    return true;
  }
  broken_ = true;
  // Without close_notify anybody on the path may have cut the stream.
  result.error = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                     ? IoError::kTruncated
                     : IoError::kReset;
  ERR_clear_error();
  return true;
}

IoResult TlsStream::TryWrite(std::span<const iovec> parts) {
  if (!is_open()) {
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
  if (is_open() && established_ && !broken_ && pending_ == 0) {
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

absl::StatusOr<std::unique_ptr<Stream>> MakeTlsClientStream(Poller& poller, ClientTls& tls,
                                                            const std::string& host,
                                                            const std::string& ca_pem,
                                                            const std::string& pool_key) {
  absl::StatusOr<SslContext> ssl_context = tls.ContextFor(ca_pem);
  if (!ssl_context.ok()) {
    return ssl_context.status();
  }
  return std::make_unique<TlsStream>(poller, tls, *std::move(ssl_context), host, pool_key);
}

}  // namespace rota::engine
