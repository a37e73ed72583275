#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/provider/gemini.h"
#include "dataplane/provider/partial_arguments.h"
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
using testing_frames::SseEvent;
using testing_requests::Compact;
using testing_requests::Member;
using testing_streams::kContext;
using testing_streams::Reading;
using testing_streams::ReadStream;

const GeminiTranslator kGemini;

Json Answer(std::string_view body) {
  const absl::StatusOr<TranslatedAnswer> answer = kGemini.ChatAnswer(body, kContext);
  return answer.ok() ? *ParseJson(answer->body) : Json();
}

// `members` behind the parts: ,"finishReason":"STOP"
std::string Candidate(const std::string& parts, const std::string& members = "") {
  return R"({"candidates":[{"content":{"role":"model","parts":)" + parts + "}" + members + "}]}";
}

constexpr const char* kStop = R"(,"finishReason":"STOP")";

TEST(GeminiAnswerTest, ReadsRecordedAnswers) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings; set ROTA_SHARED_DIR";
  }
  const Json text = Answer(ReadRecording("google/google-text.json"));
  const Json call = Answer(ReadRecording("google/google-tool-call.json"));

  EXPECT_THAT(std::string(text["choices"][0]["message"]["content"]), HasSubstr("There are **3**"));
  EXPECT_EQ(text["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(text["id"], "Un6LacrVMcjUxs0PmJfWoQc");
  EXPECT_EQ(text["model"], "gemini-3-pro-preview");
  EXPECT_EQ(text["usage"]["prompt_tokens"], 9);
  EXPECT_EQ(text["usage"]["completion_tokens"], 28 + 244);
  EXPECT_EQ(text["usage"]["total_tokens"], 281);
  EXPECT_EQ(text["usage"]["completion_tokens_details"]["reasoning_tokens"], 244);
  EXPECT_THAT(DumpJson(text), Not(HasSubstr("EtoFCt"))) << "no signature";
  EXPECT_EQ(call["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(call["choices"][0]["message"]["content"].is_null());
  const Json& function = call["choices"][0]["message"]["tool_calls"][0]["function"];
  EXPECT_EQ(function["name"], "weather");
  EXPECT_EQ(function["arguments"], R"({"location":"San Francisco"})");
  EXPECT_NE(call["choices"][0]["message"]["tool_calls"][0]["id"], "");
}

TEST(GeminiAnswerTest, ReadsRecordedStreams) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings; set ROTA_SHARED_DIR";
  }
  const Reading text =
      ReadStream(kGemini, ReadRecordedStream("google/google-text.chunks.txt", SseEvent));
  const Reading call =
      ReadStream(kGemini, ReadRecordedStream("google/google-tool-call.chunks.txt", SseEvent));

  EXPECT_EQ(text.content, "There are **3** \"r\"s in strawberry.\n\nst**r**awbe**rr**y");
  EXPECT_EQ(text.finish_reason, "stop");
  EXPECT_EQ(DumpJson(text.usage),
            R"({"prompt_tokens":9,"completion_tokens":208,"total_tokens":217,)"
            R"("completion_tokens_details":{"reasoning_tokens":185}})");
  EXPECT_TRUE(text.done);
  ASSERT_EQ(call.calls.size(), 1u);
  EXPECT_EQ(call.calls[0].arguments, R"({"location":"San Francisco"})");
  EXPECT_NE(call.calls[0].id, "");
  EXPECT_EQ(call.finish_reason, "tool_calls");
  EXPECT_EQ(call.model, "gemini-3-pro-preview");
}

TEST(GeminiAnswerTest, CallsGetIdsOfTheirOwn) {
  const Json answer = Answer(Candidate(
      R"([{"functionCall":{"name":"a"}},{"functionCall":{"name":"a","args":{}}},
          {"functionCall":{"id":"theirs","name":"b","args":{"x":1}}}])",
      kStop));
  const Json& calls = answer["choices"][0]["message"]["tool_calls"];

  ASSERT_EQ(calls.size(), 3u);
  EXPECT_NE(calls[0]["id"], calls[1]["id"]);
  EXPECT_EQ(calls[2]["id"], "theirs");
  EXPECT_EQ(calls[0]["function"]["arguments"], "{}");
}

