#include "controller/identity/token_cache.h"

#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using std::chrono::seconds;

TokenVerdict Good(const std::string& account = "ns/sa") {
  TokenVerdict verdict;
  verdict.good = true;
  verdict.service_account = account;
  return verdict;
}

TokenVerdict Bad() {
  TokenVerdict verdict;
  verdict.problem = "no good";
  return verdict;
}

TEST(TokenCacheTest, AGoodVerdictLastsAMinuteABadOneTenSeconds) {
  FakeClock clock;
  TokenCache cache({});
  cache.Remember("good", Good(), clock.Now());
  cache.Remember("bad", Bad(), clock.Now());
  clock.Advance(seconds(10) - std::chrono::nanoseconds(1));
  EXPECT_EQ(cache.Find("good", clock.Now())->service_account, "ns/sa");
  EXPECT_EQ(cache.Find("bad", clock.Now())->problem, "no good");
  clock.Advance(std::chrono::nanoseconds(1));
  EXPECT_FALSE(cache.Find("bad", clock.Now()).has_value());
  clock.Advance(seconds(50) - std::chrono::nanoseconds(1));
  EXPECT_TRUE(cache.Find("good", clock.Now()).has_value());
  clock.Advance(std::chrono::nanoseconds(1));
  EXPECT_FALSE(cache.Find("good", clock.Now()).has_value());
}

TEST(TokenCacheTest, WhatHasEndedIsRememberedAnew) {
  FakeClock clock;
  TokenCache cache({});
  cache.Remember("t", Good("ns/one"), clock.Now());
  clock.Advance(seconds(60));
  cache.Remember("t", Good("ns/two"), clock.Now());
  EXPECT_EQ(cache.Find("t", clock.Now())->service_account, "ns/two");
  clock.Advance(seconds(59));
  EXPECT_TRUE(cache.Find("t", clock.Now()).has_value());
}

TEST(TokenCacheTest, AskingAgainDoesNotMakeAVerdictLastLonger) {
  FakeClock clock;
  TokenCache cache({});
  cache.Remember("t", Good(), clock.Now());
  clock.Advance(seconds(59));
  cache.Remember("t", Good(), clock.Now());
  clock.Advance(seconds(1));
  EXPECT_FALSE(cache.Find("t", clock.Now()).has_value());
}

TEST(TokenCacheTest, TheLastVerdictCounts) {
  FakeClock clock;
  TokenCache cache({});
  cache.Remember("t", Good(), clock.Now());
  cache.Remember("t", Bad(), clock.Now());
  EXPECT_FALSE(cache.Find("t", clock.Now())->good);
  cache.Remember("t", Good(), clock.Now());
  EXPECT_TRUE(cache.Find("t", clock.Now())->good);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TokenCacheTest, TheNumberIsBoundedAndBadOnesDriveNoGoodOneOut) {
  FakeClock clock;
  TokenCacheOptions options;
  options.max_good = 10;
  options.max_bad = 5;
  TokenCache cache(options);
  for (int i = 0; i < 10; ++i) {
    cache.Remember("good" + std::to_string(i), Good(), clock.Now());
  }
  for (int i = 0; i < 1000; ++i) {
    cache.Remember("bad" + std::to_string(i), Bad(), clock.Now());
  }
  EXPECT_EQ(cache.size(), 15u);
  EXPECT_TRUE(cache.Find("good0", clock.Now()).has_value());
  EXPECT_TRUE(cache.Find("bad999", clock.Now()).has_value());
  cache.Remember("good10", Good(), clock.Now());
  EXPECT_FALSE(cache.Find("good0", clock.Now()).has_value()) << "the oldest goes";
  EXPECT_TRUE(cache.Find("good10", clock.Now()).has_value());
  EXPECT_EQ(cache.size(), 15u);
}

TEST(TokenCacheTest, WhatHasEndedMakesRoom) {
  FakeClock clock;
  TokenCache cache({});
  for (int i = 0; i < 100; ++i) {
    cache.Remember(std::to_string(i), Good(), clock.Now());
  }
  clock.Advance(seconds(61));
  cache.Remember("last", Good(), clock.Now());
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TokenCacheTest, TheKeyIsAHashAndNotTheToken) {
  EXPECT_EQ(TokenCache::KeyOf("a.b.c").size(), 32u);
  EXPECT_NE(TokenCache::KeyOf("a.b.c"), TokenCache::KeyOf("a.b.d"));
}

}  // namespace
}  // namespace rota::identity
