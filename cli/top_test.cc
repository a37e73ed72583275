#include "cli/top.h"

#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::HasSubstr;

std::string Requests(const std::string& model, int code, int value) {
  return "rota_requests_total{api=\"default/chat\",environment=\"production\",model=\"" + model +
         "\",target=\"openai\",code=\"" + std::to_string(code) + "\"} " + std::to_string(value) +
         "\n";
}

Look LookAt(int seconds, const std::map<std::string, std::string>& texts) {
  Look look{MonotonicTime(std::chrono::seconds(seconds)), {}, {}};
  for (const auto& [peer, text] : texts) {
    look.by_peer[peer] = ParseMetrics(text);
  }
  return look;
}

TEST(TopTest, RatesAreSummedOverDataPlanes) {
  const Json report =
      CompareLooks(LookAt(10, {{"a", Requests("gpt-4o", 200, 100) + Requests("gpt-4o", 499, 1)},
                               {"b", Requests("gpt-4o", 200, 1000)}}),
                   LookAt(12, {{"a", Requests("gpt-4o", 200, 110) + Requests("gpt-4o", 499, 3) +
                                         Requests("gpt-4o", 502, 4)},
                               {"b", Requests("gpt-4o", 200, 1020)}}));
  ASSERT_EQ(report["rows"].size(), 1u);
  EXPECT_EQ(report["seconds"], 2.0);
  EXPECT_EQ(report["rows"][0]["requests_per_second"], 18.0);
  EXPECT_EQ(report["rows"][0]["errors_per_second"], 2.0) << "499 is the client's";
  EXPECT_THAT(PrintTop(report, {}), HasSubstr("11.1%"));
}

TEST(TopTest, ACounterThatBeganAnewCountsFromZeroAndANewDataPlaneNotYet) {
  const Json report =
      CompareLooks(LookAt(0, {{"a", Requests("o1", 200, 500)}}),
                   LookAt(1, {{"a", Requests("o1", 200, 7)}, {"new", Requests("o1", 200, 9000)}}));
  EXPECT_EQ(report["rows"][0]["requests_per_second"], 7.0);
}

TEST(TopTest, TokensArePromptAndCompletion) {
  const auto tokens = [](const char* kind, int value) {
    return "rota_tokens_total{api=\"default/chat\",environment=\"production\",model=\"o1\",target="
           "\"openai\",kind=\"" +
           std::string(kind) + "\"} " + std::to_string(value) + "\n";
  };
  const Json report = CompareLooks(
      LookAt(0, {{"a", ""}}), LookAt(1, {{"a", tokens("prompt", 10) + tokens("completion", 5) +
                                                   tokens("cached", 8) + tokens("reasoning", 4)}}));
  EXPECT_EQ(report["rows"][0]["tokens_per_second"], 15.0);
}

TEST(TopTest, TheSuspendedShareIsOfTheTargetsOnAllDataPlanes) {
  const std::string suspended =
      "rota_suspended_seconds{api=\"default/chat\",environment=\"production\",model=\"o1\",target="
      "\"openai\",reason=\"quota\"} 30\n";
  const Look look =
      LookAt(1, {{"a", suspended + Requests("o1", 200, 1)}, {"b", Requests("o1", 200, 1)}});
  const Json report = CompareLooks(look, look);
  EXPECT_EQ(report["rows"][0]["suspended_share"], 0.5);
  EXPECT_EQ(report["rows"][0]["requests_per_second"], 0.0) << "no time has passed";
}

TEST(TopTest, ALookNamesThoseThatDoNotAnswer) {
  FakeClock clock;
  const Peer alive = PeerWith("a", {{"GET /metrics", {200, Requests("o1", 200, 1)}}});
  const auto look = TakeLook({alive, DeadPeer("b")}, clock, {});
  ASSERT_TRUE(look.ok()) << look.status();
  EXPECT_EQ(look->by_peer.size(), 1u);
  EXPECT_THAT(look->problems, testing::ElementsAre(HasSubstr("b does not answer")));
  EXPECT_TRUE(absl::IsUnavailable(TakeLook({DeadPeer("b")}, clock, {}).status()));
  EXPECT_EQ(PrintTop(CompareLooks(LookAt(0, {}), LookAt(1, {})), {}), "No requests yet.\n");
}

}  // namespace
}  // namespace rota::cli
