#include "common/line_ends.h"

#include <gtest/gtest.h>

namespace rota {
namespace {

TEST(LineEndsTest, OnlyThoseAtTheEndGo) {
  EXPECT_EQ(WithoutLineEnds("key\r\n\n"), "key");
  EXPECT_EQ(WithoutLineEnds("a\nb "), "a\nb ");
  EXPECT_EQ(WithoutLineEnds("\n\r"), "");
  EXPECT_EQ(WithoutLineEnds({}), "");
}

}  // namespace
}  // namespace rota
