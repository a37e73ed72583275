#pragma once

// An HttpTransport whose answers are given beforehand. Test code only; single-thread.

#include <deque>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "controller/kube/transport.h"
#include "gtest/gtest.h"

namespace rota::identity {

class ScriptedTransport final : public kube::HttpTransport {
 public:
  void Answer(int status, std::string body) { answers_.emplace_back(status, std::move(body)); }

  absl::StatusOr<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                          const kube::HttpLimits& limits,
                                          std::stop_token) override {
    requests.push_back(request);
    EXPECT_LE(limits.idle_timeout, std::chrono::seconds(5)) << "nobody may be held up for long";
    kube::HttpResponse response;
    if (answers_.empty()) {
      return absl::UnavailableError("the script is over");
    }
    std::tie(response.status, response.body) = answers_.front();
    answers_.pop_front();
    return response;
  }
  absl::StatusOr<kube::HttpResponse> Stream(const kube::HttpRequest&, const kube::HttpLimits&,
                                            const std::function<void(const kube::HttpResponse&)>&,
                                            const BodyReceiver&, std::stop_token) override {
    return absl::UnimplementedError("nothing is streamed here");
  }

  std::vector<kube::HttpRequest> requests;

 private:
  std::deque<std::pair<int, std::string>> answers_;
};

}  // namespace rota::identity
