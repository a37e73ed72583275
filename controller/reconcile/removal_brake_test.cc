#include "controller/reconcile/removal_brake.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::reconcile {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

source::ObjectKey Api(int number) {
  return {source::ObjectKind::kApi, {"team", std::to_string(number)}};
}

RemovalBrake::Keys Apis(int first, int count) {
  RemovalBrake::Keys keys;
  for (int i = first; i < first + count; ++i) {
    keys.push_back(Api(i));
  }
  return keys;
}

class RemovalBrakeTest : public ::testing::Test {
 protected:
  // Each of them is served.
  bool MayGo(const RemovalBrake::Keys& gone, size_t api_count, MonotonicTime now) {
    return brake_.MayGo(gone, gone.size(), api_count, now);
  }

  RemovalBrake brake_;
  MonotonicTime now_{seconds(1000)};
};

TEST_F(RemovalBrakeTest, LetsFewRemovalsThroughHoweverFewApisThereAre) {
  EXPECT_TRUE(MayGo(Apis(0, 50), 50, now_));
  EXPECT_EQ(brake_.held(), 0u);
  EXPECT_EQ(brake_.recheck_at(), std::nullopt);
}

TEST_F(RemovalBrakeTest, LetsManyRemovalsThroughThatAreASmallPart) {
  EXPECT_TRUE(MayGo(Apis(0, 300), 1000, now_));
  EXPECT_FALSE(MayGo(Apis(300, 1), 700, now_));  // one too many within the window
}

TEST_F(RemovalBrakeTest, HoldsAllOfAMassRemovalUntilTheSourceHasLookedAgain) {
  EXPECT_FALSE(MayGo(Apis(0, 100), 100, now_));
  EXPECT_EQ(brake_.held(), 100u);
  EXPECT_EQ(brake_.holds(), 1u);
  EXPECT_FALSE(brake_.TakeRecheck(now_ + seconds(9)));
  EXPECT_THAT(brake_.Confirm(), IsEmpty());  // a look that nobody has asked for

  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));
  EXPECT_FALSE(brake_.TakeRecheck(now_ + seconds(11)));  // asked once

  EXPECT_THAT(brake_.Confirm(), SizeIs(100));
  EXPECT_EQ(brake_.held(), 0u);
  EXPECT_TRUE(MayGo(Apis(200, 1), 1, now_ + seconds(12)));
}

TEST_F(RemovalBrakeTest, CountsRemovalsThatComeOneByOne) {
  int passed = 0;
  while (MayGo(Apis(passed, 1), static_cast<size_t>(200 - passed), now_)) {
    ++passed;
    now_ += std::chrono::milliseconds(10);
  }
  EXPECT_EQ(passed, 60);  // 30 % of those that there were at first
  EXPECT_FALSE(MayGo(Apis(150, 1), 140, now_));
  EXPECT_EQ(brake_.held(), 2u);
}

TEST_F(RemovalBrakeTest, RemovalsThatAreSpreadOverTimeAreNoMassRemoval) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(MayGo(Apis(40 * i, 40), static_cast<size_t>(200 - 40 * i), now_));
    now_ += seconds(10);
  }
}

TEST_F(RemovalBrakeTest, WhatIsThereAgainIsNotGone) {
  EXPECT_FALSE(MayGo(Apis(0, 60), 60, now_));
  for (int i = 1; i < 60; ++i) {
    brake_.OnPresent(Api(i));
  }
  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));

  EXPECT_THAT(brake_.Confirm(), ElementsAre(Api(0)));
}

TEST_F(RemovalBrakeTest, WhenAllAreThereAgainNobodyIsAskedAndALateAnswerCountsForNothing) {
  EXPECT_FALSE(MayGo(Apis(0, 60), 60, now_));
  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));
  for (int i = 0; i < 60; ++i) {
    brake_.OnPresent(Api(i));
  }
  EXPECT_FALSE(MayGo(Apis(0, 60), 60, now_ + seconds(30)));

  EXPECT_THAT(brake_.Confirm(), IsEmpty());
  EXPECT_EQ(brake_.held(), 60u);
  EXPECT_EQ(brake_.recheck_at(), now_ + seconds(40));
}

TEST_F(RemovalBrakeTest, AGatewayCountsAsTheApisThatItTakes) {
  const source::ObjectKey edge{source::ObjectKind::kGateway, {"team", "edge"}};
  const source::ObjectKey other{source::ObjectKind::kGateway, {"team", "other"}};
  EXPECT_TRUE(brake_.MayGo({edge}, 50, 100, now_));
  EXPECT_FALSE(brake_.MayGo({other}, 1, 100, now_));

  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));
  brake_.OnPresent({source::ObjectKind::kApi, {"team", "other"}});  // a namesake

  EXPECT_THAT(brake_.Confirm(), SizeIs(1));
}

TEST_F(RemovalBrakeTest, WhatIsServedNowhereCountsForNothing) {
  EXPECT_TRUE(brake_.MayGo(Apis(0, 100), 0, 100, now_));
  EXPECT_TRUE(MayGo(Apis(100, 50), 100, now_));
}

}  // namespace
}  // namespace rota::reconcile
