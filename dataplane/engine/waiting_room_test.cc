// Who is released when, from what the requests in the room report.

#include "dataplane/engine/waiting_room.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/rotation/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

using Outcome = WaitingRooms::Outcome;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class FakeTicket final : public WaitingRooms::Ticket {
 public:
  FakeTicket(int number, std::vector<int>& released, size_t bytes, uint64_t place = 0)
      : Ticket(bytes, place), number_(number), released_(released) {}
  void OnReleased() override { released_.push_back(number_); }

 private:
  const int number_;
  std::vector<int>& released_;
};

class WaitingRoomTest : public ::testing::Test {
 protected:
  WaitingRooms::Wanted WantedOf(const std::string& id, rotation::TargetSet excluded = {}) {
    rotation::RotationSpec spec;
    spec.id = id;
    spec.targets.push_back({.id = id + "/a"});
    rotations_.push_back(registry_.Resolve(spec));
    return {rotations_.back().get(), excluded};
  }
  // nullptr: the room is full.
  std::shared_ptr<FakeTicket> Enter(int number, const WaitingRooms::Wanted& wanted,
                                    size_t bytes = 10) {
    auto ticket = std::make_shared<FakeTicket>(number, released_, bytes);
    if (!rooms_.Enter(wanted, ticket)) {
      return nullptr;
    }
    tickets_[number] = ticket;
    return ticket;
  }
  void EnterMany(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_NE(Enter(i, wanted_), nullptr);
    }
  }
  // Of those that were released first and have not reported.
  void Report(int count, Outcome outcome) {
    for (int i = 0; i < count; ++i) {
      rooms_.Report(wanted_, *tickets_.at(released_.at(reported_++)), outcome, now_);
    }
  }
  void GoBack(int number) {
    auto ticket = std::make_shared<FakeTicket>(number, released_, 10, tickets_.at(number)->place());
    ASSERT_TRUE(rooms_.Enter(wanted_, ticket));
    rooms_.Report(wanted_, *std::exchange(tickets_[number], ticket), Outcome::kNothing, now_);
    ++reported_;
  }

  rotation::Registry registry_{"node"};
  std::vector<std::shared_ptr<rotation::Rotation>> rotations_;
  std::map<int, std::shared_ptr<FakeTicket>> tickets_;
  std::vector<int> released_;
  size_t reported_ = 0;  // of those
  WaitingRooms rooms_;
  const WaitingRooms::Wanted wanted_ = WantedOf("r");
  MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(WaitingRoomTest, OneGoesFirstThenTwoFourEightInTheOrderOfTheirComing) {
  EnterMany(20);

  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, ElementsAre(0));
  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, SizeIs(1)) << "the probe has not been heard of";
  Report(1, Outcome::kServed);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2));
  Report(2, Outcome::kServed);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  Report(4, Outcome::kServed);
  EXPECT_THAT(released_, SizeIs(15));
  EXPECT_TRUE(rooms_.HasWaiters(wanted_));
  Report(8, Outcome::kServed);
  EXPECT_THAT(released_, SizeIs(20));
  EXPECT_FALSE(rooms_.HasWaiters(wanted_));
}

TEST_F(WaitingRoomTest, ASlowOneHoldsUpNobodyOnceOthersAreServed) {
  EnterMany(20);
  rooms_.Release(wanted_, now_);
  Report(1, Outcome::kServed);
  ++reported_;  // the first of the two is never heard of
  while (rooms_.HasWaiters(wanted_)) {
    ASSERT_LT(reported_, released_.size());
    Report(1, Outcome::kServed);
  }
}

TEST_F(WaitingRoomTest, AFailureStartsTheRampAgainAfterAWhile) {
  EnterMany(20);
  rooms_.Release(wanted_, now_);
  Report(1, Outcome::kServed);
  Report(1, Outcome::kFailed);
  Report(1, Outcome::kServed);  // of before the failure
  EXPECT_THAT(released_, SizeIs(3));

  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, SizeIs(3));
  now_ += WaitingRooms::kProbeInterval;
  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, SizeIs(4));
}

