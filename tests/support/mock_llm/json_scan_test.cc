#include "tests/support/mock_llm/json_scan.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

TEST(JsonScanTest, FindsTopLevelMembersAndOnlyThose) {
  const std::string text =
      R"( { "a" : {"model":"inner"}, "model" :"gpt-4o" ,"n":[1, {"model": 2}] } )";

  const auto members = ScanObject(text);

  ASSERT_TRUE(members.ok()) << members.status();
  ASSERT_EQ(members->size(), 3u);
  EXPECT_EQ(FindMember(*members, "model"), "\"gpt-4o\"");
  EXPECT_EQ(FindMember(*members, "n"), "[1, {\"model\": 2}]");
  EXPECT_EQ(FindMember(*members, "absent"), "");
}

TEST(JsonScanTest, SaysWhereTheTextIsWrong) {
  const auto members = ScanObject(R"({"a":1,})");

  EXPECT_EQ(members.status().message(), "at byte 7: expected a string");
}

TEST(JsonScanTest, RefusesDeepNestingInsteadOfOverflowingTheStack) {
  const std::string text = "{\"a\":" + std::string(100'000, '[');

  EXPECT_FALSE(ScanObject(text).ok());
}

// Cuts, doubles and changes bytes of a valid text: both parsers must agree on what is still JSON.
TEST(JsonScanTest, AgreesWithAnotherParserOnDamagedTexts) {
  const std::string seed =
      R"({"model":"gpt-4o","t":-0.5e+3,"b":true,"n":null,"messages":[{"role":"user","content":"a\u00e9\n\"x"}]})";
  std::mt19937 random(7);
  const std::string alphabet = "{}[]\",:0123456789.eE+-\\untrfl \t\x01";
  int valid = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text = seed;
    for (auto changes = random() % 3; changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }

    // A lone surrogate escape is invalid for nlohmann and allowed by the grammar.
    const nlohmann::json other = nlohmann::json::parse(text, nullptr, false);
    const bool expected = other.is_object();
    const bool actual = ScanObject(text).ok();
    if (text.find("\\ud") == std::string::npos && text.find("\\uD") == std::string::npos) {
      ASSERT_EQ(actual, expected) << text;
    }
    valid += actual ? 1 : 0;
  }
  EXPECT_GT(valid, 10'000);
  EXPECT_LT(valid, 90'000);
}

TEST(JsonScanTest, DecodesEscapes) {
  EXPECT_EQ(*DecodeString(R"("gpt\u002d4o")"), "gpt-4o");
  EXPECT_EQ(*DecodeString(R"("plain")"), "plain");
  EXPECT_FALSE(DecodeString("12").ok());
  EXPECT_FALSE(DecodeString("").ok());
}

}  // namespace
}  // namespace rota::mock_llm
