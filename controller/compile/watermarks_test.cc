#include "controller/compile/watermarks.h"

#include "gtest/gtest.h"

namespace rota::compile {
namespace {

Watermarks Seen(const std::map<std::string, std::string>& versions) {
  Watermarks watermarks;
  for (const auto& [kind, version] : versions) {
    watermarks.Raise(kind, version);
  }
  return watermarks;
}

TEST(WatermarksTest, KeepTheHighestOfEachKindAsNumbersNotAsText) {
  Watermarks watermarks;
  for (const char* version : {"99", "100", "7"}) {
    watermarks.Raise("API", version);
  }
  watermarks.Raise("Secret", "5");
  EXPECT_EQ(watermarks.versions(),
            (std::map<std::string, std::string>{{"API", "100"}, {"Secret", "5"}}));
}

TEST(WatermarksTest, WhoLacksSomethingOfAnyKindIsBehind) {
  const Watermarks seen = Seen({{"API", "100"}, {"Secret", "50"}});
  EXPECT_FALSE(seen.IsBehind(seen));
  EXPECT_FALSE(Seen({{"API", "101"}, {"Secret", "50"}}).IsBehind(seen));
  EXPECT_TRUE(Seen({{"API", "101"}, {"Secret", "49"}}).IsBehind(seen));
  EXPECT_TRUE(Seen({{"API", "99"}, {"Secret", "50"}}).IsBehind(seen));
  EXPECT_TRUE(Seen({{"API", "100"}}).IsBehind(seen));
  EXPECT_FALSE(seen.IsBehind(Watermarks()));
}

TEST(WatermarksTest, WhatTheApiServerWouldNotCompareIsIgnored) {
  for (const char* version : {"", "0", "012", "1a", "-1", "123456789012345678901"}) {
    EXPECT_TRUE(Seen({{"API", version}}).versions().empty()) << version;
  }
}

}  // namespace
}  // namespace rota::compile
