#include "controller/kube/retry_pace.h"

#include "gtest/gtest.h"

namespace rota::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Wait kBackoff = {Wait::Kind::kBackoff, Duration::zero()};
constexpr Wait kReconnect = {Wait::Kind::kReconnect, Duration::zero()};

class RetryPaceTest : public testing::Test {
 protected:
  // Waits as long as it is told.
  Duration Pause(const Wait& wait) {
    const Duration delay = pace_.Next(wait, now_);
    now_ += delay;
    return delay;
  }

  MonotonicTime now_{std::chrono::hours(1)};
  RetryPace pace_{RetryPaceOptions(), [] { return 0.99; }};  // the longest waits
};

TEST_F(RetryPaceTest, AServerThatRefusesIsAskedMoreAndMoreRarely) {
  EXPECT_LT(Pause(kBackoff), seconds(2));
  for (int i = 0; i < 6; ++i) {
    Pause(kBackoff);
  }

  EXPECT_GT(Pause(kBackoff), seconds(30));
  EXPECT_EQ(Pause({Wait::Kind::kExactly, seconds(7)}), seconds(7));
  EXPECT_EQ(Pause({Wait::Kind::kBackoff, seconds(100)}), seconds(100))
      << "at least what it asks for";
}

TEST_F(RetryPaceTest, AWatchThatNobodyAnswersIsTriedEverySecondHoweverLongItTakes) {
  for (int i = 0; i < 1000; ++i) {
    const Duration delay = Pause(kReconnect);
    EXPECT_GE(delay, milliseconds(250));
    EXPECT_LT(delay, seconds(1));
  }
}

// An API server that fails again and again, as in a chaos test: each time it is followed soon.
TEST_F(RetryPaceTest, AfterTenSecondsWithoutAFailureTheBackoffStartsOver) {
  for (int outage = 0; outage < 10; ++outage) {
    for (int i = 0; i < 4; ++i) {
      Pause(kReconnect);
    }
    EXPECT_LT(Pause(kBackoff), seconds(2)) << "outage " << outage;
    now_ += seconds(11);
  }
}

TEST_F(RetryPaceTest, AServerThatFailsAtOnceAfterEachWaitIsSpared) {
  Pause(kBackoff);
  for (int i = 0; i < 5; ++i) {
    now_ += seconds(9);
    Pause(kBackoff);
  }

  EXPECT_GT(Pause(kBackoff), seconds(30));
}

}  // namespace
}  // namespace rota::kube
