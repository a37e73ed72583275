#include "dataplane/engine/translation.h"

#include <memory>
#include <string>

#include "dataplane/provider/field_rules.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kStart[] =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","
    "\"model\":\"c\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
constexpr char kText[] =
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
    "\"text\":\"Hi\"}}\n\n";
constexpr char kStop[] = "data: {\"type\":\"message_stop\"}\n\n";
constexpr char kOverloaded[] =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
    "\"message\":\"Overloaded\"}}\n\n";

class TranslationTest : public testing::Test {
 protected:
  TranslationTest() {
    endpoint_.provider = "anthropic";
    endpoint_.translator = provider::TranslatorFor("anthropic", "", endpoint_.options);
  }

  absl::StatusOr<std::unique_ptr<Translation>> Make(
      std::string_view body,
      provider::OpenAiOperation operation = provider::OpenAiOperation::kChat) {
    Translation::Input input;
    input.operation = operation;
    input.endpoint = &endpoint_;
    input.model = "claude";
    input.body = body;
    input.request_id = "r1";
    input.unix_time = 1767225600;
    return Translation::Make(input);
  }
  std::unique_ptr<Translation> Stream(const std::string& members = "") {
    return *Make(R"({"stream":true,"messages":[{"role":"user","content":"x"}])" + members + "}");
  }
  // REQUIRES: `text` lives as long as the head.
  static ResponseHead Head(std::string_view text) {
    ResponseHead head;
    EXPECT_EQ(ParseResponseHead(text, head), HeadError::kNone);
    return head;
  }
  static ResponseHead Ok() {
    return Head("HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n\r\n");
  }

  table::Endpoint endpoint_;
};

TEST_F(TranslationTest, SaysWhatIsWrongWithARequest) {
  EXPECT_THAT(provider::ProblemOf(Make("{").status()).message, HasSubstr("the body is not valid"));
  EXPECT_THAT(provider::ProblemOf(Make("[]").status()).message, HasSubstr("must be a JSON object"));
  EXPECT_EQ(provider::ProblemOf(Make("{}").status()).field, "messages");
  EXPECT_EQ(provider::ProblemOf(Make("{}", provider::OpenAiOperation::kCompletions).status()).field,
            "prompt");
  EXPECT_EQ(provider::ProblemOf(Make("{}", provider::OpenAiOperation::kEmbeddings).status()).field,
            "input");
}

TEST_F(TranslationTest, AWholeAnswerNamesWhatWasDropped) {
  const auto translation =
      *Make(R"({"seed":1,"store":true,"messages":[{"role":"user","content":"x"}]})");
  const Translation::Answer answer =
      *translation->Whole(Ok(), R"({"id":"m","content":[{"type":"text","text":"Hi"}]})");
  const ResponseHead head = Head(answer.head);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Find("x-rota-dropped"), "seed,store");
  EXPECT_THAT(answer.body, HasSubstr(R"("content":"Hi")"));
}

