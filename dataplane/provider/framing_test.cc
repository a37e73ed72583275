#include "dataplane/provider/framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace rota::provider {
namespace {

using ::testing::ElementsAre;

// "name|data" of each frame, the bytes given in two pieces that are cut at `cut`.
std::vector<std::string> Frames(FrameDecoder& decoder, std::string_view bytes, size_t cut) {
  std::vector<std::string> frames;
  const auto sink = [&frames](const Frame& frame) {
    frames.push_back(std::string(frame.name) + "|" + std::string(frame.data));
    return true;
  };
  EXPECT_TRUE(decoder.Add(bytes.substr(0, cut), sink).ok());
  EXPECT_TRUE(decoder.Add(bytes.substr(cut), sink).ok());
  EXPECT_TRUE(decoder.Finish(sink).ok());
  return frames;
}

TEST(SseDecoderTest, ReadsEventsWithAnyLineEndingCutAnywhere) {
  for (const std::string_view end : {"\n", "\r\n", "\r"}) {
    std::string bytes;
    for (const std::string_view line :
         {": hello", "", "event: a", "data: {\"x\":1}", "", "", "data:one", "data: two", "id: 7",
          "", "event: nothing", "", "data: last"}) {
      bytes.append(line).append(end);
    }
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      const auto decoder = NewSseDecoder();
      EXPECT_THAT(Frames(*decoder, bytes, cut), ElementsAre("a|{\"x\":1}", "|one\ntwo", "|last"))
          << "cut at " << cut;
    }
  }
}

TEST(NdjsonDecoderTest, ReadsLinesCutAnywhere) {
  const std::string bytes = "{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const auto decoder = NewNdjsonDecoder();
    EXPECT_THAT(Frames(*decoder, bytes, cut),
                ElementsAre("|{\"a\":1}", "|{\"b\":2}", "|{\"c\":3}"));
  }
}

TEST(FrameDecoderTest, RefusesAnEventThatIsTooLarge) {
  const auto sink = [](const Frame&) { return true; };
  const std::string piece(kMaxFrameBytes / 4, 'x');
  for (const auto& decoder : {NewSseDecoder(), NewNdjsonDecoder()}) {
    EXPECT_TRUE(decoder->Add("data: ", sink).ok());
    absl::Status status;
    for (int i = 0; i < 5 && status.ok(); ++i) {
      status = decoder->Add(piece, sink);
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  }
}

TEST(SseDecoderTest, CountsAllDataLinesOfOneEvent) {
  const auto sink = [](const Frame&) { return true; };
  const std::string line = "data: " + std::string(1000, 'x') + "\n";
  const auto decoder = NewSseDecoder();
  absl::Status status;
  for (size_t sent = 0; sent < 2 * kMaxFrameBytes && status.ok(); sent += line.size()) {
    status = decoder->Add(line, sink);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST(FrameDecoderTest, StopsWhenTheSinkHasEnough) {
  std::vector<std::string> seen;
  const auto decoder = NewSseDecoder();
  EXPECT_TRUE(decoder
                  ->Add("data: 1\n\ndata: 2\n\n",
                        [&seen](const Frame& frame) {
                          seen.emplace_back(frame.data);
                          return false;
                        })
                  .ok());
  EXPECT_THAT(seen, ElementsAre("1"));
}

}  // namespace
}  // namespace rota::provider
