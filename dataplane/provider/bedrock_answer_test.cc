#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/test_frames.h"
#include "dataplane/provider/test_requests.h"
#include "dataplane/provider/test_streams.h"
#include "tests/support/recordings.h"

namespace rota::provider {
namespace {

using test::ReadRecordedStream;
using test::ReadRecording;
using test::RecordingsFolder;
using ::testing::HasSubstr;
using ::testing::Not;
using testing_frames::AmazonEvent;
using testing_frames::AmazonEventOfRecording;
using testing_frames::AmazonException;
using testing_requests::Member;
using testing_streams::kContext;
using testing_streams::Reading;
using testing_streams::ReadStream;

const BedrockTranslator kBedrock;

// The answer's document; null when it was not understood.
Json Answer(std::string_view body, const AnswerContext& context = kContext) {
  const absl::StatusOr<TranslatedAnswer> answer = kBedrock.ChatAnswer(body, context);
  return answer.ok() ? *ParseJson(answer->body) : Json();
}

Json Message(std::string_view content, std::string_view stop_reason = "end_turn") {
  const std::string body = R"({"output":{"message":{"role":"assistant","content":)" +
                           std::string(content) + R"(}},"stopReason":")" +
                           std::string(stop_reason) + R"(","usage":{"inputTokens":1}})";
  Json answer = Answer(body);
  return answer.is_null() ? answer : answer["choices"][0];
}

TEST(BedrockAnswerTest, ReadsRecordedAnswers) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings; set ROTA_SHARED_DIR";
  }
  const Json text = Answer(ReadRecording("bedrock/amazon-bedrock-text.json"));
  const Json call = Answer(ReadRecording("bedrock/amazon-bedrock-tool-call.1.json"));

  EXPECT_THAT(std::string(text["choices"][0]["message"]["content"]), HasSubstr("**3** \"r\"s"));
  EXPECT_EQ(text["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(text["usage"]["prompt_tokens"], 22);
  EXPECT_EQ(text["usage"]["completion_tokens"], 57);
  EXPECT_EQ(text["usage"]["total_tokens"], 79);
  EXPECT_EQ(text["id"], "chatcmpl-1");
  EXPECT_EQ(text["model"], "the-model");
  EXPECT_EQ(call["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(call["choices"][0]["message"]["content"].is_null());
  EXPECT_EQ(Member(call["choices"][0]["message"], "tool_calls"),
            R"([{"id":"tool-use-id","type":"function","function":)"
            R"({"name":"bash","arguments":"{\"command\":\"ls -l\"}"}}])");
}

TEST(BedrockAnswerTest, ReadsRecordedStreams) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings; set ROTA_SHARED_DIR";
  }
  const Reading text = ReadStream(
      kBedrock,
      ReadRecordedStream("bedrock/amazon-bedrock-text.chunks.txt", AmazonEventOfRecording));
  const Reading call = ReadStream(
      kBedrock,
      ReadRecordedStream("bedrock/amazon-bedrock-tool-call.1.chunks.txt", AmazonEventOfRecording));

  EXPECT_EQ(text.content,
            "Let me count the \"r\"s in \"strawberry\":\n\ns-t-**r**-a-w-b-e-**r**-**r**-y\n\n"
            "There are **3** r's in \"strawberry.\"");
  EXPECT_EQ(text.finish_reason, "stop");
  EXPECT_EQ(DumpJson(text.usage),
            R"({"prompt_tokens":22,"completion_tokens":55,"total_tokens":77})");
  EXPECT_TRUE(text.done);
  ASSERT_EQ(call.calls.size(), 1u);
  EXPECT_EQ(call.calls[0].id, "tool-use-id");
  EXPECT_EQ(call.calls[0].name, "test-tool");
  EXPECT_EQ(call.calls[0].arguments, R"({"value":"Sparkle Day"})");
  EXPECT_EQ(call.finish_reason, "tool_calls");
  EXPECT_EQ(call.usage["total_tokens"], 170) << "reported before the end";
  EXPECT_TRUE(call.done);
}

