#include "dataplane/sync/suspension_outbox.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SuspensionOutboxTest : public ::testing::Test {
 protected:
  rotation::Suspension Make(const std::string& target, uint64_t epoch, int length,
                            bool lifted = false) {
    return {target, rotation::Reason::kQuota, now_ + seconds(length), epoch, "node", lifted};
  }
  const MonotonicTime now_{std::chrono::hours(5)};
};

TEST_F(SuspensionOutboxTest, KeepsTheNewestPerTargetAndOrigin) {
  SuspensionOutbox outbox;
  outbox.Add(Make("t", 2, 60));
  outbox.Add(Make("t", 1, 90));
  outbox.Add(Make("u", 1, 30));

  const v1::SuspensionReport report = outbox.Take(100, now_ + seconds(10));

  ASSERT_THAT(report.items(), SizeIs(2));
  EXPECT_EQ(report.items(0).remaining().seconds(), 50);
  EXPECT_EQ(report.items(0).epoch(), 2u);
  EXPECT_EQ(report.items(0).origin(), "node");
  EXPECT_TRUE(outbox.empty());
}

TEST_F(SuspensionOutboxTest, ALiftReplacesTheStatementThatItLiftsInAnyOrder) {
  SuspensionOutbox outbox;
  outbox.Add(Make("t", 3, 60));
  outbox.Add(Make("t", 3, 60, /*lifted=*/true));
  outbox.Add(Make("t", 3, 60));
  const v1::SuspensionReport report = outbox.Take(100, now_);
  ASSERT_THAT(report.items(), SizeIs(1));
  EXPECT_TRUE(report.items(0).lifted());
  EXPECT_EQ(report.items(0).remaining().seconds(), 60);
}

TEST_F(SuspensionOutboxTest, StatementsOfTwoOriginsDoNotReplaceEachOther) {
  SuspensionOutbox outbox;
  outbox.Add(Make("t", 3, 60));
  rotation::Suspension other = Make("t", 9, 60);
  other.origin = "another";
  outbox.Add(other);
  EXPECT_THAT(outbox.Take(100, now_).items(), SizeIs(2));
}

TEST_F(SuspensionOutboxTest, WhatEndsWhileItWaitsIsNotReported) {
  SuspensionOutbox outbox;
  outbox.Add(Make("t", 1, 10));
  EXPECT_THAT(outbox.Take(100, now_ + seconds(10)).items(), IsEmpty());
}

TEST_F(SuspensionOutboxTest, WhatCouldNotBeWrittenComesBackUnlessThereIsNewer) {
  SuspensionOutbox outbox;
  outbox.Add(Make("t", 1, 60));
  outbox.Add(Make("u", 1, 60));
  const v1::SuspensionReport lost = outbox.Take(100, now_);
  outbox.Add(Make("t", 2, 60, /*lifted=*/true));

  outbox.Restore(lost, now_);

  const v1::SuspensionReport again = outbox.Take(100, now_);
  ASSERT_THAT(again.items(), SizeIs(2));
  EXPECT_EQ(again.items(0).epoch(), 2u);
  EXPECT_TRUE(again.items(0).lifted());
  EXPECT_EQ(again.items(1).target(), "u");
}

TEST_F(SuspensionOutboxTest, IsBoundedAndDropsWhatEndsFirst) {
  SuspensionOutbox outbox(3);
  for (int i = 0; i < 5; ++i) {
    outbox.Add(Make("t" + std::to_string(i), 1, 100 + i));
  }
  EXPECT_EQ(outbox.dropped(), 2u);
  const v1::SuspensionReport report = outbox.Take(100, now_);
  ASSERT_THAT(report.items(), SizeIs(3));
  EXPECT_EQ(report.items(0).target(), "t2");
}

TEST_F(SuspensionOutboxTest, TakesNoMoreThanTheLimit) {
  SuspensionOutbox outbox;
  for (int i = 0; i < 5; ++i) {
    outbox.Add(Make("t" + std::to_string(i), 1, 100));
  }
  EXPECT_THAT(outbox.Take(3, now_).items(), SizeIs(3));
  EXPECT_THAT(outbox.Take(3, now_).items(), SizeIs(2));
}

TEST(WireFormTest, DurationsOutOfRangeAreBounded) {
  google::protobuf::Duration duration;
  duration.set_seconds(-1);
  duration.set_nanos(-7);
  EXPECT_EQ(FromProto(duration), Duration::zero());
  duration.set_seconds(int64_t{1} << 62);
  EXPECT_EQ(FromProto(duration), std::chrono::hours(365 * 24));
}

}  // namespace
}  // namespace rota::sync
