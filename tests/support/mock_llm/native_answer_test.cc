#include "tests/support/mock_llm/native_answer.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/mock_llm/answer.h"

namespace rota::mock_llm {
namespace {

TEST(NativeFormTest, IsToldFromThePath) {
  EXPECT_EQ(NativeFormOf("/api/chat"), NativeForm::kOllama);
  EXPECT_EQ(NativeFormOf("/v1/messages"), NativeForm::kAnthropic);
  EXPECT_EQ(NativeFormOf("/model/amazon.nova-lite-v1%3A0/converse"), NativeForm::kBedrock);
  EXPECT_FALSE(NativeFormOf("/v1/chat/completions"));
  EXPECT_FALSE(NativeFormOf("/converse"));
}

TEST(NativeFormTest, BedrocksModelIsInThePathAndPercentEncoded) {
  EXPECT_EQ(BedrockModelOf("/model/amazon.nova-lite-v1%3a0/converse"), "amazon.nova-lite-v1:0");
  EXPECT_EQ(BedrockModelOf("/model/a%2Fb%zz/converse"), "a/b%zz");
}

// The model that answered, and the text, as the provider's clients find them.
TEST(NativeAnswerTest, EachProviderIsAnsweredInItsOwnForm) {
  struct Row {
    const char* path;
    const char* body;
    const char* text_at;
  };
  for (const Row& row : {
           Row{"/api/chat", R"({"model":"m:1","messages":[{"role":"user"}],"stream":false})",
               "/message/content"},
           Row{"/v1/messages", R"({"model":"m:1","messages":[{"role":"user"}],"max_tokens":9})",
               "/content/0/text"},
           Row{"/model/m%3A1/converse", R"({"messages":[{"role":"user"}]})",
               "/output/message/content/0/text"},
       }) {
    const Answer answer = MakeAnswer({}, {}, {"POST", row.path, row.body, ""}, 1, 0);
    EXPECT_EQ(answer.status, 200) << row.path;
    EXPECT_EQ(answer.model, "m:1") << row.path;
    const nlohmann::json body = nlohmann::json::parse(answer.body, nullptr, false);
    const nlohmann::json::json_pointer text(row.text_at);
    ASSERT_TRUE(body.contains(text)) << answer.body;
    EXPECT_EQ(body[text].get<std::string>().size(), AnswerOptions().answer_bytes);
  }
}

TEST(NativeAnswerTest, AnthropicStreamsItsEvents) {
  const std::string_view body = R"({"model":"m","messages":[{}],"stream":true})";
  AnswerOptions options;
  options.chunks = 3;
  const Answer answer = MakeAnswer(options, {}, {"POST", "/v1/messages", body, ""}, 1, 0);
  ASSERT_NE(answer.events, nullptr);
  std::string text;
  std::string types;
  for (std::string event; !(event = answer.events->Next({})).empty();) {
    const nlohmann::json data = nlohmann::json::parse(event.substr(event.find('{')));
    types += data["type"].get<std::string>() + " ";
    text += data.value(nlohmann::json::json_pointer("/delta/text"), "");
  }
  EXPECT_EQ(types,
            "message_start content_block_start content_block_delta content_block_delta "
            "content_block_delta content_block_stop message_delta message_stop ");
  EXPECT_EQ(text.size(), options.answer_bytes);
}

TEST(NativeAnswerTest, OtherStreamsAreRefusedAndFailuresAreMadeHereToo) {
  const std::string_view stream = R"({"model":"m","messages":[{}],"stream":true})";
  EXPECT_EQ(MakeAnswer({}, {}, {"POST", "/api/chat", stream, ""}, 1, 0).status, 400);
  BehaviorBook book;
  ASSERT_TRUE(book.Set({{"m", ParseBehavior("429").value()}}).ok());
  const std::string_view whole = R"({"model":"m","messages":[{}]})";
  EXPECT_EQ(MakeAnswer({}, *book.Get(), {"POST", "/api/chat", whole, ""}, 1, 0).status, 429);
}

}  // namespace
}  // namespace rota::mock_llm