TEST(BedrockAnswerTest, FinishReasonsAreOpenAisWords) {
  const std::pair<const char*, const char*> reasons[] = {
      {"end_turn", "stop"},
      {"stop_sequence", "stop"},
      {"max_tokens", "length"},
      {"model_context_window_exceeded", "length"},
      {"guardrail_intervened", "content_filter"},
      {"content_filtered", "content_filter"},
      {"something_new", "stop"}};
  for (const auto& [theirs, ours] : reasons) {
    EXPECT_EQ(Message(R"([{"text":"x"}])", theirs)["finish_reason"], ours) << theirs;
  }
  const absl::StatusOr<TranslatedAnswer> answer = kBedrock.ChatAnswer(
      R"({"output":{"message":{"content":[]}},"stopReason":"something_new"})", kContext);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->unknown.finish_reason, "something_new");
}

TEST(BedrockAnswerTest, CachedTokensArePartOfThePrompt) {
  const absl::StatusOr<TranslatedAnswer> answer = kBedrock.ChatAnswer(
      R"({"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"end_turn","usage":
          {"inputTokens":10,"cacheReadInputTokens":200,"cacheWriteInputTokens":30,
           "outputTokens":5,"totalTokens":15}})",
      kContext);

  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->usage, (Usage{240, 5, 200, {}, 245}));
}

TEST(BedrockAnswerTest, ThoughtsQuotesAndCallsOfTheServiceStayApart) {
  const Json choice = Message(R"([
      {"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"abc"}}},
      {"toolUse":{"type":"server_tool_use","toolUseId":"s","name":"search","input":{}}},
      {"toolResult":{"toolUseId":"s","content":[{"text":"found"}]}},
      {"text":"So "},{"citationsContent":{"content":[{"text":"it is."}],"citations":[]}},
      {"toolUse":{"toolUseId":"t","name":"get"}}])",
                              "tool_use");

  EXPECT_EQ(choice["message"]["reasoning_content"], "Hm.");
  EXPECT_EQ(choice["message"]["content"], "So it is.");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], "{}");
  EXPECT_THAT(DumpJson(choice), Not(HasSubstr("abc")));
}

TEST(BedrockAnswerTest, ACallOfThePlaceholderIsNobodys) {
  const std::string name(BedrockTranslator::kPlaceholderTool);
  const Json choice =
      Message(R"([{"toolUse":{"toolUseId":"t","name":")" + name + R"(","input":{}}}])", "tool_use");

  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  EXPECT_EQ(choice["message"]["content"], "");
}

AnswerContext StructuredContext() {
  static const AnswerPlan plan = [] {
    AnswerPlan structured;
    structured.is_stream = true;
    structured.output_tool = "json_output";
    return structured;
  }();
  AnswerContext context = kContext;
  context.plan = &plan;
  return context;
}

TEST(BedrockAnswerTest, StructuredOutputIsTheContent) {
  const Json answer = Answer(R"({"output":{"message":{"content":[{"text":"Here: "},
                 {"toolUse":{"toolUseId":"t","name":"json_output","input":{"b":1,"a":2}}}]}},
                 "stopReason":"tool_use"})",
                             StructuredContext());

  EXPECT_EQ(answer["choices"][0]["message"]["content"], R"({"b":1,"a":2})");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(answer["choices"][0]["message"].contains("tool_calls"));
}

TEST(BedrockAnswerTest, WhatIsNoAnswerIsAnError) {
  for (const char* body : {"", "<html>", "[]", "{}", R"({"output":{"message":{}}})",
                           R"({"output":{"message":{"content":"x"}}})"}) {
    EXPECT_EQ(kBedrock.ChatAnswer(body, kContext).status().code(), absl::StatusCode::kDataLoss)
        << body;
  }
}

std::string Call(int index, const std::string& name) {
  return AmazonEvent("contentBlockStart", R"({"contentBlockIndex":)" + std::to_string(index) +
                                              R"(,"start":{"toolUse":{"toolUseId":"id)" +
                                              std::to_string(index) + R"(","name":")" + name +
                                              R"("}},"p":"abcdef"})");
}

