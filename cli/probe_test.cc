#include "cli/probe.h"

#include <sstream>
#include <thread>

#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"

namespace rota::cli {
namespace {

using testing::HasSubstr;

class ProbeTest : public testing::Test {
 protected:
  ~ProbeTest() override {
    server_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  // A server that answers with 404 and this header; its URL.
  std::string Serve(const std::string& header) {
    server_.Get(".*", [header](const httplib::Request&, httplib::Response& response) {
      response.status = 404;
      response.set_header(header, "102404");
    });
    const int port = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    return "http://127.0.0.1:" + std::to_string(port);
  }
  int Run(const std::string& url) {
    return Probe({.url = url, .timeout = Duration::zero()}, console_, clock_);
  }

  httplib::Server server_;
  std::thread thread_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{.out = &out_, .err = &err_, .style = {}};
  RealClock clock_;
};

TEST_F(ProbeTest, ADataPlaneIsKnownByItsErrorHeader) {
  EXPECT_EQ(Run(Serve("X-Rota-Error") + "/whatever"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("404 102404"));
}

TEST_F(ProbeTest, SomebodyElseIsNoDataPlane) {
  EXPECT_EQ(Run(Serve("X-Other")), kExitFindings);
  EXPECT_THAT(err_.str(), HasSubstr("no data plane"));
}

TEST_F(ProbeTest, NobodyIsSaidWithTheReason) {
  EXPECT_EQ(Run("http://127.0.0.1:1"), kExitUnreachable);
  EXPECT_THAT(err_.str(), HasSubstr("http://127.0.0.1:1"));
}

TEST_F(ProbeTest, WhatIsNoUrlIsWrongUsage) {
  for (const char* url : {"", "127.0.0.1:80", "ftp://a", "http://", "http:///path"}) {
    EXPECT_EQ(Run(url), kExitUsage) << url;
  }
}

}  // namespace
}  // namespace rota::cli