TEST_F(WaitingRoomTest, WhoLeavesWithoutAWordChangesNothing) {
  EnterMany(20);
  rooms_.Release(wanted_, now_);
  Report(1, Outcome::kGone);
  EXPECT_THAT(released_, ElementsAre(0, 1)) << "the next one is the probe";
  Report(1, Outcome::kServed);
  EXPECT_THAT(released_, SizeIs(4));
  Report(1, Outcome::kGone);
  EXPECT_THAT(released_, SizeIs(5));
}

TEST_F(WaitingRoomTest, WhoFindsNothingGoesBackToItsPlaceAndTheNextIsAProbe) {
  EnterMany(5);
  rooms_.Release(wanted_, now_);
  Report(1, Outcome::kServed);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2));
  GoBack(2);
  GoBack(1);
  EXPECT_THAT(released_, SizeIs(3));

  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2, 1));
  Report(1, Outcome::kServed);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2, 1, 2, 3));
}

// Its answer may take minutes, and says nothing of the target as it is now.
TEST_F(WaitingRoomTest, NobodyWaitsForWhoWasReleasedBeforeTheTargetLeftAgain) {
  EnterMany(6);
  rooms_.Release(wanted_, now_);
  Report(1, Outcome::kServed);
  ++reported_;  // is at work
  GoBack(2);

  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, ElementsAre(0, 1, 2, 2));
  rooms_.Report(wanted_, *tickets_.at(1), Outcome::kServed, now_);
  EXPECT_THAT(released_, SizeIs(4)) << "the new probe has not been heard of";
}

TEST_F(WaitingRoomTest, TheNextTimeTheTargetsLeaveBeginsWithAProbeAgain) {
  EnterMany(20);
  rooms_.Release(wanted_, now_);
  while (rooms_.HasWaiters(wanted_)) {
    Report(1, Outcome::kServed);
  }
  ASSERT_GT(released_.size() - reported_, 1u) << "some are at work still";
  const size_t before = released_.size();
  for (int i = 20; i < 50; ++i) {
    ASSERT_NE(Enter(i, wanted_), nullptr);
  }

  now_ += std::chrono::seconds(10);
  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, SizeIs(before + 1));
  Report(1, Outcome::kServed);
  EXPECT_THAT(released_, SizeIs(before + 1)) << "that one was of the time before";
}

TEST_F(WaitingRoomTest, TheRampGoesOnHoweverManyAreAtWork) {
  size_t next = WaitingRooms::kMaxWaiters;
  EnterMany(static_cast<int>(next));
  rooms_.Release(wanted_, now_);
  while (released_.size() - reported_ < 2 * WaitingRooms::kMaxWaiters) {
    const size_t before = released_.size();
    Report(1, Outcome::kServed);
    ASSERT_EQ(released_.size(), before + 2);
    for (size_t left = released_.size() - before; left > 0; --left) {
      ASSERT_NE(Enter(static_cast<int>(next++), wanted_), nullptr);
    }
  }
}

TEST_F(WaitingRoomTest, WhoWantsSomethingElseHasALineOfItsOwn) {
  const WaitingRooms::Wanted other{wanted_.rotation, rotation::TargetSet(1)};
  Enter(1, wanted_);
  EXPECT_FALSE(rooms_.HasWaiters(other));
  Enter(2, other);

  rooms_.Release(other, now_);
  EXPECT_THAT(released_, ElementsAre(2));
  rooms_.Release(wanted_, now_);
  EXPECT_THAT(released_, ElementsAre(2, 1));
}

TEST_F(WaitingRoomTest, IsBoundedByRequestsAndBytesForAllLinesOfARotation) {
  const WaitingRooms::Wanted other{wanted_.rotation, rotation::TargetSet(1)};
  const auto large = Enter(1, wanted_, WaitingRooms::kMaxBytes - 10);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(Enter(2, other, 11), nullptr);
  EXPECT_FALSE(rooms_.HasWaiters(other));
  EXPECT_NE(Enter(3, WantedOf("s"), 11), nullptr);
  EXPECT_TRUE(rooms_.Leave(wanted_, large));
  EXPECT_FALSE(rooms_.Leave(wanted_, large));

  EnterMany(WaitingRooms::kMaxWaiters);
  EXPECT_EQ(Enter(4, wanted_), nullptr);
  EXPECT_EQ(Enter(5, other), nullptr);
  rooms_.Release(wanted_, now_);
  EXPECT_NE(Enter(6, other), nullptr);
}

}  // namespace
}  // namespace rota::engine
