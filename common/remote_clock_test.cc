#include "common/remote_clock.h"

#include "gtest/gtest.h"

namespace rota {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The peer's clock started when the local one stood at kOrigin.
constexpr MonotonicTime kOrigin{std::chrono::hours(7)};

TEST(RemoteClockTest, AMessageThatWasHeldUpIsNotTakenForALaterOne) {
  RemoteClock clock;
  clock.Received(seconds(1), kOrigin + seconds(1) + milliseconds(2));

  const MonotonicTime sent = clock.Received(seconds(5), kOrigin + seconds(5) + seconds(4));

  EXPECT_EQ(sent, kOrigin + seconds(5) + milliseconds(2));
}

TEST(RemoteClockTest, TheShortestDelayCountsWheneverItComes) {
  RemoteClock clock;
  EXPECT_EQ(clock.Received(seconds(1), kOrigin + seconds(3)), kOrigin + seconds(3));
  clock.Received(seconds(4), kOrigin + seconds(4) + milliseconds(1));

  EXPECT_EQ(clock.Received(seconds(5), kOrigin + seconds(6)),
            kOrigin + seconds(5) + milliseconds(1));
}

TEST(RemoteClockTest, NothingIsSentAfterItWasReceived) {
  RemoteClock clock;
  for (int i = 0; i < 1000; ++i) {
    const MonotonicTime received = kOrigin + seconds(i) + milliseconds(i * 37 % 90);
    EXPECT_LE(clock.Received(seconds(i), received), received);
  }
}

TEST(RemoteClockTest, ClocksThatDriftApartAreFollowed) {
  RemoteClock clock;
  MonotonicTime sent;
  MonotonicTime received;
  for (int i = 0; i < 3600; ++i) {
    // 50 ppm: 180 ms in an hour.
    received = kOrigin + seconds(i) + std::chrono::microseconds(50 * i);
    sent = clock.Received(seconds(i), received);
  }
  EXPECT_LE(received - sent, milliseconds(3));
}

TEST(RemoteClockTest, ALongSilenceBeforeADelayedMessageForgetsNothing) {
  RemoteClock clock;
  clock.Received(seconds(1), kOrigin + seconds(1));
  EXPECT_EQ(clock.Received(seconds(2), kOrigin + seconds(70)), kOrigin + seconds(2));
}

// What EarlyMessages asks of a message.
struct Message {
  int number = 0;
  size_t bytes = 10;
  size_t ByteSizeLong() const { return bytes; }
};

TEST(EarlyMessagesTest, WhatWasHeldUpBeforeAnythingElseCameIsDatedAnewOnce) {
  RemoteClock clock;
  EarlyMessages<Message> early;
  std::vector<std::pair<int, MonotonicTime>> dated;
  const auto receive = [&](Duration sent, MonotonicTime received, int number) {
    clock.Received(sent, received);
    early.DateAnew(clock, sent, [&](const Message& message, MonotonicTime when) {
      dated.emplace_back(message.number, when);
    });
    early.Remember(clock, sent, {.number = number}, 1);
  };
  receive(seconds(1), kOrigin + seconds(4), 1);
  receive(seconds(2), kOrigin + seconds(5), 2);
  EXPECT_TRUE(dated.empty());

  receive(seconds(6), kOrigin + seconds(6), 3);

  ASSERT_EQ(dated.size(), 2u);
  EXPECT_EQ(dated[0], std::pair(1, kOrigin + seconds(1)));
  EXPECT_EQ(dated[1], std::pair(2, kOrigin + seconds(2)));
  receive(seconds(7), kOrigin + seconds(7) - milliseconds(1), 4);
  EXPECT_EQ(dated.size(), 2u) << "a millisecond is nothing";
}

// How many of ten messages that were held up are dated anew.
int Remembered(const Message& message, int items) {
  RemoteClock clock;
  EarlyMessages<Message> early;
  clock.Received(seconds(1), kOrigin + seconds(3));
  for (int i = 0; i < 10; ++i) {
    early.Remember(clock, seconds(1), message, items);
  }
  clock.Received(seconds(2), kOrigin + seconds(2));
  int dated = 0;
  early.DateAnew(clock, seconds(2), [&](const Message&, MonotonicTime) { ++dated; });
  return dated;
}

TEST(EarlyMessagesTest, IsBoundedInItemsAndInBytes) {
  EXPECT_EQ(Remembered({}, 500), 2);
  EXPECT_EQ(Remembered({.bytes = 300 << 10}, 1), 3);
  EXPECT_EQ(Remembered({.bytes = 1 << 20}, 1), 1);
  EXPECT_EQ(Remembered({.bytes = (1 << 20) + 1}, 1), 0);
}

TEST(EarlyMessagesTest, NothingIsRememberedOfAStreamThatHasRunForLong) {
  RemoteClock clock;
  EarlyMessages<Message> early;
  clock.Received(seconds(40), kOrigin + seconds(45));
  early.Remember(clock, seconds(40), {}, 1);
  clock.Received(seconds(41), kOrigin + seconds(41));
  early.DateAnew(clock, seconds(41), [](const Message&, MonotonicTime) { FAIL(); });
}

}  // namespace
}  // namespace rota