std::string Delta(int index, const std::string& delta) {
  return AmazonEvent("contentBlockDelta", R"({"contentBlockIndex":)" + std::to_string(index) +
                                              R"(,"delta":)" + delta + R"(,"p":"abc"})");
}

std::string Stop(int index) {
  return AmazonEvent("contentBlockStop", R"({"contentBlockIndex":)" + std::to_string(index) + "}");
}

std::string End(const std::string& reason) {
  return AmazonEvent("messageStop", R"({"stopReason":")" + reason + R"("})");
}

const std::string kStart = AmazonEvent("messageStart", R"({"role":"assistant"})");

TEST(BedrockStreamTest, CallsHaveIndexesWithoutGapsAndArguments) {
  const Reading reading = ReadStream(
      kBedrock,
      kStart + Delta(0, R"({"text":"Let me see."})") + Stop(0) + Call(1, "first") + Stop(1) +
          AmazonEvent("contentBlockStart",
                      R"({"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"s",)"
                      R"("name":"search","type":"server_tool_use"}}})") +
          Delta(2, R"({"toolUse":{"input":"{\"q\":1}"}})") + Stop(2) + Call(3, "second") +
          Delta(3, R"({"toolUse":{"input":""}})") + Delta(3, R"({"toolUse":{"input":"{\"a\":"}})") +
          Delta(3, R"({"toolUse":{"input":"1}"}})") + End("tool_use"));

  EXPECT_EQ(reading.content, "Let me see.");
  ASSERT_EQ(reading.calls.size(), 2u);
  EXPECT_EQ(reading.calls[0].id, "id1");
  EXPECT_EQ(reading.calls[0].arguments, "{}");
  EXPECT_EQ(reading.calls[1].name, "second");
  EXPECT_EQ(reading.calls[1].arguments, R"({"a":1})");
  EXPECT_EQ(reading.finish_reason, "tool_calls");
  EXPECT_TRUE(reading.done);
}

TEST(BedrockStreamTest, ANewEventIsLeftOutAndRemembered) {
  const AnswerPlan plan;
  const auto stream = kBedrock.NewStream({&plan, "m", "id", 0});
  std::string out;
  EXPECT_EQ(stream->Add({"messageStart", R"({"role":"assistant"})", false}, out),
            StreamState::kOpen);
  EXPECT_EQ(stream->unknown().event, "");
  out.clear();
  EXPECT_EQ(stream->Add({"newEvent", "{}", false}, out), StreamState::kOpen);
  EXPECT_EQ(stream->unknown().event, "newEvent");
  EXPECT_EQ(out, "");
}

TEST(BedrockStreamTest, ThoughtsAreNoContent) {
  const Reading reading =
      ReadStream(kBedrock, kStart + Delta(0, R"({"reasoningContent":{"text":"Hm."}})") +
                               Delta(0, R"({"reasoningContent":{"signature":"abc"}})") + Stop(0) +
                               Delta(1, R"({"text":"Yes."})") + End("end_turn"));

  EXPECT_EQ(reading.reasoning, "Hm.");
  EXPECT_EQ(reading.content, "Yes.");
}

TEST(BedrockStreamTest, StructuredOutputIsTheContent) {
  const std::string stream = kStart + Call(0, "json_output");

  EXPECT_EQ(ReadStream(kBedrock,
                       stream + Delta(0, R"({"toolUse":{"input":"{\"a\":1}"}})") + Stop(0) +
                           Delta(1, R"({"text":"Done."})") + End("tool_use"),
                       StructuredContext())
                .content,
            R"({"a":1})");
  const Reading empty =
      ReadStream(kBedrock, stream + Stop(0) + End("tool_use"), StructuredContext());
  EXPECT_EQ(empty.content, "{}");
  EXPECT_EQ(empty.finish_reason, "stop");
}

