#include "common/hash.h"

#include <gtest/gtest.h>

namespace rota {
namespace {

TEST(HashTest, IsSha256) {
  // FIPS 180-2, example B.1.
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hash64("abc"), 0xba7816bf8f01cfeaULL);
}

TEST(HashTest, EncodesEveryByte) { EXPECT_EQ(HexEncode(std::string("\x00\x7f\xff", 3)), "007fff"); }

}  // namespace
}  // namespace rota
