#include "common/admin_server.h"

#include <httplib.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "common/admin_http.h"
#include "common/process_metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::unique_ptr<AdminServer> StartOn(const std::string& host, const AdminPages& pages) {
  auto server = AdminServer::Start(HostPort{host, 0}, pages);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

httplib::Result Get(const AdminServer& server, const std::string& path) {
  httplib::Client client(server.address().host, server.address().port);
  return client.Get(path);
}

TEST(AdminServerTest, ServesMetricsOfEveryCollectable) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("rota_test_total")
      .Help("A test.")
      .Register(*registry)
      .Add({{"a", "b"}})
      .Increment();
  AdminPages pages;
  AddMetricsPage(pages, {registry, std::make_shared<ProcessMetrics>()});
  const auto server = StartOn("127.0.0.1", pages);

  const auto result = Get(*server, "/metrics");

  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(result->body, HasSubstr("rota_test_total{a=\"b\"} 1\n"));
  EXPECT_THAT(result->body, HasSubstr("rota_build_info{commit="));
  EXPECT_THAT(result->body, HasSubstr("process_resident_memory_bytes "));
}

TEST(AdminServerTest, ReadinessGivesItsReasons) {
  std::vector<std::string> reasons = {"no snapshot yet"};
  AdminPages pages;
  AddHealthPages(
      pages, [&] { return reasons; },
      [] { return std::vector<std::string>{"--allow-unauthenticated is on"}; });
  const auto server = StartOn("127.0.0.1", pages);

  const auto before = Get(*server, "/readyz");
  reasons.clear();
  const auto after = Get(*server, "/readyz");

  ASSERT_TRUE(before && after);
  EXPECT_EQ(before->status, 503);
  EXPECT_EQ(before->body, "not ready\nno snapshot yet\n--allow-unauthenticated is on\n");
  EXPECT_EQ(after->status, 200);
  EXPECT_EQ(after->body, "ready\n--allow-unauthenticated is on\n");
  EXPECT_EQ(Get(*server, "/healthz")->body, "ok\n");
}

TEST(AdminServerTest, PathsAreExactAndUnknownOnesListThePages) {
  AdminPages pages;
  pages.Add("GET", "/a.b", [](const AdminRequest&) {
    return AdminResponse{200, "text/plain", "here"};
  });
  const auto server = StartOn("127.0.0.1", pages);

  EXPECT_EQ(Get(*server, "/a.b")->body, "here");
  const auto other = Get(*server, "/axb");
  EXPECT_EQ(other->status, 404);
  EXPECT_THAT(other->body, HasSubstr("GET /a.b\n"));
}

TEST(AdminServerTest, HandsOverQueryAndBody) {
  AdminPages pages;
  pages.Add("POST", "/lift", [](const AdminRequest& request) {
    return AdminResponse{200, "text/plain", request.query.at("target") + "|" + request.body};
  });
  const auto server = StartOn("127.0.0.1", pages);
  httplib::Client client(server->address().host, server->address().port);

  EXPECT_EQ(client.Post("/lift?target=a%20b", "body", "text/plain")->body, "a b|body");
}

TEST(AdminServerTest, APageThatThrowsIsA500WithoutDetails) {
  AdminPages pages;
  pages.Add("GET", "/bad",
            [](const AdminRequest&) -> AdminResponse { throw std::runtime_error("secret"); });
  const auto server = StartOn("127.0.0.1", pages);

  const auto result = Get(*server, "/bad");

  EXPECT_EQ(result->status, 500);
  EXPECT_THAT(result->body, testing::Not(HasSubstr("secret")));
}

// A connection that sends what it is told and reads to the end.
class RawClient {
 public:
  explicit RawClient(const AdminServer& server) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.address().port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval timeout{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  void Send(const std::string& text) { send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  std::string ReadToEnd() {
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd_, buffer, sizeof buffer, 0)) > 0;) {
      all.append(buffer, static_cast<size_t>(got));
    }
    return all;
  }

 private:
  int fd_;
};

