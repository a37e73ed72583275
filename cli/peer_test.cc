#include "cli/peer.h"

#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::HasSubstr;

TEST(PeerTest, AddressesAreUrlsOrHostAndPort) {
  for (const char* url : {"http://127.0.0.1:9901", "http://127.0.0.1:9901/", "127.0.0.1:9901"}) {
    const auto peer = PeerAt(url);
    ASSERT_TRUE(peer.ok()) << peer.status();
    EXPECT_EQ(peer->name, "127.0.0.1:9901");
  }
  EXPECT_EQ(PeerAt("127.0.0.1:1", "pod-a")->name, "pod-a");
  for (const char* url : {"https://127.0.0.1:9901", "ftp://x:1", "nonsense", ""}) {
    EXPECT_TRUE(absl::IsInvalidArgument(PeerAt(url).status())) << url;
  }
}

TEST(PeerTest, QueriesAreEscapedAndEmptyValuesLeftOut) {
  EXPECT_EQ(WithQuery("/p", {{"a", "x/y z"}, {"b", ""}, {"c", "ä&=?"}}),
            "/p?a=x%2Fy%20z&c=%C3%A4%26%3D%3F");
  EXPECT_EQ(WithQuery("/p", {{"a", ""}}), "/p");
}

TEST(PeerTest, RefusalsKeepTheirMeaningAndTheirWords) {
  const auto answer = [](int status, const std::string& body) {
    return AskJson(PeerWith("a", {{"GET /p", {status, body}}}), "GET", "/p").status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(answer(400, R"({"error":"no"})")));
  EXPECT_TRUE(absl::IsPermissionDenied(answer(403, "")));
  EXPECT_TRUE(absl::IsNotFound(answer(404, "")));
  EXPECT_TRUE(absl::IsUnavailable(answer(503, "")));
  EXPECT_THAT(std::string(answer(503, R"({"error":"no snapshot yet"})").message()),
              HasSubstr("a: no snapshot yet (503 to /p)"));
  EXPECT_THAT(std::string(answer(200, "<html>").message()), HasSubstr("is not JSON"));
  EXPECT_THAT(std::string(answer(400, "plain \x1b[2J").message()), HasSubstr("plain ?[2J"));
}

}  // namespace
}  // namespace rota::cli