TEST(GeminiAnswerTest, ThoughtsAndWhatGooglesOwnToolsDoAreNoContent) {
  const Json answer = Answer(Candidate(
      R"([{"text":"Hm.","thought":true},{"text":"So "},{"executableCode":{"code":"1+1"}},
          {"codeExecutionResult":{"output":"2"}},{"text":"it is."},
          {"text":"","thoughtSignature":"abc"}])",
      kStop));

  EXPECT_EQ(answer["choices"][0]["message"]["reasoning_content"], "Hm.");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "So it is.");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
}

TEST(GeminiAnswerTest, FinishReasonsAreOpenAisWords) {
  const std::pair<const char*, const char*> reasons[] = {{"STOP", "stop"},
                                                         {"MAX_TOKENS", "length"},
                                                         {"SAFETY", "content_filter"},
                                                         {"RECITATION", "content_filter"},
                                                         {"BLOCKLIST", "content_filter"},
                                                         {"PROHIBITED_CONTENT", "content_filter"},
                                                         {"SPII", "content_filter"},
                                                         {"MALFORMED_FUNCTION_CALL", "stop"},
                                                         {"SOMETHING_NEW", "stop"}};
  for (const auto& [theirs, ours] : reasons) {
    const std::string reason = std::string(R"(,"finishReason":")") + theirs + "\"";

    EXPECT_EQ(Answer(Candidate(R"([{"text":"x"}])", reason))["choices"][0]["finish_reason"], ours)
        << theirs;
    EXPECT_EQ(ReadStream(kGemini, SseEvent(Candidate(R"([{"text":"x"}])", reason))).finish_reason,
              ours)
        << theirs;
  }
}

constexpr const char* kBlocked =
    R"({"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}})";

TEST(GeminiAnswerTest, ABlockedPromptIsAnEmptyAnswerOfTheContentFilter) {
  const Json answer = Answer(kBlocked);
  const Reading reading = ReadStream(kGemini, SseEvent(kBlocked));

  EXPECT_EQ(answer["choices"][0]["finish_reason"], "content_filter");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "");
  EXPECT_EQ(reading.finish_reason, "content_filter");
  EXPECT_TRUE(reading.done);
  EXPECT_EQ(reading.usage["prompt_tokens"], 4);
}

TEST(GeminiAnswerTest, WhatIsNoAnswerIsAnError) {
  for (const char* body :
       {"", "<html>", "[]", "{}", R"({"candidates":[]})", R"({"candidates":1})"}) {
    EXPECT_EQ(kGemini.ChatAnswer(body, kContext).status().code(), absl::StatusCode::kDataLoss)
        << body;
  }
}

TEST(GeminiStreamTest, UsageIsTheLastValueAlsoBehindTheEnd) {
  const auto usage = [](int tokens) {
    return R"({"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":)" +
           std::to_string(tokens) + R"(,"cachedContentTokenCount":1,"toolUsePromptTokenCount":3}})";
  };
  const Reading reading =
      ReadStream(kGemini, SseEvent(usage(5)) + SseEvent(Candidate(R"([{"text":"x"}])", kStop)) +
                              SseEvent(usage(8)));

  EXPECT_EQ(DumpJson(reading.usage),
            R"({"prompt_tokens":5,"completion_tokens":8,"total_tokens":13,)"
            R"("prompt_tokens_details":{"cached_tokens":1}})");
}

TEST(GeminiStreamTest, ATruncatedStreamIsNeverDone) {
  EXPECT_FALSE(ReadStream(kGemini, SseEvent(Candidate(R"([{"text":"x"}])"))).done);
  EXPECT_FALSE(ReadStream(kGemini, "").done);
}