TEST(BedrockStreamTest, UsageMayComeBeforeOrBehindTheEndAndTheLastValueWins) {
  const std::string usage =
      AmazonEvent("metadata", R"({"usage":{"inputTokens":5,"outputTokens":6,"totalTokens":11}})");
  const std::string other =
      AmazonEvent("metadata", R"({"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}})");
  const std::string text = kStart + Delta(0, R"({"text":"x"})");

  for (const std::string& stream :
       {text + other + usage + End("end_turn"), text + other + End("end_turn") + usage}) {
    const Reading reading = ReadStream(kBedrock, stream);

    EXPECT_EQ(reading.usage["total_tokens"], 11);
    EXPECT_TRUE(reading.done);
  }
}

TEST(BedrockStreamTest, ATruncatedStreamIsNeverDone) {
  const std::string whole = kStart + Delta(0, R"({"text":"x"})");

  EXPECT_FALSE(ReadStream(kBedrock, whole).done);
  EXPECT_FALSE(ReadStream(kBedrock, whole + End("end_turn").substr(0, 40)).done);
  EXPECT_FALSE(ReadStream(kBedrock, "").done);
}

TEST(BedrockStreamTest, ExceptionsAreErrorEventsInOpenAisWords) {
  const std::pair<const char*, const char*> exceptions[] = {
      {"throttlingException", "rate_limit_exceeded"},
      {"validationException", "invalid_request_error"},
      {"internalServerException", "server_error"},
      {"modelStreamErrorException", "server_error"},
      {"serviceUnavailableException", "overloaded"},
      {"somethingElseException", ""}};
  for (const auto& [theirs, ours] : exceptions) {
    const Reading reading = ReadStream(
        kBedrock, kStart + AmazonException(theirs, R"({"message":"Too many tokens for "})") +
                      Delta(0, R"({"text":"never shown"})"));

    EXPECT_EQ(FindText(reading.error, "code"), ours) << theirs;
    EXPECT_THAT(std::string(FindText(reading.error, "message")), HasSubstr("Too many tokens"));
    EXPECT_EQ(reading.content, "");
    EXPECT_FALSE(reading.done);
  }
}

TEST(BedrockStreamTest, AnotherAnswerInsideThisOneIsAnError) {
  EXPECT_TRUE(
      ReadStream(kBedrock, kStart + kStart + Delta(0, R"({"text":"x"})") + End("end_turn")).done);
  const Reading reading =
      ReadStream(kBedrock, kStart + Call(0, "a") + kStart + Call(0, "b") + End("tool_use"));
  EXPECT_FALSE(reading.error.is_null());
  EXPECT_FALSE(reading.done);
}

TEST(BedrockStreamTest, WhatIsNotUnderstoodIsSkipped) {
  const Reading reading = ReadStream(
      kBedrock, kStart + AmazonEvent("somethingNew", "{}") +
                    AmazonEvent("contentBlockDelta", "{}") +
                    AmazonEvent("contentBlockDelta", R"({"delta":{"image":{}}})") +
                    AmazonEvent("contentBlockStop", "{}") + AmazonEvent("contentBlockStart", "[]") +
                    Delta(7, R"({"toolUse":{"input":"{}"}})") + Delta(1, R"({"text":"x"})") +
                    End("end_turn") + Delta(1, R"({"text":"y"})"));

  EXPECT_EQ(reading.content, "x");
  EXPECT_TRUE(reading.done);
}

TEST(BedrockStreamTest, OpenBlocksAreBounded) {
  std::string stream = kStart;
  for (int index = 0; index < 3000; ++index) {
    stream += Call(index, "a");
  }
  const Reading reading =
      testing_streams::ReadEvents(testing_streams::Relay(kBedrock, stream + End("tool_use"), 4096));

  EXPECT_EQ(reading.calls.size(), 64u);
  EXPECT_TRUE(reading.done);
}

OpenAiError Error(int status, std::string_view type, std::string_view body) {
  return kBedrock.ErrorAnswer({status, body, type});
}

