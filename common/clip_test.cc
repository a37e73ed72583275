#include "common/clip.h"

#include <gtest/gtest.h>

namespace rota {
namespace {

TEST(ClipTest, CutsBetweenCharacters) {
  EXPECT_EQ(Clip("text", 4), "text");
  EXPECT_EQ(Clip("text", 3), "tex");
  EXPECT_EQ(Clip("a\u00e9", 3), "a\u00e9");
  EXPECT_EQ(Clip("a\u00e9", 2), "a");
  EXPECT_EQ(Clip("a\U0001F600", 4), "a");
  EXPECT_EQ(Clip("\u00e9", 1), "");
  EXPECT_EQ(Clip("", 0), "");
}

}  // namespace
}  // namespace rota