TEST(GeminiStreamTest, AnErrorInsideTheStreamIsAnErrorEvent) {
  const Reading reading = ReadStream(
      kGemini,
      SseEvent(Candidate(R"([{"text":"x"}])")) +
          SseEvent(R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"no"}})") +
          SseEvent(Candidate(R"([{"text":"y"}])", kStop)));

  EXPECT_EQ(reading.content, "x");
  EXPECT_EQ(reading.error["code"], "rate_limit_exceeded");
  EXPECT_FALSE(reading.done);
}

std::string CallEvent(const std::string& call) {
  return SseEvent(Compact(Candidate(R"([{"functionCall":)" + call + "}]")));
}

TEST(GeminiStreamTest, ArgumentsThatComePieceByPieceAreOneObject) {
  const std::string begin = CallEvent(R"({"name":"light","willContinue":true})") +
                            CallEvent(R"({"partialArgs":[{"jsonPath":"$.brightness",
                                "numberValue":50}],"willContinue":true})") +
                            CallEvent(R"({"partialArgs":[{"jsonPath":"$.color","stringValue":"wa",
                                "willContinue":true}],"willContinue":true})") +
                            CallEvent(R"({"partialArgs":[{"jsonPath":"$.color","stringValue":"rm"},
                                {"jsonPath":"$.rooms[0].on","boolValue":true}],
                                "willContinue":true})");
  const std::string expected = R"({"brightness":50,"color":"warm","rooms":[{"on":true}]})";
  const std::string stop = SseEvent(Candidate("[]", kStop));

  const Reading ended = ReadStream(
      kGemini, begin + CallEvent("{}") + CallEvent(R"({"name":"next","args":{"a":1}})") + stop);
  ASSERT_EQ(ended.calls.size(), 2u);
  EXPECT_EQ(ended.calls[0].arguments, expected);
  EXPECT_EQ(ended.calls[1].arguments, R"({"a":1})");
  // The end marker may be missing.
  const Reading next =
      ReadStream(kGemini, begin + CallEvent(R"({"name":"next","args":{}})") + stop);
  ASSERT_EQ(next.calls.size(), 2u);
  EXPECT_EQ(next.calls[0].arguments, expected);
  const Reading last = ReadStream(kGemini, begin + stop);
  ASSERT_EQ(last.calls.size(), 1u);
  EXPECT_EQ(last.calls[0].arguments, expected);
  EXPECT_EQ(last.finish_reason, "tool_calls");
}

TEST(GeminiStreamTest, ArgumentsThatAreTooLargeAreAnError) {
  std::string stream = CallEvent(R"({"name":"light","willContinue":true})");
  const std::string piece = CallEvent(R"({"partialArgs":[{"jsonPath":"$.a","stringValue":")" +
                                      std::string(60000, 'x') + R"("}],"willContinue":true})");
  for (int i = 0; i < 6; ++i) {
    stream += piece;
  }
  const Reading reading =
      testing_streams::ReadEvents(testing_streams::Relay(kGemini, stream, 8192));

  EXPECT_THAT(std::string(FindText(reading.error, "message")), HasSubstr("larger than the limit"));
}

std::string PartialText(std::initializer_list<const char*> pieces) {
  PartialArguments arguments;
  for (const char* piece : pieces) {
    EXPECT_TRUE(arguments.Add(*ParseJson(piece)));
  }
  return arguments.Text();
}

TEST(PartialArgumentsTest, ReadsPathsOfEveryForm) {
  EXPECT_EQ(PartialText({}), "{}");
  EXPECT_EQ(PartialText({R"({"jsonPath":"$['a b'].c","numberValue":1.5})",
                         R"({"jsonPath":"$[\"d\"][0][0]","stringValue":"x"})",
                         R"({"jsonPath":"$.d[0][1]","nullValue":"NULL_VALUE"})"}),
            R"({"a b":{"c":1.5},"d":[["x",null]]})");
}

