#include "controller/serve/suspension_lane.h"

#include <algorithm>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using ::testing::SizeIs;

constexpr size_t kPerMessage = SuspensionLane::kItemsPerMessage;

class SuspensionLaneTest : public ::testing::Test {
 protected:
  static SharedSuspension Statement(size_t number, uint64_t epoch = 1) {
    const std::string digits = std::to_string(number);
    return {"t" + std::string(5 - digits.size(), '0') + digits,
            "node",
            v1::QUOTA,
            epoch,
            MonotonicTime(seconds(100)),
            false};
  }
  void Hold(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      held_.push_back(Statement(i));
    }
  }
  v1::SuspensionUpdate Next() {
    return lane_.Next(
        [this](const StatementKey& after, size_t count) {
          const auto first = std::find_if(held_.begin(), held_.end(), [&](const auto& s) {
            return StatementKey(s.target, s.origin) > after;
          });
          const auto left = static_cast<size_t>(held_.end() - first);
          return std::vector<SharedSuspension>(
              first, first + static_cast<std::ptrdiff_t>(std::min(left, count)));
        },
        MonotonicTime(seconds(10)));
  }

  std::vector<SharedSuspension> held_;  // by the hub, in order
  SuspensionLane lane_;
};

TEST_F(SuspensionLaneTest, TellsEverythingOnceInMessagesOfABoundedSize) {
  Hold(2 * kPerMessage + 7);

  std::vector<std::string> told;
  for (size_t message = 0; lane_.has_something(); ++message) {
    const v1::SuspensionUpdate update = Next();
    EXPECT_EQ(update.full(), message == 0);
    EXPECT_LE(static_cast<size_t>(update.items_size()), kPerMessage);
    for (const v1::Suspension& item : update.items()) {
      told.push_back(item.target());
    }
  }

  ASSERT_THAT(told, SizeIs(held_.size()));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
}

TEST_F(SuspensionLaneTest, NothingToTellIsToldOnceToo) {
  EXPECT_TRUE(lane_.has_something());
  EXPECT_TRUE(Next().full());
  EXPECT_FALSE(lane_.has_something());
}

TEST_F(SuspensionLaneTest, AChangeBehindTheWalkIsToldAndOneBeforeItIsMetByTheWalk) {
  Hold(2 * kPerMessage);
  Next();
  held_[3] = Statement(3, 2);
  held_.back() = Statement(2 * kPerMessage - 1, 2);

  lane_.Add({held_[3], held_.back()});

  std::map<std::string, std::vector<uint64_t>> epochs;
  while (lane_.has_something()) {
    const v1::SuspensionUpdate update = Next();
    for (const v1::Suspension& item : update.items()) {
      epochs[item.target()].push_back(item.epoch());
    }
  }
  EXPECT_EQ(epochs[held_[3].target], std::vector<uint64_t>{2});
  EXPECT_EQ(epochs[held_.back().target], std::vector<uint64_t>{2});
}

TEST_F(SuspensionLaneTest, WhenTooManyWaitEverythingIsToldAnew) {
  Next();
  ASSERT_FALSE(lane_.has_something());
  Hold(SuspensionLane::kMaxPending + 1);

  lane_.Add(held_);

  size_t told = 0;
  EXPECT_TRUE(Next().full());
  for (told = kPerMessage; lane_.has_something();) {
    told += static_cast<size_t>(Next().items_size());
  }
  EXPECT_EQ(told, held_.size());
}

}  // namespace
}  // namespace rota::serve
