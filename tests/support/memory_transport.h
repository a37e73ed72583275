#pragma once

// Answers the requests of the Kubernetes client in memory, for unit tests with a FakeClock. Watches
// are not served. Thread-safe.

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "controller/kube/transport.h"
#include "nlohmann/json.hpp"

namespace rota::testing {

class MemoryTransport final : public kube::HttpTransport {
 public:
  // Called for one request at a time.
  using Handler = std::function<absl::StatusOr<kube::HttpResponse>(const kube::HttpRequest&)>;

  explicit MemoryTransport(Handler handler) : handler_(std::move(handler)) {}

  absl::StatusOr<kube::HttpResponse> Send(const kube::HttpRequest& request, const kube::HttpLimits&,
                                          std::stop_token stop) override {
    if (stop.stop_requested()) {
      return absl::CancelledError("stopped");
    }
    std::lock_guard guard(mutex_);
    requests_.push_back(request);
    return handler_(request);
  }
  absl::StatusOr<kube::HttpResponse> Stream(const kube::HttpRequest&, const kube::HttpLimits&,
                                            const std::function<void(const kube::HttpResponse&)>&,
                                            const BodyReceiver&, std::stop_token) override {
    return absl::UnimplementedError("no watches here");
  }

  std::vector<kube::HttpRequest> requests() const {
    std::lock_guard guard(mutex_);
    return requests_;
  }
  size_t Count(const std::string& method) const {
    std::lock_guard guard(mutex_);
    size_t count = 0;
    for (const kube::HttpRequest& request : requests_) {
      count += request.method == method ? 1 : 0;
    }
    return count;
  }

  static kube::HttpResponse Answer(int code, const nlohmann::json& body) {
    kube::HttpResponse response;
    response.status = code;
    response.body = body.dump();
    return response;
  }
  static kube::HttpResponse Error(int code, const std::string& reason = "") {
    return Answer(code, {{"kind", "Status"}, {"code", code}, {"reason", reason}});
  }

 private:
  mutable std::mutex mutex_;
  const Handler handler_;
  std::vector<kube::HttpRequest> requests_;
};

}  // namespace rota::testing
