#include "dataplane/provider/usage_decoder.h"

#include <algorithm>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/gzip_text.h"

namespace rota::provider {
namespace {

using rota::testing::Gzip;

std::unique_ptr<UsageDecoder> Decode(std::string_view bytes, UsageDecoder::Form form,
                                     size_t step = SIZE_MAX) {
  auto decoder = UsageDecoder::Create("gzip", form);
  for (size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size() - at)) {
    decoder->Add(bytes.substr(at, step));
  }
  decoder->Finish();
  return decoder;
}

constexpr std::string_view kUsage = R"("usage":{"prompt_tokens":3,"completion_tokens":4})";
const std::string kAnswer =
    R"({"choices":[{"message":{"content":"usage"}}],)" + std::string(kUsage) + "}";

TEST(UsageDecoderTest, ReadsAnAnswerHoweverItArrives) {
  const std::string bytes = Gzip(kAnswer);
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const auto decoder = Decode(bytes, UsageDecoder::Form::kJson, step);
    EXPECT_TRUE(decoder->has_usage()) << step;
    EXPECT_FALSE(decoder->failed()) << step;
    EXPECT_EQ(decoder->usage().prompt, 3u) << step;
    EXPECT_EQ(decoder->usage().completion, 4u) << step;
  }
}

TEST(UsageDecoderTest, ReadsTheEndOfALargeAnswer) {
  const std::string large =
      R"({"data":")" + std::string(3 << 20, 'x') + "\"," + std::string(kUsage) + "}";
  const auto decoder = Decode(Gzip(large), UsageDecoder::Form::kJson, 4096);
  EXPECT_EQ(decoder->usage().prompt, 3u);
  EXPECT_FALSE(decoder->failed());
}

TEST(UsageDecoderTest, TakesTheLastUsageOfAStreamOfEvents) {
  const std::string events =
      "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n"
      "event: a\r\ndata: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\r\n\r\n"
      "data: {\"response\":\"" +
      std::string(200 << 10, 'x') +
      "\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":10}}\n\ndata: [DONE]\n\n";
  const std::string bytes = Gzip(events);
  for (const size_t step : {size_t{1}, size_t{7}, bytes.size()}) {
    const auto decoder = Decode(bytes, UsageDecoder::Form::kEvents, step);
    EXPECT_EQ(decoder->usage().prompt, 5u) << step;
    EXPECT_EQ(decoder->usage().completion, 10u) << step;
    EXPECT_FALSE(decoder->failed()) << step;
  }
}

TEST(UsageDecoderTest, ReadsSeveralMembersAsOneText) {
  const size_t half = kAnswer.size() / 2;
  const auto decoder =
      Decode(Gzip(kAnswer.substr(0, half)) + Gzip(kAnswer.substr(half)), UsageDecoder::Form::kJson);
  EXPECT_EQ(decoder->usage().prompt, 3u);
  EXPECT_FALSE(decoder->failed());
}

TEST(UsageDecoderTest, SaysThatDamagedAndCutBytesMayHaveHidUsage) {
  const std::string bytes = Gzip(kAnswer);
  std::string damaged = bytes;
  damaged[bytes.size() / 2] = static_cast<char>(damaged[bytes.size() / 2] ^ 0x55);
  std::string wrong_sum = bytes;
  wrong_sum[bytes.size() - 6] = static_cast<char>(wrong_sum[bytes.size() - 6] ^ 1);
  for (const std::string& bad : {damaged, wrong_sum, bytes.substr(0, bytes.size() - 12),
                                 bytes + "junk", kAnswer, std::string()}) {
    EXPECT_TRUE(Decode(bad, UsageDecoder::Form::kJson)->failed()) << bad.size();
  }
}

TEST(UsageDecoderTest, BoundsWhatFewBytesMayStandFor) {
  std::string bomb;
  const std::string member = Gzip(std::string(8 << 20, ' '));
  for (int i = 0; i < 5; ++i) {
    bomb += member;
  }
  const auto decoder = Decode(bomb + Gzip(kAnswer), UsageDecoder::Form::kJson);
  EXPECT_TRUE(decoder->failed());
  EXPECT_FALSE(decoder->has_usage());
  EXPECT_EQ(GunzipPrefix(member, 1000), std::string(1000, ' '));
}

TEST(UsageDecoderTest, KnowsGzipAndNothingElse) {
  for (const char* coding : {"gzip", "GZIP", "x-gzip"}) {
    EXPECT_NE(UsageDecoder::Create(coding, UsageDecoder::Form::kJson), nullptr) << coding;
  }
  for (const char* coding : {"", "identity", "br", "deflate", "zstd", "gzip, br", "gzip,gzip"}) {
    EXPECT_EQ(UsageDecoder::Create(coding, UsageDecoder::Form::kJson), nullptr) << coding;
  }
}

TEST(GunzipPrefixTest, GivesWhatIsThereOfAnIncompleteText) {
  const std::string bytes = Gzip(kAnswer);
  EXPECT_EQ(GunzipPrefix(bytes, 1 << 20), kAnswer);
  EXPECT_TRUE(kAnswer.starts_with(GunzipPrefix(bytes.substr(0, bytes.size() / 2), 1 << 20)));
  EXPECT_EQ(GunzipPrefix("no gzip", 1 << 20), "");
}

}  // namespace
}  // namespace rota::provider
