#include "dataplane/cloud/https_post.h"

#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/openssl_ptr.h"
#include "common/secret.h"
#include "common/server_name.h"
#include "common/status_macros.h"
#include "dataplane/cloud/http_answer.h"

namespace rota::cloud {
namespace {

// Per address, so that one which leads nowhere leaves time for the next.
constexpr Duration kConnectTime = std::chrono::seconds(3);

using Addresses = std::unique_ptr<addrinfo, openssl::Freer<freeaddrinfo>>;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status Failed(std::string_view what, std::string_view why) {
  return absl::UnavailableError(absl::StrCat(std::string(what), ": ", std::string(why)));
}

absl::StatusOr<Addresses> Resolve(const table::EndpointUrl& server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
  if (error != 0) {
    return Failed("its name cannot be resolved", gai_strerror(error));
  }
  return Addresses(found);
}

// A connection while it lasts.
class Exchange {
 public:
  Exchange(const Clock& clock, std::stop_token stop)
      : clock_(clock),
        deadline_(clock.Now() + kPostTime),
        cancelled_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        on_stop_(std::move(stop), [this] { eventfd_write(cancelled_.get(), 1); }) {}

  absl::Status Connect(const table::EndpointUrl& server) {
    ASSIGN_OR_RETURN(const Addresses addresses, Resolve(server));
    absl::Status status;
    for (const addrinfo* address = addresses.get(); address != nullptr;
         address = address->ai_next) {
      status = ConnectTo(*address);
      if (status.ok() || !absl::IsUnavailable(status)) {
        return status;
      }
    }
    return status;
  }

  absl::Status Secure(SSL_CTX* context, const std::string& host) {
    ssl_.reset(SSL_new(context));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_.get()) != 1) {
      return Failed("TLS", "out of memory");
    }
    if (!ExpectServer(ssl_.get(), host)) {
      return Failed("TLS", "its name cannot be checked");
    }
    return Drive("TLS", [this] { return SSL_connect(ssl_.get()); }).status();
  }

  absl::Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      ASSIGN_OR_RETURN(const int written, Drive("sending", [this, bytes] {
                         return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
                       }));
      if (written == 0) {
        return Failed("sending", "it has closed the connection");
      }
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<TokenAnswer> Read() {
    std::string bytes;
    bytes.reserve(kMaxAnswerBytes + kPiece);  // it holds secrets: never moved
    absl::StatusOr<std::optional<TokenAnswer>> answer = std::optional<TokenAnswer>();
    while (answer.ok() && !answer->has_value()) {
      std::array<char, kPiece> piece;
      const absl::StatusOr<int> read = Drive("the answer", [this, &piece] {
        return SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
      });
      if (!read.ok()) {
        answer = read.status();
        break;
      }
      bytes.append(piece.data(), static_cast<size_t>(*read));
      OPENSSL_cleanse(piece.data(), piece.size());
      answer = ParseAnswer(bytes, *read == 0);
    }
    WipeString(bytes);
    RETURN_IF_ERROR(answer.status());
    return **std::move(answer);
  }

 private:
  static constexpr size_t kPiece = 16 << 10;  // a TLS record

  absl::Status ConnectTo(const addrinfo& address) {
    socket_ = Descriptor(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.get() < 0) {
      return Failed("connecting", std::strerror(errno));
    }
    if (connect(socket_.get(), address.ai_addr, address.ai_addrlen) == 0) {
      return absl::OkStatus();
    }
    if (errno != EINPROGRESS) {
      return Failed("connecting", std::strerror(errno));
    }
    const absl::Status ready = Await(POLLOUT, std::min(deadline_, clock_.Now() + kConnectTime));
    if (absl::IsDeadlineExceeded(ready)) {
      return Failed("connecting", "nobody answers");
    }
    RETURN_IF_ERROR(ready);
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? absl::OkStatus() : Failed("connecting", std::strerror(error));
  }

  // Until the socket is ready for `events`; DeadlineExceeded at `until`.
  absl::Status Await(short events, MonotonicTime until) {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.Now()).count();
      if (left <= 0) {
        return absl::DeadlineExceededError("it takes longer than 10 s");
      }
      std::array<pollfd, 2> fds{{{socket_.get(), events, 0}, {cancelled_.get(), POLLIN, 0}}};
      if (poll(fds.data(), fds.size(), static_cast<int>(left)) < 0 && errno != EINTR) {
        return Failed("waiting", std::strerror(errno));
      }
      if (fds[1].revents != 0) {
        return absl::CancelledError("stopped");
      }
      if (fds[0].revents != 0) {
        return absl::OkStatus();
      }
    }
  }

  // Repeats a step of OpenSSL until it is done: what it returns, 0 when the peer has closed.
  template <typename Step>
  absl::StatusOr<int> Drive(std::string_view what, Step step) {
    while (true) {
      ERR_clear_error();
      const int done = step();
      if (done > 0) {
        return done;
      }
      switch (SSL_get_error(ssl_.get(), done)) {
        case SSL_ERROR_WANT_READ:
          RETURN_IF_ERROR(Await(POLLIN, deadline_));
          break;
        case SSL_ERROR_WANT_WRITE:
          RETURN_IF_ERROR(Await(POLLOUT, deadline_));
          break;
        case SSL_ERROR_ZERO_RETURN:
          return 0;
        default:
          return Failed(what, TlsError());
      }
    }
  }

  std::string TlsError() const {
    const long verified = SSL_get_verify_result(ssl_.get());
    const char* const reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    if (verified != X509_V_OK) {
      return absl::StrCat("its certificate is not trusted: ",
                          X509_verify_cert_error_string(verified));
    }
    return reason != nullptr ? reason : "the connection was lost";
  }

  const Clock& clock_;
  const MonotonicTime deadline_;
  const Descriptor cancelled_;
  std::stop_callback<std::function<void()>> on_stop_;
  Descriptor socket_;
  std::unique_ptr<SSL, openssl::Freer<SSL_free>> ssl_;
};

}  // namespace

absl::StatusOr<TokenAnswer> Post(const TokenRequest& request, const std::shared_ptr<SSL_CTX>& tls,
                                 const Clock& clock, std::stop_token stop) {
  Exchange exchange(clock, std::move(stop));
  RETURN_IF_ERROR(exchange.Connect(request.server));
  RETURN_IF_ERROR(exchange.Secure(tls.get(), request.server.host));
  RETURN_IF_ERROR(exchange.Write(absl::StrCat(
      "POST ", request.path, " HTTP/1.1\r\nhost: ", request.server.authority,
      "\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: ",
      request.form.size(), "\r\naccept: */*\r\nuser-agent: rota\r\nconnection: close\r\n\r\n")));
  RETURN_IF_ERROR(exchange.Write(request.form));
  return exchange.Read();
}

}  // namespace rota::cloud