TEST(BedrockErrorTest, ErrorsKeepTheirMessageAndGetOpenAisWords) {
  const OpenAiError throttled = Error(429, "ThrottlingException:http://internal.amazon.com/",
                                      R"({"message":"Too many requests"})");
  const OpenAiError signature =
      Error(403, "InvalidSignatureException", R"({"message":"The signature does not match"})");
  const OpenAiError timeout = Error(408, "ModelTimeoutException", R"({"message":"slow"})");

  EXPECT_EQ(throttled.status, 429);
  EXPECT_EQ(throttled.code, "rate_limit_exceeded");
  EXPECT_EQ(throttled.message, "Too many requests");
  EXPECT_EQ(signature.status, 401);
  EXPECT_EQ(signature.code, "invalid_api_key");
  EXPECT_EQ(timeout.status, 504);
}

TEST(BedrockErrorTest, ReadsEveryPlaceOfNameAndMessage) {
  const OpenAiError error =
      Error(400, "", R"({"__type":"com.amazon.coral.service#ValidationException","Message":"no"})");

  EXPECT_EQ(error.code, "invalid_request_error");
  EXPECT_EQ(error.message, "no");
}

TEST(BedrockErrorTest, APromptThatDoesNotFitHasOpenAisCode) {
  EXPECT_EQ(
      Error(400, "ValidationException", R"({"message":"Input is too long for requested model."})")
          .code,
      "context_length_exceeded");
}

TEST(BedrockErrorTest, ABodyThatIsNotUnderstoodSaysTheStatus) {
  for (const char* body : {"", "<html>", "[1]", R"({"message":5})"}) {
    const OpenAiError error = Error(503, "", body);

    EXPECT_EQ(error.status, 503);
    EXPECT_THAT(error.message, HasSubstr("503")) << body;
  }
}

TEST(BedrockErrorTest, AccountsAndArnsAreNotShown) {
  const std::string text = RenderError(Error(
      403, "AccessDeniedException",
      R"({"message":"User: arn:aws:iam::123456789012:user/bob is not authorized to perform: )"
      R"(bedrock:InvokeModel on resource: arn:aws:bedrock:eu-west-1:123456789012:model/m"})"));

  EXPECT_THAT(text, HasSubstr("is not authorized to perform"));
  EXPECT_THAT(text, Not(HasSubstr("123456789012")));
  EXPECT_THAT(text, Not(HasSubstr("bob")));
}

Json EmbeddingsOf(std::string_view body, bool base64 = false) {
  AnswerPlan plan;
  plan.base64 = base64;
  AnswerContext context = kContext;
  context.plan = &plan;
  const absl::StatusOr<TranslatedAnswer> answer = kBedrock.EmbeddingsAnswer(body, context);
  return answer.ok() ? *ParseJson(answer->body) : Json();
}

TEST(BedrockEmbeddingsTest, ReadsTitansAndCoheresAnswers) {
  const Json titan = EmbeddingsOf(R"({"embedding":[0.5,-1],"inputTextTokenCount":3})");
  const Json cohere = EmbeddingsOf(R"({"embeddings":[[1,2],[3,4]],"id":"x"})");
  const Json typed = EmbeddingsOf(R"({"embeddings":{"float":[[1,2]]}})");

  EXPECT_EQ(Member(titan["data"][0], "embedding"), "[0.5,-1]");
  EXPECT_EQ(titan["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(titan["usage"]["total_tokens"], 3);
  EXPECT_EQ(cohere["data"].size(), 2u);
  EXPECT_EQ(cohere["data"][1]["index"], 1);
  EXPECT_EQ(Member(typed["data"][0], "embedding"), "[1,2]");
}

TEST(BedrockEmbeddingsTest, Base64IsMadeOfNumbers) {
  const Json answer = EmbeddingsOf(R"({"embedding":[1,-2]})", /*base64=*/true);

  EXPECT_EQ(answer["data"][0]["embedding"], "AACAPwAAAMA=");
}

TEST(BedrockEmbeddingsTest, WhatIsNoEmbeddingIsAnError) {
  for (const char* body : {"", "{}", R"({"embedding":"x"})", R"({"embeddings":[["a"]]})",
                           R"({"embeddings":[]})", R"({"embeddings":{"int8":[[1]]}})"}) {
    EXPECT_TRUE(EmbeddingsOf(body).is_null()) << body;
  }
}

}  // namespace
}  // namespace rota::provider
