#include "controller/kube/httplib_transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controller/kube/tls_context.h"
#include "httplib.h"

namespace rota::kube {
namespace {

constexpr time_t kConnectTimeoutSeconds = 5;
constexpr time_t kWriteTimeoutSeconds = 10;
constexpr size_t kMaxIdleConnections = 4;
// A directory that cannot hold certificates. Without one httplib adds the system's roots to our CA.
constexpr char kNoCertificates[] = "/dev/null";

void SetOption(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof(value));
}

// A second descriptor of the connection's socket, through which another thread can end what happens
// on it. httplib's own stop() would wait for a connect or handshake that is under way.
class SocketHandle {
 public:
  ~SocketHandle() { Reset(-1); }

  // Called by httplib for each new socket, before it is connected.
  void Adopt(int fd) {
    SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 45000);
    std::lock_guard guard(mutex_);
    if (cancelled_) {
      // It cannot refuse; a descriptor that is no socket makes the connect fail at once.
      const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (nothing >= 0) {
        dup2(nothing, fd);
        close(nothing);
      }
      return;
    }
    Reset(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  }

  void Cancel() {
    std::lock_guard guard(mutex_);
    cancelled_ = true;
    if (fd_ >= 0) {
      shutdown(fd_, SHUT_RDWR);
    }
  }

 private:
  void Reset(int fd) {
    if (fd_ >= 0) {
      close(fd_);
    }
    fd_ = fd;
  }

  std::mutex mutex_;
  int fd_ = -1;
  bool cancelled_ = false;
};

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : absl::StrCat("[", host, "]");
}

// The first address of `host`, for httplib's name-to-address map. Blocks like any resolver.
absl::StatusOr<std::string> Resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("cannot resolve ", host, ": ", gai_strerror(error)));
  }
  std::array<char, NI_MAXHOST> text{};
  const int named = getnameinfo(found->ai_addr, found->ai_addrlen, text.data(),
                                static_cast<socklen_t>(text.size()), nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (named != 0) {
    return absl::UnavailableError(absl::StrCat("cannot resolve ", host, ": ", gai_strerror(named)));
  }
  return std::string(text.data());
}

httplib::Request BuildRequest(const ClientConfig& config, const HttpRequest& request,
                              const SecretString& token) {
  httplib::Request wire;
  wire.method = request.method;
  wire.path = config.path_prefix + request.target;
  wire.set_header("Host", absl::StrCat(Bracketed(config.host), ":", config.port));
  wire.set_header("Accept-Encoding", "identity");
  for (const auto& [name, value] : request.headers) {
    wire.set_header(name, value);
  }
  if (!request.content_type.empty()) {
    wire.set_header("Content-Type", request.content_type);
    wire.body = request.body;
  }
  if (!token.empty()) {
    wire.set_header("Authorization", "Bearer " + std::string(token.Reveal()));
  }
  return wire;
}

HttpResponse HeadOf(const httplib::Response& response) {
  HttpResponse head;
  head.status = response.status;
  for (const auto& [name, value] : response.headers) {
    head.headers[absl::AsciiStrToLower(name)] = value;
  }
  return head;
}

}  // namespace

struct HttplibTransport::Connection {
  SocketHandle socket;
  std::unique_ptr<httplib::ClientImpl> client;
  httplib::SSLClient* tls = nullptr;  // `client`, when the server is https
  uint64_t generation = 0;
};

// What becomes of a body.
struct HttplibTransport::Exchange {
  bool streamed = false;
  const std::function<void(const HttpResponse&)>* on_head = nullptr;
  const BodyReceiver* on_body = nullptr;
};

HttplibTransport::HttplibTransport(Credentials& credentials, const Clock& clock)
    : credentials_(credentials), clock_(clock) {}
HttplibTransport::~HttplibTransport() = default;

absl::StatusOr<std::unique_ptr<HttplibTransport::Connection>> HttplibTransport::Connect(
    std::stop_token stop) {
  const ClientConfig& config = credentials_.config();
  auto connection = std::make_unique<Connection>();
  if (config.tls) {
    ASSIGN_OR_RETURN(const TlsMaterial material, credentials_.Tls(stop));
    const std::string name = config.tls_server_name.empty() ? config.host : config.tls_server_name;
    auto client = std::make_unique<httplib::SSLClient>(name, config.port);
    RETURN_IF_ERROR(ConfigureClientContext(client->ssl_context(), material, name));
    client->enable_server_certificate_verification(!config.insecure_skip_tls_verify);
    if (!material.ca.empty()) {
      client->set_ca_cert_path("", kNoCertificates);
    }
    if (name != config.host) {
      ASSIGN_OR_RETURN(const std::string address, Resolve(config.host));
      client->set_hostname_addr_map({{name, address}});
    }
    connection->generation = material.generation;
    connection->tls = client.get();
    connection->client = std::move(client);
  } else {
    connection->client = std::make_unique<httplib::ClientImpl>(config.host, config.port);
  }
  httplib::ClientImpl& client = *connection->client;
  client.set_connection_timeout(kConnectTimeoutSeconds);
  client.set_write_timeout(kWriteTimeoutSeconds);
  client.set_tcp_nodelay(true);
  client.set_url_encode(false);  // targets are encoded already
  client.set_decompress(false);
  client.set_follow_location(false);
  client.set_keep_alive(true);
  SocketHandle* socket = &connection->socket;
  client.set_socket_options([socket](socket_t fd) { socket->Adopt(fd); });
  return connection;
}

