#include "dataplane/provider/amazon_event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "dataplane/provider/test_frames.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_frames::AmazonEvent;
using testing_frames::AmazonException;
using testing_frames::AmazonFrame;
using testing_frames::AmazonFrameOf;
using testing_frames::AmazonHeaderBytes;
using testing_frames::BigEndian;
using testing_frames::Checksum;

struct Outcome {
  std::vector<std::string> frames;  // "name|data", "!" before an exception
  absl::Status status;
  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.frames == b.frames && a.status == b.status;
  }
};

// Decodes `bytes` given in pieces of which `next_size` says the size.
template <typename NextSize>
Outcome DecodeInPieces(std::string_view bytes, NextSize next_size) {
  Outcome outcome;
  AmazonEventStreamDecoder decoder;
  const auto sink = [&outcome](const Frame& frame) {
    outcome.frames.push_back(
        fmt::format("{}{}|{}", frame.is_exception ? "!" : "", frame.name, frame.data));
    return true;
  };
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), next_size());
    // A copy of its own: reading behind a piece is seen by the address sanitizer.
    const std::string piece(bytes.substr(0, size));
    decoder.Add(piece, sink).IgnoreError();
    bytes.remove_prefix(size);
  }
  outcome.status = decoder.Finish(sink);
  return outcome;
}

Outcome Decode(std::string_view bytes) {
  return DecodeInPieces(bytes, [&bytes] { return bytes.size(); });
}

std::string SomeStream() {
  return AmazonEvent("messageStart", R"({"role":"assistant"})") +
         AmazonEvent("contentBlockDelta", R"({"delta":{"text":"Hi"}})") + AmazonFrameOf("", "") +
         AmazonEvent("messageStop", R"({"stopReason":"end_turn"})");
}

TEST(AmazonEventStreamTest, HandsOutFramesInOrder) {
  const Outcome outcome = Decode(SomeStream());

  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.frames, ElementsAre(R"(messageStart|{"role":"assistant"})",
                                          R"(contentBlockDelta|{"delta":{"text":"Hi"}})", "|",
                                          R"(messageStop|{"stopReason":"end_turn"})"));
}

// Bytes written by hand from the format's description, with checksums of an independent
// implementation (Python's binascii.crc32).
TEST(AmazonEventStreamTest, ReadsAFrameThatIsNotOfOurOwnMaking) {
  constexpr unsigned char kFrame[] = {
      0x00, 0x00, 0x00, 0x3B, 0x00, 0x00, 0x00, 0x29, 0xF1, 0x61, 0xCE, 0x92, 0x0B, 0x3A, 0x65,
      0x76, 0x65, 0x6E, 0x74, 0x2D, 0x74, 0x79, 0x70, 0x65, 0x07, 0x00, 0x04, 0x70, 0x69, 0x6E,
      0x67, 0x0D, 0x3A, 0x6D, 0x65, 0x73, 0x73, 0x61, 0x67, 0x65, 0x2D, 0x74, 0x79, 0x70, 0x65,
      0x07, 0x00, 0x05, 0x65, 0x76, 0x65, 0x6E, 0x74, 0x7B, 0x7D, 0xDB, 0x80, 0x5C, 0x65};

  const Outcome outcome = Decode({reinterpret_cast<const char*>(kFrame), sizeof(kFrame)});

  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.frames, ElementsAre("ping|{}"));
}

TEST(AmazonEventStreamTest, TheSplitOfTheBytesDoesNotMatter) {
  const std::string stream = SomeStream();
  const Outcome whole = Decode(stream);
  for (size_t split = 1; split < stream.size(); ++split) {
    bool is_first = true;
    const Outcome outcome = DecodeInPieces(stream, [&] {
      const size_t size = is_first ? split : stream.size();
      is_first = false;
      return size;
    });
    EXPECT_EQ(outcome, whole) << "split behind byte " << split;
  }
  for (const size_t size : {1, 2, 3, 5, 11, 12, 13, 64}) {
    EXPECT_EQ(DecodeInPieces(stream, [size] { return size; }), whole) << size;
  }
}

TEST(AmazonEventStreamTest, TellsExceptionsAndErrors) {
  const Outcome outcome =
      Decode(AmazonException("throttlingException", R"({"message":"slow down"})") +
             AmazonFrame({{":message-type", "error"},
                          {":error-code", "InternalFailure"},
                          {":error-message", "no \"luck\""}},
                         ""));

  EXPECT_THAT(outcome.frames, ElementsAre(R"(!throttlingException|{"message":"slow down"})",
                                          R"(!InternalFailure|{"message":"no \"luck\""})"));
}

TEST(AmazonEventStreamTest, HeaderValuesOfEveryTypeAreSkippedOver) {
  const std::string others = std::string(
                                 "\x01"
                                 "a\x00",
                                 3) +
                             std::string(
                                 "\x01"
                                 "b\x01",
                                 3) +
                             "\x01"
                             "c\x02"
                             "1" +
                             "\x01"
                             "d\x03"
                             "12" +
                             "\x01"
                             "e\x04"
                             "1234" +
                             "\x01"
                             "f\x05"
                             "12345678" +
                             std::string(
                                 "\x01"
                                 "g\x06\x00\x03xyz",
                                 8) +
                             "\x01"
                             "h\x08"
                             "12345678" +
                             "\x01"
                             "i\x09"
                             "0123456789abcdef";

  const Outcome outcome =
      Decode(AmazonFrameOf(others + AmazonHeaderBytes({{":event-type", "metadata"}}), "{}"));

  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.frames, ElementsAre("metadata|{}"));
}

