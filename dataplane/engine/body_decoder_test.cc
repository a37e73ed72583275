// Bodies as bytes, in pieces of every size.

#include "dataplane/engine/body_decoder.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace rota::engine {
namespace {

struct Decoded {
  std::string body;
  std::string rest;  // behind the body
  bool done = false;
  bool failed = false;
};

Decoded DecodeInSteps(std::string wire, size_t step, BodyDecoder decoder = BodyDecoder::Chunked()) {
  Decoded result;
  size_t at = 0;
  while (at < wire.size() && !decoder.done() && !decoder.failed()) {
    const BodyDecoder::Result piece =
        decoder.Decode({wire.data() + at, std::min(step, wire.size() - at)});
    result.body.append(piece.decoded);
    at += piece.consumed;
  }
  result.rest = wire.substr(at);
  result.done = decoder.done();
  result.failed = decoder.failed();
  return result;
}

TEST(ChunkedBodyTest, TakesWhatTheGrammarAllows) {
  const struct {
    const char* wire;
    const char* body;
  } rows[] = {
      {"0\r\n\r\n", ""},
      {"000\r\n\r\n", ""},
      {"2\r\n{}\r\n0\r\n\r\n", "{}"},
      {"0002\r\n{}\r\n0\r\n\r\n", "{}"},
      {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
      {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
      {"2;a\r\n{}\r\n0;b=c\r\n\r\n", "{}"},
      {"2 ; a = \"b;\\\"c\" \r\n{}\r\n0\r\n\r\n", "{}"},
      {"2\r\n{}\r\n0\r\nA: b\r\nC:\r\n\r\n", "{}"},
      {"2\r\n{}\r\n0\r\nA:\tb \xff\r\n\r\n", "{}"},
  };
  for (const auto& row : rows) {
    const std::string wire = std::string(row.wire) + "NEXT";
    for (size_t step = 1; step <= wire.size(); ++step) {
      const Decoded decoded = DecodeInSteps(wire, step);
      EXPECT_TRUE(decoded.done) << row.wire << " in steps of " << step;
      EXPECT_EQ(decoded.body, row.body) << row.wire << " in steps of " << step;
      EXPECT_EQ(decoded.rest, "NEXT") << row.wire << " in steps of " << step;
    }
  }
}

TEST(ChunkedBodyTest, FailsAtTheFirstByteThatCannotBe) {
  // What stands in front of '|' is good so far, the byte behind it is not.
  for (const char* row : {"|\r\n",
                          "|\n",
                          "| 2",
                          "|g",
                          "|-2",
                          "|+2",
                          "0|x2",
                          "2|x",
                          "2|,",
                          "2|\n",
                          "2\r|\r",
                          "2\r|{",
                          "2 |2",
                          "2 |\r",
                          "2\t|{",
                          "2;a|\n",
                          "2;a\r|b",
                          "2;|\x01",
                          "2;|\x7f",
                          "2\r\n{}|}",
                          "2\r\n{}|\n",
                          "2\r\n{}\r|\r",
                          "2\r\n{}|0",
                          "2\r\n{}\r\n|\r",
                          "0\r\n|\n",
                          "0\r\n| a: b",
                          "0\r\n|\ta",
                          "0\r\n|:",
                          "0\r\na|\r",
                          "0\r\na| :",
                          "0\r\na:|\n",
                          "0\r\na:\r|b",
                          "0\r\na:|\x01",
                          "0\r\na: b\r\n| c",
                          "0\r\n\r|X",
                          "000000000000000|0",
                          "111111111111111|1"}) {
    std::string wire = row;
    const size_t mark = wire.find('|');
    wire.erase(mark, 1);
    EXPECT_FALSE(DecodeInSteps(wire.substr(0, mark), 1).failed) << row;
    for (size_t step = 1; step <= wire.size(); ++step) {
      const Decoded decoded = DecodeInSteps(wire, step);
      EXPECT_TRUE(decoded.failed) << row << " in steps of " << step;
      EXPECT_EQ(decoded.rest, wire.substr(mark + 1)) << row << " in steps of " << step;
    }
  }
}

TEST(BodyDecoderTest, StopsAtTheLength) {
  for (size_t step = 1; step <= 6; ++step) {
    const Decoded decoded = DecodeInSteps("abcdef", step, BodyDecoder::Length(3));
    EXPECT_TRUE(decoded.done);
    EXPECT_EQ(decoded.body, "abc");
    EXPECT_EQ(decoded.rest, "def");
  }
  EXPECT_TRUE(BodyDecoder::Length(0).done());
  EXPECT_TRUE(BodyDecoder::None().done());
}

TEST(ChunkedBodyTest, BoundsExtensionsAndTrailers) {
  const auto chunks = [](size_t count, size_t extension, size_t data) {
    std::string wire;
    char size[20];
    std::snprintf(size, sizeof(size), "%zx;", data);
    for (size_t i = 0; i < count; ++i) {
      wire += size + std::string(extension, 'x') + "\r\n" + std::string(data, 'y') + "\r\n";
    }
    return wire + "0\r\n\r\n";
  };
  EXPECT_TRUE(DecodeInSteps(chunks(1, 4095, 1), 100).done);
  EXPECT_TRUE(DecodeInSteps(chunks(1, 4097, 1), 100).failed);
  EXPECT_TRUE(DecodeInSteps(chunks(10, 1000, 1), 100).done);
  EXPECT_TRUE(DecodeInSteps(chunks(20, 1000, 1), 100).failed) << "much for little";
  EXPECT_TRUE(DecodeInSteps(chunks(200, 1000, 500), 100).done) << "in proportion";
  EXPECT_TRUE(DecodeInSteps("0\r\na: " + std::string(16000, 'x') + "\r\n\r\n", 100).done);
  EXPECT_TRUE(DecodeInSteps("0\r\na: " + std::string(16400, 'x') + "\r\n\r\n", 100).failed);
  std::string many = "0\r\n";
  for (int i = 0; i < 5000; ++i) {
    many += "a:\r\n";
  }
  EXPECT_TRUE(DecodeInSteps(many + "\r\n", 100).failed);
}

}  // namespace
}  // namespace rota::engine
