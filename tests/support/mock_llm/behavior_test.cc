#include "tests/support/mock_llm/behavior.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(BehaviorTest, ReadsTheFlagForm) {
  const auto behavior = ParseBehavior(
      "429:retry-after=5:x-ratelimit-remaining-requests=0:first=3:delay=20ms:code=insufficient_"
      "quota:hang");

  ASSERT_TRUE(behavior.ok()) << behavior.status();
  EXPECT_EQ(behavior->status, 429);
  EXPECT_THAT(behavior->headers,
              ElementsAre(Pair("retry-after", "5"), Pair("x-ratelimit-remaining-requests", "0")));
  EXPECT_EQ(behavior->first, 3u);
  EXPECT_EQ(behavior->delay, std::chrono::milliseconds(20));
  EXPECT_EQ(behavior->code, "insufficient_quota");
  EXPECT_TRUE(behavior->hang);
}

TEST(BehaviorTest, NamesTheItemThatItDoesNotKnow) {
  EXPECT_THAT(std::string(ParseBehavior("429:retry=5").status().message()), HasSubstr("'retry=5'"));
  EXPECT_THAT(std::string(ParseBehavior("99").status().message()),
              HasSubstr("99 is not in 200..599"));
  EXPECT_THAT(std::string(ParseBehavior("first=x").status().message()), HasSubstr("whole number"));
  EXPECT_FALSE(ParseBehavior("").ok());
  EXPECT_FALSE(ParseBehavior("x-a=1\r\nx-b: 2").ok());
}

TEST(BehaviorTest, JsonFormComesBackAsItWent) {
  const nlohmann::json json = nlohmann::json::parse(R"({"status":503,"headers":{"retry-after":"1"},
      "body":"b","content_type":"text/plain","code":"c","hang":true,"close":true,"reset":true,"delay":"1s",
      "chunk_interval":"5ms","chunks":2,"answer_bytes":3,"cut_after_bytes":4,"cut_after_chunks":5,
      "stall_after_chunks":6,"malformed_chunk":7,"first":8})");

  const auto behavior = BehaviorFromJson(json);

  ASSERT_TRUE(behavior.ok()) << behavior.status();
  EXPECT_EQ(BehaviorToJson(*behavior), json);
}

TEST(BehaviorTest, JsonFormRefusesWrongTypesByName) {
  for (const char* text :
       {R"({"status":"429"})", R"({"headers":[]})", R"({"hang":1})", R"({"first":-1})",
        R"({"delay":"soon"})", R"({"code":1})", R"({"unknown":1})", R"([])"}) {
    EXPECT_FALSE(BehaviorFromJson(nlohmann::json::parse(text)).ok()) << text;
  }
}

TEST(BehaviorBookTest, HoldsForTheFirstRequestsOnly) {
  BehaviorBook book;
  Behavior twice;
  twice.status = 429;
  twice.first = 2;
  ASSERT_TRUE(book.Set({{"a", twice}}).ok());
  const auto rules = book.Get();

  EXPECT_NE(BehaviorBook::Take(*rules, "a"), nullptr);
  EXPECT_EQ(BehaviorBook::Take(*rules, "b"), nullptr);
  EXPECT_NE(BehaviorBook::Take(*rules, "a"), nullptr);
  EXPECT_EQ(BehaviorBook::Take(*rules, "a"), nullptr);
}

TEST(BehaviorBookTest, StarIsEveryModelWithoutARuleOfItsOwn) {
  BehaviorBook book;
  Behavior own;
  own.status = 500;
  Behavior any;
  any.status = 429;
  ASSERT_TRUE(book.Set({{"a", own}, {"*", any}}).ok());

  EXPECT_EQ(BehaviorBook::Take(*book.Get(), "a")->status, 500);
  EXPECT_EQ(BehaviorBook::Take(*book.Get(), "b")->status, 429);

  ASSERT_TRUE(book.Set({{"*", std::nullopt}}).ok());
  EXPECT_EQ(BehaviorBook::Take(*book.Get(), "b"), nullptr);
}

TEST(BehaviorBookTest, IsBounded) {
  BehaviorBook book;
  std::vector<std::pair<std::string, std::optional<Behavior>>> many;
  for (size_t i = 0; i <= BehaviorBook::kMaxRules; ++i) {
    many.emplace_back(std::to_string(i), Behavior{});
  }

  EXPECT_EQ(book.Set(many).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(book.Get()->empty());
}

}  // namespace
}  // namespace rota::mock_llm