TEST(PartialArgumentsTest, LeavesOutWhatIsNotUnderstood) {
  EXPECT_EQ(PartialText({R"({"jsonPath":"a","stringValue":"x"})", R"({"jsonPath":"$"})",
                         R"({"jsonPath":"$.","stringValue":"x"})", R"({"jsonPath":"$.ok"})",
                         R"({"jsonPath":"$x","stringValue":"x"})", R"({"stringValue":"x"})",
                         R"({"jsonPath":"$.list[5]","stringValue":"x"})",
                         R"({"jsonPath":"$.list[99999999999999999999]","stringValue":"x"})",
                         R"({"jsonPath":"$.list[-1]","stringValue":"x"})",
                         R"({"jsonPath":"$.list.name","stringValue":"x"})",
                         R"({"jsonPath":"$.n","numberValue":"x"})"}),
            R"({"ok":null,"list":[],"n":null})");
  std::string deep = "$";
  for (int i = 0; i < 200; ++i) {
    deep += "[0]";
  }
  EXPECT_EQ(PartialText({(R"({"jsonPath":"$.a","boolValue":true})"),
                         (R"({"jsonPath":")" + deep + R"(","boolValue":true})").c_str()}),
            R"({"a":true})");
}

TEST(GeminiErrorTest, ErrorsKeepTheirMessageAndGetOpenAisWords) {
  const auto error = [](int status, const std::string& body) {
    return kGemini.ErrorAnswer({status, body, ""});
  };
  const OpenAiError key = error(400, R"({"error":{"code":400,"message":"API key not valid.",
      "status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}})");
  const OpenAiError listed =
      error(404, R"([{"error":{"code":404,"message":"no model","status":"NOT_FOUND"}}])");

  EXPECT_EQ(key.status, 401);
  EXPECT_EQ(key.code, "invalid_api_key");
  EXPECT_EQ(listed.code, "model_not_found");
  EXPECT_EQ(listed.message, "no model");
  EXPECT_EQ(error(503, R"({"error":{"status":"UNAVAILABLE","message":"busy"}})").code,
            "overloaded");
  EXPECT_EQ(error(400, R"({"error":{"status":"INVALID_ARGUMENT","message":
                           "The input token count exceeds the maximum number of tokens allowed."}})")
                .code,
            "context_length_exceeded");
  for (const char* body : {"", "<html>", "[]", "5", R"({"error":"x"})"}) {
    EXPECT_THAT(error(500, body).message, HasSubstr("500")) << body;
  }
}

TEST(GeminiErrorTest, ReadsTheRecordedQuotaError) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings; set ROTA_SHARED_DIR";
  }
  const OpenAiError error =
      kGemini.ErrorAnswer({429, ReadRecording("google/google-429-retry-info.json"), ""});

  EXPECT_EQ(error.status, 429);
  EXPECT_EQ(error.code, "rate_limit_exceeded");
  EXPECT_THAT(error.message, HasSubstr("You exceeded your current quota"));
}

TEST(GeminiEmbeddingsTest, ReadsBatchesAndPredictions) {
  const auto answer = [](std::string_view body) {
    const absl::StatusOr<TranslatedAnswer> read = kGemini.EmbeddingsAnswer(body, kContext);
    return read.ok() ? *ParseJson(read->body) : Json();
  };
  const Json batch = answer(R"({"embeddings":[{"values":[1,2]},{"values":[3]}]})");
  const Json prediction = answer(R"({"predictions":[
      {"embeddings":{"values":[1],"statistics":{"token_count":4}}},
      {"embeddings":{"values":[2],"statistics":{"token_count":5}}}]})");

  EXPECT_EQ(Member(batch["data"][0], "embedding"), "[1,2]");
  EXPECT_EQ(batch["data"].size(), 2u);
  EXPECT_EQ(prediction["usage"]["prompt_tokens"], 9);
  for (const char* body : {"", "{}", R"({"embeddings":[]})", R"({"embeddings":[{}]})",
                           R"({"predictions":[{}]})", R"({"embeddings":[{"values":["a"]}]})"}) {
    EXPECT_TRUE(answer(body).is_null()) << body;
  }
}

}  // namespace
}  // namespace rota::provider