std::unique_ptr<HttplibTransport::Connection> HttplibTransport::TakeIdle(uint64_t generation) {
  std::vector<std::unique_ptr<Connection>> outdated;  // closed outside the lock
  std::lock_guard guard(mutex_);
  while (!idle_.empty()) {
    std::unique_ptr<Connection> connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->generation == generation) {
      return connection;
    }
    outdated.push_back(std::move(connection));
  }
  return nullptr;
}

void HttplibTransport::GiveBack(std::unique_ptr<Connection> connection) {
  std::lock_guard guard(mutex_);
  if (idle_.size() < kMaxIdleConnections) {
    idle_.push_back(std::move(connection));
  }
}

absl::StatusOr<HttpResponse> HttplibTransport::Run(Connection& connection,
                                                   const HttpRequest& request,
                                                   const HttpLimits& limits, Exchange& exchange,
                                                   std::stop_token stop) {
  const MonotonicTime start = clock_.Now();
  ASSIGN_OR_RETURN(const SecretString token, credentials_.Token(stop));
  httplib::Request wire = BuildRequest(credentials_.config(), request, token);
  HttpResponse head;
  bool too_large = false;
  bool too_late = false;
  bool ended_by_receiver = false;
  wire.response_handler = [&](const httplib::Response& response) {
    head = HeadOf(response);
    if (exchange.on_head != nullptr) {
      (*exchange.on_head)(head);
    }
    return !stop.stop_requested();
  };
  wire.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    if (stop.stop_requested()) {
      return false;
    }
    if (exchange.streamed && head.status == 200) {
      ended_by_receiver = !(*exchange.on_body)(head, std::string_view(data, size));
      return !ended_by_receiver;
    }
    too_large = head.body.size() + size > limits.max_body_bytes;
    too_late = clock_.Now() - start > limits.body_deadline;
    if (!too_large && !too_late) {
      head.body.append(data, size);
    }
    return !too_large && !too_late;
  };
  connection.client->set_read_timeout(
      std::chrono::duration_cast<std::chrono::microseconds>(limits.idle_timeout));
  httplib::Response response;
  httplib::Error error = httplib::Error::Success;
  bool done = false;
  {
    SocketHandle* socket = &connection.socket;
    const std::stop_callback cancel(stop, [socket] { socket->Cancel(); });
    done = connection.client->send(wire, response, error);
  }
  if (stop.stop_requested()) {
    return absl::CancelledError("stopped");
  }
  const std::string server = credentials_.config().server();
  if (too_large) {
    return absl::ResourceExhaustedError(
        absl::StrCat(server, ": the answer is larger than ", limits.max_body_bytes, " bytes"));
  }
  if (too_late) {
    return absl::UnavailableError(absl::StrCat(server, ": the answer takes too long"));
  }
  if (!done && !ended_by_receiver) {
    std::string detail = httplib::to_string(error);
    if (error == httplib::Error::SSLServerVerification && connection.tls != nullptr) {
      absl::StrAppend(&detail, ": ",
                      X509_verify_cert_error_string(connection.tls->get_openssl_verify_result()));
    }
    return absl::UnavailableError(
        absl::StrCat(server, ": ", detail, head.status == 0 ? "" : " after the answer began"));
  }
  if (head.status == 401) {
    credentials_.InvalidateOlderThan(start);
  }
  return head;
}

absl::StatusOr<HttpResponse> HttplibTransport::Send(const HttpRequest& request,
                                                    const HttpLimits& limits,
                                                    std::stop_token stop) {
  uint64_t generation = 0;
  if (credentials_.config().tls) {
    ASSIGN_OR_RETURN(const TlsMaterial material, credentials_.Tls(stop));
    generation = material.generation;
  }
  std::unique_ptr<Connection> connection = TakeIdle(generation);
  const bool reused = connection != nullptr;
  if (!reused) {
    ASSIGN_OR_RETURN(connection, Connect(stop));
  }
  Exchange exchange;
  absl::StatusOr<HttpResponse> response = Run(*connection, request, limits, exchange, stop);
  if (absl::IsUnavailable(response.status()) && reused && request.method != "POST") {
    // The server may have closed it in the meantime, which says nothing about the server.
    // Everything but POST is idempotent here (a PATCH says what is to be, not what is to be added).
    ASSIGN_OR_RETURN(connection, Connect(stop));
    response = Run(*connection, request, limits, exchange, stop);
  }
  if (response.ok()) {
    GiveBack(std::move(connection));
  }
  return response;
}

absl::StatusOr<HttpResponse> HttplibTransport::Stream(
    const HttpRequest& request, const HttpLimits& limits,
    const std::function<void(const HttpResponse&)>& on_head, const BodyReceiver& on_body,
    std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connect(stop));
  Exchange exchange{true, &on_head, &on_body};
  return Run(*connection, request, limits, exchange, stop);
}

}  // namespace rota::kube
