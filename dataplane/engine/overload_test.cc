#include "dataplane/engine/overload.h"

#include "dataplane/engine/poller.h"
#include "dataplane/engine/queue_probe.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

using std::chrono::milliseconds;
constexpr Duration kLimit = milliseconds(50);

class OverloadTest : public ::testing::Test {
 protected:
  // Waits of `wait`, one after the other, for `time`.
  void Wait(Duration wait, Duration time) {
    for (Duration spent{}; spent < time; spent += wait) {
      clock_.Advance(wait);
      overload_.Observe(wait, clock_.Now());
    }
  }
  int Refused(int requests) {
    int refused = 0;
    for (int i = 0; i < requests; ++i) {
      refused += overload_.Refuses() ? 1 : 0;
    }
    return refused;
  }
  FakeClock clock_;
  Overload overload_{kLimit};
};

TEST_F(OverloadTest, RefusesNothingWhileWaitsAreShort) {
  Wait(kLimit, std::chrono::seconds(10));
  EXPECT_EQ(Refused(1000), 0);
}

TEST_F(OverloadTest, ToleratesABurst) {
  Wait(milliseconds(60), kLimit * Overload::kPatience - milliseconds(60));
  EXPECT_EQ(Refused(1000), 0);
  // One short wait in between: the queue has been empty.
  Wait(milliseconds(10), milliseconds(10));
  Wait(milliseconds(60), kLimit * Overload::kPatience - milliseconds(60));
  EXPECT_EQ(Refused(1000), 0);
}

TEST_F(OverloadTest, RefusesOneOfTwentyWhileWaitsStayLong) {
  Wait(milliseconds(60), kLimit * Overload::kPatience);
  EXPECT_TRUE(overload_.is_overloaded());
  EXPECT_EQ(Refused(1000), 50);
  Wait(milliseconds(10), milliseconds(10));
  EXPECT_FALSE(overload_.is_overloaded());
  EXPECT_EQ(Refused(1000), 0);
}

TEST_F(OverloadTest, CountsOneWaitThatIsVeryLongForItsWholeTime) {
  Wait(kLimit * Overload::kPatience, kLimit * Overload::kPatience);
  EXPECT_TRUE(overload_.is_overloaded());
}

TEST(OverloadWithoutLimitTest, NeverRefuses) {
  FakeClock clock;
  Overload overload(Duration::zero());
  overload.Observe(std::chrono::hours(1), clock.Now());
  EXPECT_FALSE(overload.Refuses());
}

// The clock stands still but for what the test lets an event wait.
TEST(QueueProbeTest, MeasuresHowLongAnEventWaits) {
  FakeClock clock;
  Poller poller(clock);
  Overload overload(kLimit);
  QueueProbe probe(poller, clock, overload);
  constexpr size_t kWork = 3;
  EXPECT_FALSE(probe.AfterTurn(kWork)) << "too early: the last measurement was a moment ago";
  clock.Advance(QueueProbe::kInterval);
  poller.Turn(Duration{});
  EXPECT_FALSE(probe.AfterTurn(kWork));
  clock.Advance(milliseconds(70));
  poller.Turn(Duration{});
  EXPECT_EQ(probe.wait(), milliseconds(70));
  EXPECT_FALSE(overload.is_overloaded());
  EXPECT_TRUE(probe.AfterTurn(kWork));
  clock.Advance(milliseconds(500));
  poller.Turn(Duration{});
  EXPECT_EQ(probe.wait(), milliseconds(500));
  EXPECT_TRUE(overload.is_overloaded());
  EXPECT_TRUE(probe.AfterTurn(poller.events())) << "nothing but the probe: no other one follows";
  clock.Advance(milliseconds(500));
  poller.Turn(Duration{});
  EXPECT_EQ(poller.events(), 0u);
  probe.Close();
  EXPECT_TRUE(poller.is_idle());
}

}  // namespace
}  // namespace rota::engine
