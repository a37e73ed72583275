#include "common/admin_server.h"

#include <httplib.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <memory>

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
