#include "common/hex.h"

#include "gtest/gtest.h"

namespace rota {
namespace {

TEST(HexTest, KnowsTheDigits) {
  EXPECT_EQ(HexDigit('0'), 0);
  EXPECT_EQ(HexDigit('9'), 9);
  EXPECT_EQ(HexDigit('a'), 10);
  EXPECT_EQ(HexDigit('F'), 15);
  for (const char c : {'g', 'G', '/', ':', '@', '`', ' ', '\0', '\xE1'}) {
    EXPECT_EQ(HexDigit(c), -1) << c;
  }
}

TEST(HexTest, UndoesEscapesAndLeavesTheRest) {
  EXPECT_EQ(PercentDecoded("%6Bey"), "key");
  EXPECT_EQ(PercentDecoded("a%2fb%2Fc+d"), "a/b/c+d");
  EXPECT_EQ(PercentDecoded("%"), "%");
  EXPECT_EQ(PercentDecoded("%4"), "%4");
  EXPECT_EQ(PercentDecoded("%zz%41"), "%zzA");
  EXPECT_EQ(PercentDecoded(""), "");
}

}  // namespace
}  // namespace rota
