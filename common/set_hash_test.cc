#include "common/set_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "common/hash.h"

namespace rota {
namespace {

TEST(SetHashTest, OneMemberIsItsDigest) {
  SetHash hash;
  EXPECT_EQ(hash.Bytes(), std::string(32, '\0'));
  hash.Add(2, "ns/a", 0x0102030405060708);
  EXPECT_EQ(hash.Bytes(), Sha256(std::string("\2ns/a\0\1\2\3\4\5\6\7\10", 14)));
  hash.Remove(2, "ns/a", 0x0102030405060708);
  EXPECT_EQ(hash.Bytes(), std::string(32, '\0'));
}

// Carries and borrows run through all words often enough with that many members.
TEST(SetHashTest, TheOrderAndWhatHasGoneAgainDoNotCount) {
  std::mt19937_64 dice(7);
  std::vector<uint64_t> members(500);
  std::generate(members.begin(), members.end(), std::ref(dice));
  SetHash straight;
  for (const uint64_t member : members) {
    straight.Add(1, std::to_string(member), member);
  }
  SetHash winding;
  for (uint64_t i = 0; i < 300; ++i) {
    winding.Add(3, "passing", i);
  }
  std::shuffle(members.begin(), members.end(), dice);
  for (const uint64_t member : members) {
    winding.Add(1, std::to_string(member), member);
  }
  EXPECT_NE(winding.Bytes(), straight.Bytes());
  for (uint64_t i = 0; i < 300; ++i) {
    winding.Remove(3, "passing", i);
  }
  EXPECT_EQ(winding.Bytes(), straight.Bytes());
}

TEST(SetHashTest, KindNameAndVersionCount) {
  const auto of = [](uint8_t kind, std::string_view name, uint64_t version) {
    SetHash hash;
    hash.Add(kind, name, version);
    return hash.Bytes();
  };
  EXPECT_NE(of(1, "a", 1), of(2, "a", 1));
  EXPECT_NE(of(1, "a", 1), of(1, "b", 1));
  EXPECT_NE(of(1, "a", 1), of(1, "a", 2));
}

}  // namespace
}  // namespace rota
