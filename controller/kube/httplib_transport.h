#pragma once

// HttpTransport over cpp-httplib: HTTP/1.1, TLS 1.2 or newer, one connection per stream and a small
// pool for the rest. The server's certificate is checked against the configured CA and nothing else
// (with no CA configured: the system's roots), by OpenSSL, for the name or address of the
// kubeconfig.
//
// Connect timeout 5 s; TCP keepalive 30/10/3 and TCP_USER_TIMEOUT 45 s find a peer that vanished.
// REQUIRES: the program ignores SIGPIPE. Thread-safe. Cancelling is immediate but for name
// resolution.

#include <memory>
#include <mutex>
#include <vector>

#include "common/clock.h"
#include "controller/kube/credentials.h"
#include "controller/kube/transport.h"

namespace rota::kube {

class HttplibTransport final : public HttpTransport {
 public:
  // Both must outlive the transport. It adds the bearer token to each request and tells the
  // credentials of every 401.
  HttplibTransport(Credentials& credentials, const Clock& clock);
  ~HttplibTransport() override;

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, const HttpLimits& limits,
                                    std::stop_token stop) override;
  absl::StatusOr<HttpResponse> Stream(const HttpRequest& request, const HttpLimits& limits,
                                      const std::function<void(const HttpResponse&)>& on_head,
                                      const BodyReceiver& on_body, std::stop_token stop) override;

 private:
  struct Connection;
  struct Exchange;

  absl::StatusOr<std::unique_ptr<Connection>> Connect(std::stop_token stop);
  std::unique_ptr<Connection> TakeIdle(uint64_t generation);
  void GiveBack(std::unique_ptr<Connection> connection);
  absl::StatusOr<HttpResponse> Run(Connection& connection, const HttpRequest& request,
                                   const HttpLimits& limits, Exchange& exchange,
                                   std::stop_token stop);

  Credentials& credentials_;
  const Clock& clock_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace rota::kube
