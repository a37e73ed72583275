#pragma once

// The seam between the Kubernetes client and the wire: one HTTP exchange at a time, its body passed
// on as it arrives. HttplibTransport is the real one.
//
// Errors: a status only when there was no complete answer (DNS, connect, TLS, timeout, reset,
// cancelled, body larger than allowed); an HTTP error code is an answer. Never follows a redirect.

#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"

namespace rota::kube {

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query, encoded already
  // `Authorization` is the transport's business, not the caller's.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string content_type;  // of `body`
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // empty when it was streamed
};

struct HttpLimits {
  // Longest silence of the server, before the head and inside the body.
  Duration idle_timeout = std::chrono::seconds(30);
  // From the start to the last byte of a collected body, however steadily it drips.
  Duration body_deadline = std::chrono::minutes(2);
  // Of a collected body; a list page of 500 large objects fits.
  size_t max_body_bytes = size_t{64} << 20;
};

// Thread-safe.
class HttpTransport {
 public:
  // Called with the body as it arrives; false ends the exchange (which is then no error).
  using BodyReceiver = std::function<bool(const HttpResponse& head, std::string_view data)>;

  virtual ~HttpTransport() = default;

  // One exchange; a request of stop ends it at once with Cancelled.
  virtual absl::StatusOr<HttpResponse> Send(const HttpRequest& request, const HttpLimits& limits,
                                            std::stop_token stop) = 0;

  // The same with a streamed body, on a connection of its own. `on_head` is called once, before the
  // body; the body of an answer that is not 200 is collected (up to the limit) instead of streamed.
  virtual absl::StatusOr<HttpResponse> Stream(
      const HttpRequest& request, const HttpLimits& limits,
      const std::function<void(const HttpResponse&)>& on_head, const BodyReceiver& on_body,
      std::stop_token stop) = 0;
};

}  // namespace rota::kube