AdminPages HealthPages() {
  AdminPages pages;
  AddHealthPages(pages, [] { return std::vector<std::string>{}; });
  return pages;
}

TEST(AdminServerTest, SlowClientsDoNotKeepAProbeOut) {
  const auto server = StartOn("127.0.0.1", HealthPages());
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(std::make_unique<RawClient>(*server));
    slow.back()->Send("GET /healthz HTTP/1.1\r\nX-Slow:");
  }

  const auto result = Get(*server, "/healthz");

  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200);
}

TEST(AdminServerTest, AnswersPipelinedRequestsInOrderAndHeadWithoutABody) {
  const auto server = StartOn("127.0.0.1", HealthPages());
  RawClient client(*server);

  client.Send(
      "HEAD /healthz HTTP/1.1\r\n\r\nGET /nope HTTP/1.1\r\n\r\nPOST /healthz "
      "HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy"
      "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string all = client.ReadToEnd();

  EXPECT_THAT(all, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(all, HasSubstr("Connection: keep-alive\r\n\r\nHTTP/1.1 404 Not Found"));
  EXPECT_THAT(all, HasSubstr("HTTP/1.1 405 Method Not Allowed"));
  EXPECT_THAT(all, HasSubstr("Allow: GET\r\n"));
  EXPECT_THAT(all, testing::EndsWith("Connection: close\r\n\r\nok\n"));
}

TEST(AdminServerTest, RefusesWhatIsMalformedOrTooLargeAndCloses) {
  const auto server = StartOn("127.0.0.1", HealthPages());
  const std::pair<std::string, std::string> cases[] = {
      {"nonsense\r\n\r\n", "400"},
      {"GET /healthz HTTP/2.0\r\n\r\n", "400"},
      {"GET  /healthz HTTP/1.1\r\n\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\nbad line\r\n\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"},
      {"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
      {"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "400"},
      {"POST /healthz HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "413"},
      {"GET /healthz HTTP/1.1\r\nX: " + std::string(20'000, 'a'), "431"}};
  for (const auto& [request, status] : cases) {
    RawClient client(*server);
    client.Send(request);
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 " + status)) << request.substr(0, 60);
  }
}

TEST(AdminServerTest, LargePagesArriveWhole) {
  const std::string large(20 << 20, 'x');
  AdminPages pages;
  pages.Add("GET", "/large", [&](const AdminRequest&) {
    return AdminResponse{200, "text/plain", large};
  });
  const auto server = StartOn("127.0.0.1", pages);

  const auto result = Get(*server, "/large");

  ASSERT_TRUE(result);
  EXPECT_EQ(result->body.size(), large.size());
}

TEST(AdminHttpTest, DecodesQueries) {
  const auto query = ParseQuery("a=b%20c&d&a=second&e=1+1&%zz=%4");

  EXPECT_EQ(query.at("a"), "b c");
  EXPECT_EQ(query.at("d"), "");
  EXPECT_EQ(query.at("e"), "1 1");
  EXPECT_EQ(query.at("%zz"), "%4");
}

TEST(AdminServerTest, ListensOnIpv6) {
  AdminPages pages;
  AddHealthPages(pages, [] { return std::vector<std::string>{}; });
  const auto server = AdminServer::Start(HostPort{"::1", 0}, pages);
  if (!server.ok()) {
    GTEST_SKIP() << "this machine has no IPv6 loopback";
  }

  EXPECT_EQ(Get(**server, "/healthz")->status, 200);
  EXPECT_THAT((*server)->address().ToString(), StartsWith("[::1]:"));
}

TEST(AdminServerTest, APortInUseIsAnErrorThatNamesIt) {
  const auto first = StartOn("127.0.0.1", AdminPages());

  const auto second = AdminServer::Start(first->address(), AdminPages());

  EXPECT_THAT(std::string(second.status().message()), HasSubstr(first->address().ToString()));
}

}  // namespace
}  // namespace rota
