#include "dataplane/provider/json.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace rota::provider {
namespace {

std::string Again(std::string_view text) {
  const absl::StatusOr<Json> parsed = ParseJson(text);
  return parsed.ok() ? DumpJson(*parsed) : std::string(parsed.status().message());
}

TEST(JsonTest, KeepsTheOrderOfMembersAndTheValueOfNumbers) {
  const std::string text =
      R"({"z":1,"a":[true,false,null,-3,0.1,1e+300,18446744073709551615],"m":{"b":"","a":{}}})";
  EXPECT_EQ(Again(text), text);
}

TEST(JsonTest, WritesWhatItReadHoweverItWasEscaped) {
  EXPECT_EQ(Again(R"("a\"\\\n\t\u0001\u00e4\ud83d\ude00/")"),
            "\"a\\\"\\\\\\n\\u0009\\u0001\xc3\xa4\xf0\x9f\x98\x80/\"");
}

TEST(JsonTest, RefusesWhatIsNoJsonAndSaysWhere) {
  for (const std::string_view text : {"", "{", "{} {}", "[1,]", "\"\\ud800\"", "\"\xff\"", "nul"}) {
    const absl::StatusOr<Json> parsed = ParseJson(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.status().message().find("is not valid JSON near byte"), std::string::npos);
  }
}

TEST(JsonTest, BoundsDepthAndNumberOfValues) {
  const std::string open(kMaxJsonDepth, '[');
  const std::string close(kMaxJsonDepth, ']');
  EXPECT_EQ(Again(open + close), open + close);
  EXPECT_NE(Again("[" + open + close + "]").find("nested deeper"), std::string::npos);
  std::string values = "[0";
  for (size_t i = 0; i < kMaxJsonValues; ++i) {
    values += ",0";
  }
  EXPECT_NE(Again(values + "]").find("values"), std::string::npos);
}

TEST(JsonTest, TakesAsManyMembersInLinearTime) {
  std::string text = "{\"a\":0";
  for (size_t i = 0; i < kMaxJsonValues / 2 - 2; ++i) {
    text += ",\"" + std::to_string(i) + "\":0";
  }
  const absl::StatusOr<Json> parsed = ParseJson(text + "}");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->size(), kMaxJsonValues / 2 - 1);
}

// The library's own reading, which is the measure of what is JSON.
std::string AsTheLibraryReadsIt(const std::string& text) {
  const Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? "none" : parsed.dump();
}

std::string AsItIsReadHere(const std::string& text) {
  const absl::StatusOr<Json> parsed = ParseJson(text);
  return parsed.ok() ? parsed->dump() : "none";
}

TEST(JsonTest, ReadsWhatTheLibraryReadsAndNothingElse) {
  const std::vector<std::string> texts = {"0",
                                          "-0",
                                          "-",
                                          "01",
                                          "-1",
                                          "1.",
                                          "1.5e",
                                          "1e5",
                                          "1E+5",
                                          "0.1e-7",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "-9223372036854775809",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "1e308",
                                          "1e309",
                                          "-1e999",
                                          "1e-400",
                                          "4.9e-324",
                                          "123456789012345678901234567890",
                                          "true",
                                          "tru",
                                          "falsey",
                                          "null ",
                                          " null",
                                          "[]",
                                          "[ ]",
                                          "{ }",
                                          "{\"a\"}",
                                          "{\"a\":}",
                                          "{\"a\":1,}",
                                          "{,}",
                                          "[,]",
                                          "[1 2]",
                                          "[1,2",
                                          "[1}",
                                          "{\"a\":[}",
                                          "]",
                                          "\xEF\xBB\xBF[1]",
                                          "\xEF\xBB[1]",
                                          R"("\u0000")",
                                          R"("\u00e")",
                                          R"("\ud83d\ude00")",
                                          R"("\ud83dx")",
                                          R"("\ud83d\u0041")",
                                          R"("\ude00")",
                                          R"("\x")",
                                          R"("\)",
                                          "\"\t\"",
                                          "\"a\x7f\"",
                                          R"("\b\f\n\r\t\/\\\"")",
                                          "[1]x",
                                          "[1] \n\t\r",
                                          "'a'",
                                          "nan",
                                          "+1",
                                          ".5",
                                          "/**/1"};
  for (const std::string& text : texts) {
    EXPECT_EQ(AsItIsReadHere(text), AsTheLibraryReadsIt(text)) << text;
  }
}

TEST(JsonTest, TakesTheUtf8ThatTheLibraryTakes) {
  // Every pair of first bytes, in front of continuations.
  for (int first = 0x7F; first < 0x100; ++first) {
    for (int second = 0x7F; second < 0x100; ++second) {
      for (const char* const rest : {"", "\x80", "\x80\xBF", "\x80\x41"}) {
        const std::string bytes{static_cast<char>(first), static_cast<char>(second)};
        const std::string text = "\"" + std::string(17, 'x') + bytes + rest + "\"";
        ASSERT_EQ(AsItIsReadHere(text), AsTheLibraryReadsIt(text))
            << first << " " << second << rest;
      }
    }
  }
}

TEST(JsonTest, ReadsDamagedTextAsTheLibraryDoes) {
  const std::string text =
      R"({"model":"gpt","messages":[{"role":"user","content":[{"type":"text","text":"H\u00e4\n\ud83d\ude00 \"x\""}]}],)"
      "\"temperature\":0.5,\"n\":-12,\"big\":1.5E+300,\"tools\":[],\"stream_options\":{},\"user\":"
      "null,"
      "\"seed\":18446744073709551615,\"stop\":[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\",true,false]"
      "}";
  std::mt19937 random(7);
  for (size_t place = 0; place < text.size(); ++place) {
    for (const char byte : std::string_view("\"\\{}[],:0e.-\x01\x80\xff x", 17)) {
      std::string damaged = text;
      damaged[place] = byte;
      ASSERT_EQ(AsItIsReadHere(damaged), AsTheLibraryReadsIt(damaged)) << damaged;
    }
    const std::string cut = text.substr(0, place);
    ASSERT_EQ(AsItIsReadHere(cut), AsTheLibraryReadsIt(cut)) << cut;
    std::string without = text;
    without.erase(place, 1 + random() % 5);
    ASSERT_EQ(AsItIsReadHere(without), AsTheLibraryReadsIt(without)) << without;
  }
}

TEST(JsonTest, FindsMembersOfTheRightKindOnly) {
  const Json object = *ParseJson(R"({"t":"x","n":7,"m":-7,"f":1.5,"b":true,"z":null})");
  EXPECT_EQ(FindText(object, "t"), "x");
  EXPECT_EQ(FindText(object, "n"), "");
  EXPECT_EQ(FindCount(object, "n"), 7U);
  EXPECT_EQ(FindCount(object, "m"), std::nullopt);
  EXPECT_EQ(FindCount(object, "f"), std::nullopt);
  EXPECT_TRUE(FindFlag(object, "b"));
  EXPECT_FALSE(FindFlag(object, "t"));
  EXPECT_EQ(Find(object, "z"), nullptr);
  EXPECT_EQ(Find(Json(3), "z"), nullptr);
}

}  // namespace
}  // namespace rota::provider