TEST_F(TranslationTest, AnAnswerThatMakesNoSenseIsDataLoss) {
  const auto translation = *Make(R"({"messages":[{"role":"user","content":"x"}]})");
  for (const std::string_view body : {"", "{}", "<html>", "{\"content\":7}"}) {
    EXPECT_EQ(translation->Whole(Ok(), body).status().code(), absl::StatusCode::kDataLoss) << body;
  }
  const ResponseHead coded =
      Head("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: br\r\n\r\n");
  EXPECT_EQ(translation->Whole(coded, "{}").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(TranslationTest, ErrorsKeepWhenToComeBack) {
  const auto translation = *Make(R"({"messages":[{"role":"user","content":"x"}]})");
  const ResponseHead upstream =
      Head("HTTP/1.1 529 Overloaded\r\nretry-after: 7\r\nanthropic-organization-id: o\r\n\r\n");
  const Translation::Answer answer = *translation->Whole(upstream, "no JSON");
  const ResponseHead head = Head(answer.head);
  EXPECT_EQ(head.status, 503);
  EXPECT_EQ(head.Find("retry-after"), "7");
  EXPECT_THAT(answer.head, Not(HasSubstr("organization")));
  EXPECT_THAT(answer.body, HasSubstr(R"("type":"server_error")"));
}

TEST_F(TranslationTest, AStreamIsFollowedCutAnywhere) {
  const std::string bytes = std::string(kStart) + kText + kStop;
  std::string whole;
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const auto translation = Stream(R"(,"stream_options":{"include_usage":true})");
    std::string out;
    EXPECT_TRUE(translation->Add(std::string_view(bytes).substr(0, cut), out));
    EXPECT_TRUE(translation->Add(std::string_view(bytes).substr(cut), out));
    EXPECT_TRUE(translation->Finish(out));
    EXPECT_EQ(translation->usage().prompt, 3U);
    if (whole.empty()) {
      whole = out;
    }
    ASSERT_EQ(out, whole) << "cut at " << cut;
  }
  EXPECT_THAT(whole, HasSubstr(R"("delta":{"content":"Hi"})"));
  EXPECT_THAT(whole, EndsWith("data: [DONE]\n\n"));
}

TEST_F(TranslationTest, AStreamWithoutItsEndHasNotEnded) {
  const auto translation = Stream();
  std::string out;
  EXPECT_TRUE(translation->Add(kStart, out));
  EXPECT_FALSE(translation->Finish(out));
  EXPECT_THAT(out, Not(HasSubstr("[DONE]")));
}

TEST_F(TranslationTest, AnErrorEventEndsAStream) {
  const auto translation = Stream();
  std::string out;
  EXPECT_FALSE(translation->Add(std::string(kStart) + kOverloaded + kText, out));
  ASSERT_TRUE(translation->error().has_value());
  EXPECT_EQ(translation->error()->name, "error");
  EXPECT_THAT(out, HasSubstr(R"({"error":{"message":"Overloaded")"));
  EXPECT_THAT(out, Not(HasSubstr("Hi")));
}

TEST_F(TranslationTest, AnErrorEventIsKeptWholeBehindALongMessage) {
  const std::string data = R"({"error":{"message":")" + std::string(40 << 10, 'x') +
                           R"(","type":"rate_limit_error"},"type":"error"})";
  const auto translation = Stream();
  ASSERT_TRUE(translation->FindError("event: error\ndata: " + data + "\n\n").has_value());
  EXPECT_EQ(translation->error()->data, data);
}

TEST_F(TranslationTest, BytesThatBreakTheFramingEndAStream) {
  const auto translation = Stream();
  std::string out;
  const std::string large(provider::kMaxFrameBytes + 1, 'x');
  EXPECT_FALSE(translation->Add("data: " + large, out));
  EXPECT_FALSE(translation->error().has_value()) << "no evidence against the target";
  EXPECT_THAT(out, HasSubstr(R"({"error":{)"));
}

TEST_F(TranslationTest, AStreamThatBeginsWithAnErrorHasAStatusOfItsOwn) {
  const auto translation = Stream();
  ASSERT_TRUE(translation->FindError(kOverloaded).has_value());
  const Translation::Answer answer = translation->OfError(Ok());
  EXPECT_EQ(Head(answer.head).status, 503);
  EXPECT_THAT(answer.body, HasSubstr(R"("code":"overloaded")"));
  EXPECT_FALSE(Stream()->FindError(kStart).has_value());
}

TEST_F(TranslationTest, KnowsAStreamByItsHead) {
  const auto stream = Stream();
  EXPECT_TRUE(stream->Streams(Head("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")));
  EXPECT_FALSE(
      stream->Streams(Head("HTTP/1.1 200 OK\r\ncontent-type: Application/JSON\t;a=b\r\n\r\n")));
  EXPECT_FALSE(stream->Streams(Ok())) << "a server that cannot stream";
  EXPECT_FALSE(stream->Streams(Head("HTTP/1.1 429 x\r\ncontent-type: text/event-stream\r\n\r\n")));
  const auto whole = *Make(R"({"messages":[{"role":"user","content":"x"}]})");
  EXPECT_FALSE(whole->Streams(Head("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")));
}

}  // namespace
}  // namespace rota::engine
