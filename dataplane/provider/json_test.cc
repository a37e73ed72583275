#include "dataplane/provider/json.h"

#include <gtest/gtest.h>

#include <string>

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
