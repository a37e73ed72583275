#include "dataplane/provider/content_coding.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/coded_text.h"
#include "tests/support/gzip_text.h"

namespace rota::provider {
namespace {

using rota::testing::Brotli;
using rota::testing::Deflate;
using rota::testing::Gzip;
using rota::testing::RawDeflate;
using rota::testing::Zstd;

constexpr size_t kLimit = 64 << 10;

struct Coding {
  const char* name;
  std::string (*encode)(std::string_view text);
};
constexpr Coding kCodings[] = {{"gzip", Gzip},          {"x-gzip", Gzip}, {"deflate", Deflate},
                               {"deflate", RawDeflate}, {"br", Brotli},   {"zstd", Zstd}};

// Does not compress to nothing: numbers that do not repeat.
std::string Text(size_t size) {
  std::string text = R"({"error":{"message":"Request too large","param":[)";
  uint32_t number = 1;
  while (text.size() < size) {
    number = number * 1664525 + 1013904223;
    text += std::to_string(number) + ",";
  }
  return text;
}

// As a server sends it that asks for a window of 2^log bytes: one block, as it stands.
std::string ZstdFrame(int window_log, std::string_view text) {
  const size_t block = text.size() << 3 | 1;  // the last one, not compressed
  std::string frame("\x28\xb5\x2f\xfd\0", 5);
  frame += static_cast<char>((window_log - 10) << 3);
  for (int shift = 0; shift < 24; shift += 8) {
    frame += static_cast<char>(block >> shift);
  }
  return frame + std::string(text);
}

TEST(ContentCodingTest, GivesTheTextOfEveryCoding) {
  for (const Coding& coding : kCodings) {
    for (const size_t size : {size_t{0}, size_t{100}, size_t{16} << 10, size_t{60} << 10}) {
      const std::string text = Text(size);
      EXPECT_EQ(DecodePrefix(coding.name, coding.encode(text), kLimit), text) << coding.name;
    }
    EXPECT_EQ(DecodePrefix(coding.name, coding.encode(""), kLimit), "") << coding.name;
    EXPECT_EQ(DecodePrefix(coding.name, "", kLimit), "") << coding.name;
  }
}

TEST(ContentCodingTest, GivesTheBodyItselfWithoutACoding) {
  for (const char* coding : {"", " ", "identity", " Identity\t"}) {
    EXPECT_TRUE(IsIdentity(coding)) << coding;
    EXPECT_EQ(DecodePrefix(coding, "text", kLimit), "text") << coding;
    EXPECT_EQ(DecodePrefix(coding, "text", 3), "tex") << coding;
  }
  for (const char* coding : {"gzip", "br", "identity, br", "compress"}) {
    EXPECT_FALSE(IsIdentity(coding)) << coding;
  }
}

TEST(ContentCodingTest, TakesNamesInAnyCaseAndWithSpaceAround) {
  EXPECT_EQ(DecodePrefix("GZIP", Gzip("text"), kLimit), "text");
  EXPECT_EQ(DecodePrefix(" X-Gzip ", Gzip("text"), kLimit), "text");
  EXPECT_EQ(DecodePrefix("Deflate\t", Deflate("text"), kLimit), "text");
  EXPECT_EQ(DecodePrefix(" BR", Brotli("text"), kLimit), "text");
  EXPECT_EQ(DecodePrefix("\tZstd ", Zstd("text"), kLimit), "text");
}

TEST(ContentCodingTest, SaysWhenItDoesNotKnowTheCoding) {
  for (const char* coding : {"compress", "zstd2", "gzip, br", "br,br", "identity, br", ","}) {
    EXPECT_EQ(DecodePrefix(coding, Brotli("text"), kLimit), std::nullopt) << coding;
  }
}

TEST(ContentCodingTest, GivesWhatIsThereOfABodyThatWasCut) {
  const std::string text = Text(40 << 10);
  for (const Coding& coding : kCodings) {
    const std::string body = coding.encode(text);
    for (size_t size = 0; size < body.size(); size += 97) {
      const auto start = DecodePrefix(coding.name, std::string_view(body).substr(0, size), kLimit);
      ASSERT_TRUE(start.has_value() && text.starts_with(*start)) << coding.name << " " << size;
    }
  }
}

TEST(ContentCodingTest, GivesTheStartOfALargeBodyThatWasCut) {
  const std::string text = Text(200 << 10);  // more than a block of zstd's, 128 KiB
  for (const Coding& coding : kCodings) {
    const std::string body = coding.encode(text);
    EXPECT_EQ(DecodePrefix(coding.name, body.substr(0, body.size() * 9 / 10), kLimit),
              text.substr(0, kLimit))
        << coding.name;
  }
}

TEST(ContentCodingTest, GivesWhatCameOutBeforeTheDamage) {
  const std::string text = Text(200 << 10);
  for (const Coding& coding : kCodings) {
    std::string body = coding.encode(text);
    std::fill(body.begin() + static_cast<std::ptrdiff_t>(body.size() * 9 / 10), body.end(), '\xff');
    const auto start = DecodePrefix(coding.name, body, kLimit);
    EXPECT_EQ(start, text.substr(0, kLimit)) << coding.name;
    EXPECT_EQ(DecodePrefix(coding.name, "\xff\xff\xff\xff no coding at all", kLimit), "")
        << coding.name;
  }
}

TEST(ContentCodingTest, DoesNotMindWhatIsWrongInAnyByte) {
  const std::string text = Text(300);
  for (const Coding& coding : kCodings) {
    const std::string body = coding.encode(text);
    for (size_t at = 0; at < body.size(); ++at) {
      std::string damaged = body;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
      EXPECT_LE(DecodePrefix(coding.name, damaged, kLimit)->size(), kLimit) << coding.name;
    }
  }
}

TEST(ContentCodingTest, BoundsWhatFewBytesMayStandFor) {
  for (const Coding& coding : kCodings) {
    const std::string bomb = coding.encode(std::string(1 << 20, '\0'));
    for (const size_t limit : {size_t{0}, size_t{1}, size_t{1000}, size_t{16} << 10, kLimit}) {
      EXPECT_EQ(DecodePrefix(coding.name, bomb, limit), std::string(limit, '\0'))
          << coding.name << " " << limit;
    }
  }
}

TEST(ContentCodingTest, ReadsFramesOfZstdThatFollowEachOther) {
  EXPECT_EQ(DecodePrefix("zstd", Zstd("one ") + Zstd("") + Zstd("two"), kLimit), "one two");
}

// A frame of a few bytes may ask for two gigabytes.
TEST(ContentCodingTest, RefusesWindowsThatAreTooLarge) {
  EXPECT_EQ(DecodePrefix("zstd", ZstdFrame(23, "text"), kLimit), "text");
  EXPECT_EQ(DecodePrefix("zstd", ZstdFrame(24, "text"), kLimit), "");
  EXPECT_EQ(DecodePrefix("zstd", ZstdFrame(31, "text"), kLimit), "");
}

}  // namespace
}  // namespace rota::provider
