#include "dataplane/table/path.h"

#include <string>

#include "gtest/gtest.h"

namespace rota::table {
namespace {

std::string Decoded(std::string_view path) {
  SettledPath settled;
  return settled.Settle(path) ? std::string(settled.decoded()) : "refused";
}

std::string Raw(std::string_view path) {
  SettledPath settled;
  return settled.Settle(path) ? std::string(settled.raw()) : "refused";
}

TEST(SettledPathTest, LeavesAnOrdinaryPathAlone) {
  EXPECT_EQ(Decoded("/chat/1.0/chat/completions"), "/chat/1.0/chat/completions");
  EXPECT_EQ(Raw("/a.b/..c/d./"), "/a.b/..c/d./");
  EXPECT_EQ(Decoded(""), "/");
}

TEST(SettledPathTest, SettlesDotSegmentsAlsoWhenTheyAreEncoded) {
  EXPECT_EQ(Decoded("/a/./b/../c"), "/a/c");
  EXPECT_EQ(Decoded("/a/%2e%2E/c"), "/c");
  EXPECT_EQ(Decoded("/a/b/.."), "/a/");
  EXPECT_EQ(Decoded("/a/."), "/a/");
  EXPECT_EQ(Decoded("/a/../"), "/");
  EXPECT_EQ(Decoded("/.%2e/a"), "refused");
  EXPECT_EQ(Decoded("/a/../../b"), "refused");
}

TEST(SettledPathTest, DecodesForComparingAndKeepsTheEscapesForTheUpstream) {
  EXPECT_EQ(Decoded("/%63hat/a%20b"), "/chat/a b");
  EXPECT_EQ(Raw("/%63hat/a%20b"), "/%63hat/a%20b");
  EXPECT_EQ(Decoded("/a%252eb"), "/a%2eb");
}

TEST(SettledPathTest, RefusesWhatCanBeReadInTwoWays) {
  for (const std::string_view path :
       {"/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00b", "/a%0ab", "/a%7f", "/a%", "/a%4", "/a%zz",
        "/a b", "/a\tb", "/a?b", "/a#b", "a", "*"}) {
    EXPECT_EQ(Decoded(path), "refused") << path;
  }
  EXPECT_EQ(Decoded(std::string_view("/a\0b", 4)), "refused");
}

TEST(SettledPathTest, BoundsTheSegmentsOfAPathThatHasToBeDecoded) {
  std::string path = "/%41";
  for (int i = 0; i < 300; ++i) {
    path += "/a";
  }

  EXPECT_EQ(Decoded(path), "refused");
}

TEST(SettledPathTest, FindsTheRawPartBehindADecodedPrefix) {
  SettledPath settled;
  ASSERT_TRUE(settled.Settle("/%63hat/x/../1.0/a%20b/"));

  EXPECT_EQ(settled.decoded(), "/chat/1.0/a b/");
  EXPECT_EQ(settled.RawBehind("/chat/1.0"), "/a%20b/");
  EXPECT_EQ(settled.RawBehind("/chat/1.0/a b/"), "");
  EXPECT_EQ(settled.RawBehind(""), "/%63hat/1.0/a%20b/");
}

}  // namespace
}  // namespace rota::table