TEST(AmazonEventStreamTest, EveryFlippedBitIsNoticed) {
  const std::string first = AmazonEvent("messageStart", "{}");
  const std::string stream = first + AmazonEvent("messageStop", R"({"stopReason":"end_turn"})");
  for (size_t place = first.size(); place < stream.size(); ++place) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = stream;
      damaged[place] = static_cast<char>(damaged[place] ^ (1 << bit));

      const Outcome outcome = Decode(damaged);

      EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDataLoss) << place << "/" << bit;
      EXPECT_THAT(outcome.frames, ElementsAre("messageStart|{}")) << place << "/" << bit;
    }
  }
}

TEST(AmazonEventStreamTest, ACutIsNoticedEverywhereButBetweenFrames) {
  const std::string first = AmazonEvent("messageStart", "{}");
  const std::string stream = first + AmazonEvent("messageStop", "{}");
  for (size_t size = 0; size <= stream.size(); ++size) {
    const Outcome outcome = Decode(stream.substr(0, size));
    const bool is_between = size == 0 || size == first.size() || size == stream.size();

    EXPECT_EQ(outcome.status.ok(), is_between) << size;
  }
}

// A prelude whose checksum is right.
std::string Prelude(uint32_t frame_size, uint32_t headers_size) {
  const std::string lengths = BigEndian(frame_size, 4) + BigEndian(headers_size, 4);
  return lengths + Checksum(lengths);
}

TEST(AmazonEventStreamTest, LengthsAreBoundedBeforeAnythingIsKept) {
  const uint32_t most = kMaxFrameBytes;

  EXPECT_THAT(Decode(Prelude(most + 1, 0)).status.message(), HasSubstr("larger than the limit"));
  EXPECT_THAT(Decode(Prelude(0xFFFFFFFF, 0)).status.message(), HasSubstr("larger than the limit"));
  EXPECT_THAT(Decode(Prelude(most, AmazonEventStreamDecoder::kMaxHeaderBytes + 1)).status.message(),
              HasSubstr("larger than the limit"));
  EXPECT_THAT(Decode(Prelude(15, 0)).status.message(), HasSubstr("do not fit"));
  EXPECT_THAT(Decode(Prelude(0, 0)).status.message(), HasSubstr("do not fit"));
  EXPECT_THAT(Decode(Prelude(20, 5)).status.message(), HasSubstr("do not fit"));
  EXPECT_THAT(Decode(Prelude(20, 0xFFFFFFFF)).status.message(), HasSubstr("do not fit"));
  // The largest that is allowed is waited for, and comes through.
  EXPECT_THAT(Decode(Prelude(most, 0)).status.message(), HasSubstr("ends inside a frame"));
  EXPECT_TRUE(Decode(AmazonFrameOf("", std::string(kMaxFrameBytes - 16, 'x'))).status.ok());
}

TEST(AmazonEventStreamTest, HeadersThatBreakTheFormatAreRefused) {
  const std::string broken[] = {
      std::string("\x00", 1),  // a name of no length
      "\x05"
      "ab",  // a name that is not there
      "\x01"
      "a",  // no type
      "\x01"
      "a\x0A",  // a type that does not exist
      "\x01"
      "a\x04"
      "123",  // a number that is cut
      std::string("\x01"
                  "a\x07\x00",
                  4),  // a length that is cut
      std::string("\x01"
                  "a\x07\x00\x05"
                  "1234",
                  9),  // a string that is cut
  };
  for (const std::string& headers : broken) {
    EXPECT_THAT(Decode(AmazonFrameOf(headers, "{}")).status.message(),
                HasSubstr("a header that breaks the format"));
  }
}

TEST(AmazonEventStreamTest, NothingComesOutBehindDamage) {
  AmazonEventStreamDecoder decoder;
  size_t frames = 0;
  const auto sink = [&frames](const Frame&) {
    ++frames;
    return true;
  };

  EXPECT_FALSE(decoder.Add("this is no event stream at all", sink).ok());
  EXPECT_FALSE(decoder.Add(AmazonEvent("messageStart", "{}"), sink).ok());
  EXPECT_FALSE(decoder.Finish(sink).ok());
  EXPECT_EQ(frames, 0u);
}

TEST(AmazonEventStreamTest, ASinkThatHasEnoughGetsNoMore) {
  AmazonEventStreamDecoder decoder;
  size_t frames = 0;
  const auto sink = [&frames](const Frame&) {
    ++frames;
    return false;
  };

  EXPECT_TRUE(decoder.Add(SomeStream(), sink).ok());
  EXPECT_TRUE(decoder.Add(SomeStream(), sink).ok());
  EXPECT_TRUE(decoder.Finish(sink).ok());
  EXPECT_EQ(frames, 1u);
}

// What strangers send: damaged streams whose checksums are right again, in random pieces. Whatever
// comes of it, the pieces must not matter.
TEST(AmazonEventStreamTest, RandomDamageNeverDependsOnThePieces) {
  std::mt19937 random(20260101);
  for (int round = 0; round < 3000; ++round) {
    std::string headers = AmazonHeaderBytes({{":event-type", "a"}, {":message-type", "event"}});
    headers[random() % headers.size()] = static_cast<char>(random());
    headers.resize(headers.size() - random() % 3);
    std::string stream = AmazonFrameOf(headers, std::string(random() % 20, 'p')) + SomeStream();
    if (random() % 2 == 0) {
      stream[random() % stream.size()] = static_cast<char>(random());
    }

    const Outcome whole = Decode(stream);

    EXPECT_EQ(DecodeInPieces(stream, [&random] { return 1 + random() % 40; }), whole) << round;
  }
}

}  // namespace
}  // namespace rota::provider
