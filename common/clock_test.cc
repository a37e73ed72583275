#include "common/clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace rota {
namespace {

TEST(FakeClockTest, StandsStillUntilAdvanced) {
  FakeClock clock;
  const MonotonicTime start = clock.Now();
  const WallTime wall_start = clock.WallNow();

  clock.Advance(std::chrono::seconds(5));

  EXPECT_EQ(clock.Now() - start, std::chrono::seconds(5));
  EXPECT_EQ(clock.WallNow() - wall_start, std::chrono::seconds(5));
}

TEST(FakeClockTest, WakesAWaiterWhenItsDeadlineHasCome) {
  FakeClock clock;
  std::mutex mutex;
  std::condition_variable_any condition;
  const MonotonicTime deadline = clock.Now() + std::chrono::seconds(10);
  std::jthread waiter([&](std::stop_token stop) {
    std::unique_lock lock(mutex);
    while (clock.Now() < deadline && !stop.stop_requested()) {
      clock.WaitUntil(lock, condition, deadline, stop);
    }
  });
  clock.AwaitWaiters(1);

  clock.Advance(std::chrono::seconds(10));

  waiter.join();
  EXPECT_GE(clock.Now(), deadline);
}

TEST(RealClockTest, ReturnsWhenStopIsRequested) {
  RealClock clock;
  std::mutex mutex;
  std::condition_variable_any condition;
  std::jthread waiter([&](std::stop_token stop) {
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      clock.WaitUntil(lock, condition, clock.Now() + std::chrono::hours(1), stop);
    }
  });

  waiter.request_stop();

  waiter.join();
  EXPECT_FALSE(waiter.joinable());
}

}  // namespace
}  // namespace rota
