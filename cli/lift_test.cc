#include "cli/lift.h"

#include <algorithm>

#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class LiftTest : public testing::Test {
 protected:
  Peer DataPlane(const std::string& name, Answer to_lift = {200, R"({"lifted":"t1"})"}) {
    return PeerWith(name,
                    {{"GET /debug/rotations", {200, Rotations(30, name).dump()}},
                     {"POST /debug/lift?target=t1", std::move(to_lift)}},
                    asked_);
  }
  std::shared_ptr<std::vector<std::string>> asked_ = std::make_shared<std::vector<std::string>>();
};

TEST_F(LiftTest, LiftsWhatFitsOnEveryDataPlane) {
  const auto report = Lift({DataPlane("a"), DataPlane("b")}, {.api = "chat", .model = "gpt-4o"});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["lifted"].size(), 1u);
  EXPECT_EQ(std::count(asked_->begin(), asked_->end(), "POST /debug/lift?target=t1"), 2);
  EXPECT_THAT(PrintLifted(*report, {}),
              HasSubstr("default/chat production gpt-4o is back on the rota"));
}

TEST_F(LiftTest, WhatDoesNotFitStays) {
  for (const LiftQuery& query : std::vector<LiftQuery>{{.api = "other/chat"},
                                                       {.api = "at"},
                                                       {.api = "chat", .environment = "sandbox"},
                                                       {.api = "chat", .model = "o1"},
                                                       {.id = "t2"}}) {
    const auto report = Lift({DataPlane("a")}, query);
    EXPECT_TRUE(absl::IsNotFound(report.status())) << report.status();
  }
  EXPECT_THAT(*asked_, Not(Contains("POST /debug/lift?target=t1")));
}

TEST_F(LiftTest, OneDataPlaneThatDoesItIsEnough) {
  const auto report =
      Lift({DataPlane("a", {403, R"({"error":"not here"})"}), DataPlane("b")}, {.id = "t1"});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(PrintLifted(*report, {}), HasSubstr("! a: not here"));
  EXPECT_TRUE(absl::IsPermissionDenied(
      Lift({DataPlane("a", {403, R"({"error":"not here"})"})}, {.id = "t1"}).status()));
}

}  // namespace
}  // namespace rota::cli
