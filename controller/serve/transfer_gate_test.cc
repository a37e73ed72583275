#include "controller/serve/transfer_gate.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TransferGateTest : public ::testing::Test {
 protected:
  bool Enter(uint64_t stream) { return gate_.Enter(stream, clock_.Now()); }
  void Leave(uint64_t stream) { gate_.Leave(stream, clock_.Now()); }

  FakeClock clock_;
  std::vector<uint64_t> granted_;
  TransferGate gate_{2, seconds(10), [this](uint64_t stream) { granted_.push_back(stream); }};
};

TEST_F(TransferGateTest, AFewMaySendAndTheOthersFollowInTheirOrder) {
  EXPECT_TRUE(Enter(1));
  EXPECT_TRUE(Enter(2));
  EXPECT_FALSE(Enter(3));
  EXPECT_FALSE(Enter(4));
  EXPECT_FALSE(Enter(3));
  EXPECT_TRUE(Enter(1));  // it is inside

  Leave(2);
  EXPECT_THAT(granted_, ElementsAre(3));
  EXPECT_TRUE(Enter(3));
  EXPECT_FALSE(Enter(4));
  Leave(1);
  Leave(3);
  EXPECT_THAT(granted_, ElementsAre(3, 4));
}

TEST_F(TransferGateTest, WhoIsGoneIsNotWaitedFor) {
  Enter(1);
  Enter(2);
  Enter(3);
  Enter(4);
  Leave(3);
  EXPECT_THAT(granted_, IsEmpty());
  Leave(1);
  EXPECT_THAT(granted_, ElementsAre(4));
  Leave(7);
  EXPECT_THAT(granted_, ElementsAre(4));
}

TEST_F(TransferGateTest, ASlowReaderDoesNotKeepItsPlaceForEver) {
  Enter(1);
  Enter(2);
  EXPECT_FALSE(Enter(3));
  clock_.Advance(seconds(10));
  EXPECT_TRUE(Enter(3));
}

}  // namespace
}  // namespace rota::serve
