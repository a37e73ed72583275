#include "controller/reconcile/removal_brake.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::reconcile {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RemovalBrake::Names Names(int first, int count) {
  RemovalBrake::Names names;
  for (int i = first; i < first + count; ++i) {
    names.push_back({"team", std::to_string(i)});
  }
  return names;
}

class RemovalBrakeTest : public ::testing::Test {
 protected:
  RemovalBrake brake_;
  MonotonicTime now_{seconds(1000)};
};

TEST_F(RemovalBrakeTest, LetsFewRemovalsThroughHoweverFewApisThereAre) {
  EXPECT_TRUE(brake_.MayGo(Names(0, 50), 50, now_));
  EXPECT_EQ(brake_.held(), 0u);
  EXPECT_EQ(brake_.recheck_at(), std::nullopt);
}

TEST_F(RemovalBrakeTest, LetsManyRemovalsThroughThatAreASmallPart) {
  EXPECT_TRUE(brake_.MayGo(Names(0, 300), 1000, now_));
  EXPECT_FALSE(brake_.MayGo(Names(300, 1), 700, now_));  // one too many within the window
}

TEST_F(RemovalBrakeTest, HoldsAllOfAMassRemovalUntilTheSourceHasLookedAgain) {
  EXPECT_FALSE(brake_.MayGo(Names(0, 100), 100, now_));
  EXPECT_EQ(brake_.held(), 100u);
  EXPECT_EQ(brake_.holds(), 1u);
  EXPECT_FALSE(brake_.TakeRecheck(now_ + seconds(9)));
  EXPECT_THAT(brake_.Confirm(), IsEmpty());  // a look that nobody has asked for

  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));
  EXPECT_FALSE(brake_.TakeRecheck(now_ + seconds(11)));  // asked once

  EXPECT_THAT(brake_.Confirm(), SizeIs(100));
  EXPECT_EQ(brake_.held(), 0u);
  EXPECT_TRUE(brake_.MayGo(Names(200, 1), 1, now_ + seconds(12)));
}

TEST_F(RemovalBrakeTest, CountsRemovalsThatComeOneByOne) {
  int passed = 0;
  while (brake_.MayGo(Names(passed, 1), static_cast<size_t>(200 - passed), now_)) {
    ++passed;
    now_ += std::chrono::milliseconds(10);
  }
  EXPECT_EQ(passed, 60);  // 30 % of those that there were at first
  EXPECT_FALSE(brake_.MayGo(Names(150, 1), 140, now_));
  EXPECT_EQ(brake_.held(), 2u);
}

TEST_F(RemovalBrakeTest, RemovalsThatAreSpreadOverTimeAreNoMassRemoval) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(brake_.MayGo(Names(40 * i, 40), static_cast<size_t>(200 - 40 * i), now_));
    now_ += seconds(10);
  }
}

TEST_F(RemovalBrakeTest, WhatIsThereAgainIsNotGone) {
  EXPECT_FALSE(brake_.MayGo(Names(0, 60), 60, now_));
  for (int i = 1; i < 60; ++i) {
    brake_.OnPresent({"team", std::to_string(i)});
  }
  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));

  EXPECT_THAT(brake_.Confirm(), ElementsAre(resource::ObjectName{"team", "0"}));
}

TEST_F(RemovalBrakeTest, WhenAllAreThereAgainNobodyIsAskedAndALateAnswerCountsForNothing) {
  EXPECT_FALSE(brake_.MayGo(Names(0, 60), 60, now_));
  ASSERT_TRUE(brake_.TakeRecheck(now_ + seconds(10)));
  for (int i = 0; i < 60; ++i) {
    brake_.OnPresent({"team", std::to_string(i)});
  }
  EXPECT_FALSE(brake_.MayGo(Names(0, 60), 60, now_ + seconds(30)));

  EXPECT_THAT(brake_.Confirm(), IsEmpty());
  EXPECT_EQ(brake_.held(), 60u);
  EXPECT_EQ(brake_.recheck_at(), now_ + seconds(40));
}

}  // namespace
}  // namespace rota::reconcile
