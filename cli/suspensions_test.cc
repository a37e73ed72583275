#include "cli/suspensions.h"

#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::HasSubstr;
using testing::Not;

Peer DataPlane(const std::string& name, double remaining_seconds) {
  return PeerWith(name,
                  {{"GET /debug/rotations", {200, Rotations(remaining_seconds, name).dump()}}});
}

TEST(SuspensionsTest, TheSameTargetIsListedOnceWithItsLatestEnd) {
  const auto report = CollectSuspensions({DataPlane("a", 30), DataPlane("b", 40)}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ((*report)["suspensions"].size(), 1u);
  const Json& one = (*report)["suspensions"][0];
  EXPECT_EQ(one["api"], "default/chat");
  EXPECT_EQ(one["environment"], "production");
  EXPECT_EQ(one["model"], "gpt-4o");
  EXPECT_EQ(one["remaining_seconds"], 40.0);
  EXPECT_EQ(one["seen_by"], "b");
  EXPECT_EQ(one["known_to"], 2);
  const std::string text = PrintSuspensions(*report, {});
  EXPECT_THAT(text, HasSubstr("gpt-4o"));
  EXPECT_THAT(text, HasSubstr("40s"));
  EXPECT_THAT(text, HasSubstr("2/2"));
  EXPECT_THAT(text, Not(HasSubstr("o1")));
}

TEST(SuspensionsTest, ADataPlaneThatDoesNotAnswerIsAProblemAndNoError) {
  const auto report = CollectSuspensions({DeadPeer("a"), DataPlane("b", 40)}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["suspensions"].size(), 1u);
  EXPECT_THAT(PrintSuspensions(*report, {}), HasSubstr("! a does not answer: Connection refused"));
}

TEST(SuspensionsTest, NobodyAnsweringIsAnError) {
  EXPECT_TRUE(absl::IsUnavailable(CollectSuspensions({DeadPeer("a")}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CollectSuspensions({}, {}).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      CollectSuspensions({PeerWith("web", {{"GET /debug/rotations", {200, "<html>"}}})}, {})
          .status()));
}

TEST(SuspensionsTest, AnEmptyListSaysSo) {
  const auto report =
      CollectSuspensions({PeerWith("a", {{"GET /debug/rotations", {200, R"({"apis":[]})"}}})}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(PrintSuspensions(*report, {}), "Nobody is suspended.\n");
}

}  // namespace
}  // namespace rota::cli
