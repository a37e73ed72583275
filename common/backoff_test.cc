#include "common/backoff.h"

#include <gtest/gtest.h>

namespace rota {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BackoffTest, DoublesUpToTheMaximumAndStartsAgainAfterReset) {
  Backoff backoff({.initial = milliseconds(800), .maximum = seconds(30)}, [] { return 0.0; });

  EXPECT_EQ(backoff.Next(), milliseconds(800));
  EXPECT_EQ(backoff.Next(), milliseconds(1600));
  for (int i = 0; i < 100; ++i) {
    backoff.Next();
  }
  EXPECT_EQ(backoff.Next(), seconds(30));

  backoff.Reset();
  EXPECT_EQ(backoff.Next(), milliseconds(800));
}

TEST(BackoffTest, JitterAddsUpToItsShare) {
  Backoff backoff({.initial = seconds(1), .maximum = seconds(1), .jitter = 0.5},
                  [] { return 0.5; });

  EXPECT_EQ(backoff.Next(), milliseconds(1250));
}

TEST(BackoffTest, SystemRandomStaysInItsRange) {
  const Backoff::Random random = Backoff::SystemRandom();
  for (int i = 0; i < 1000; ++i) {
    const double value = random();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
  }
}

}  // namespace
}  // namespace rota
