#include "dataplane/provider/ollama.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/provider/test_frames.h"
#include "dataplane/provider/test_requests.h"
#include "dataplane/provider/test_streams.h"

namespace rota::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_frames::NdjsonLine;
using testing_requests::Chat;
using testing_requests::ChatWith;
using testing_requests::Compact;
using testing_requests::Embed;
using testing_requests::Member;
using testing_requests::Target;
using testing_requests::Translated;
using testing_streams::kContext;
using testing_streams::Reading;
using testing_streams::ReadStream;

const OllamaTranslator kOllama;
const Target kLlama = {.model = "llama3.2:1b", .base_path = "", .options = {}};

TEST(OllamaRequestTest, ThePathIsTheOneOfItsOwnApi) {
  EXPECT_EQ(ChatWith(kOllama, R"("n":1)", kLlama).path, "/api/chat");
  EXPECT_EQ(ChatWith(kOllama, R"("n":1)", {.model = "m", .base_path = "/api", .options = {}}).path,
            "/chat");
}

TEST(OllamaRequestTest, WritesAPlainConversation) {
  const Translated translated = Chat(kOllama, R"({
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},
                  {"role":"assistant","content":"Hello"},{"role":"user","content":[
                    {"type":"text","text":"Look"},
                    {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],
      "max_tokens":100,"temperature":1.0,"top_p":0.9,"seed":7,"num_ctx":8192,"stop":"x"})",
                                     kLlama);

  EXPECT_EQ(translated.body.dump(), Compact(R"({"model":"llama3.2:1b",
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},
                  {"role":"assistant","content":"Hello"},
                  {"role":"user","images":["AAAA"],"content":"Look"}],
      "options":{"temperature":1.0,"top_p":0.9,"seed":7,"num_ctx":8192,"num_predict":100,
                 "stop":["x"]},
      "stream":false})"));
}

TEST(OllamaRequestTest, AStreamIsAskedForByItsField) {
  EXPECT_EQ(ChatWith(kOllama, R"("stream":true)").body["stream"], true);
  EXPECT_EQ(ChatWith(kOllama, R"("stream":true)").path, "/api/chat");
}

TEST(OllamaRequestTest, CallsAndResultsAreMessages) {
  const Translated translated = Chat(kOllama, R"({"messages":[
      {"role":"user","content":"Weather?"},
      {"role":"assistant","tool_calls":[{"id":"a","type":"function",
          "function":{"name":"get","arguments":"{\"city\":\"Bern\"}"}}]},
      {"role":"tool","tool_call_id":"a","content":"rain"},
      {"role":"user","content":"And?"}],
      "tools":[{"type":"function","function":{"name":"get","description":"Gets.",
                "parameters":{"properties":{}}}}]})");

  EXPECT_EQ(Member(translated.body, "messages"), Compact(R"([
      {"role":"user","content":"Weather?"},
      {"role":"assistant","tool_calls":[{"function":{"name":"get","arguments":{"city":"Bern"}}}],
       "content":""},
      {"role":"tool","tool_name":"get","content":"rain"},
      {"role":"user","content":"And?"}])"));
  EXPECT_EQ(Member(translated.body, "tools"), Compact(R"([{"type":"function","function":
      {"name":"get","description":"Gets.","parameters":{"properties":{},"type":"object"}}}])"));
}

TEST(OllamaRequestTest, FormatsAndReasoningAreItsOwn) {
  const auto member = [](const std::string& members, const char* name) {
    return Member(ChatWith(kOllama, members).body, name);
  };

  EXPECT_EQ(member(R"("response_format":{"type":"json_object"})", "format"), R"("json")");
  EXPECT_EQ(member(R"("response_format":{"type":"json_schema","json_schema":
                      {"name":"x","schema":{"type":"object"}}})",
                   "format"),
            R"({"type":"object"})");
  EXPECT_EQ(member(R"("reasoning_effort":"none")", "think"), "false");
  EXPECT_EQ(member(R"("reasoning_effort":"high")", "think"), R"("high")");
  EXPECT_EQ(member(R"("keep_alive":"5m")", "keep_alive"), R"("5m")");
}

TEST(OllamaRequestTest, WhatCannotBeSaidIsDroppedOrRefusedByName) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"get"}}],)";

  EXPECT_THAT(ChatWith(kOllama, R"("user":"me","logit_bias":{})").dropped, ElementsAre("user"));
  EXPECT_EQ(ChatWith(kOllama, R"("n":2)").problem.field, "n");
  EXPECT_EQ(ChatWith(kOllama, tools + R"("tool_choice":"required")").problem.field, "tool_choice");
  EXPECT_FALSE(ChatWith(kOllama, tools + R"("tool_choice":"none")").body.contains("tools"));
  EXPECT_THAT(Chat(kOllama, R"({"messages":[{"role":"user","content":[
                  {"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]})")
                  .problem.message,
              HasSubstr("data URLs only"));
}

Json Answer(std::string_view body) {
  const absl::StatusOr<TranslatedAnswer> answer = kOllama.ChatAnswer(body, kContext);
  return answer.ok() ? *ParseJson(answer->body) : Json();
}

TEST(OllamaAnswerTest, ReadsTextThoughtsAndCounts) {
  const Json answer = Answer(R"({"model":"llama3.2:1b","message":{"role":"assistant",
      "content":"Yes.","thinking":"Hm."},"done_reason":"stop","done":true,
      "prompt_eval_count":26,"eval_count":3})");

  EXPECT_EQ(answer["model"], "llama3.2:1b");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "Yes.");
  EXPECT_EQ(answer["choices"][0]["message"]["reasoning_content"], "Hm.");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["total_tokens"], 29);
}

TEST(OllamaAnswerTest, ReadsCallsAndReasons) {
  const Json call = Answer(R"({"message":{"role":"assistant","content":"","tool_calls":[
      {"function":{"name":"get","arguments":{"city":"Bern"}}},{"function":{"name":"bare"}}]},
      "done_reason":"stop","done":true})");
  const Json cut = Answer(R"({"message":{"content":"x"},"done_reason":"length","done":true})");

  EXPECT_EQ(call["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_TRUE(call["choices"][0]["message"]["content"].is_null());
  EXPECT_EQ(call["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
            R"({"city":"Bern"})");
  EXPECT_EQ(call["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"], "{}");
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
}

TEST(OllamaAnswerTest, WhatIsNoAnswerIsAnError) {
  for (const char* body : {"", "<html>", "[]", "{}", R"({"message":null})"}) {
    EXPECT_EQ(kOllama.ChatAnswer(body, kContext).status().code(), absl::StatusCode::kDataLoss)
        << body;
  }
}

constexpr const char* kDone =
    R"({"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",
        "prompt_eval_count":5,"eval_count":6})";

TEST(OllamaStreamTest, LinesAreChunks) {
  const std::string stream =
      NdjsonLine(R"({"model":"m","message":{"role":"assistant","thinking":"Hm."},"done":false})") +
      NdjsonLine(R"({"model":"m","message":{"content":"Y\u00e9"},"done":false})") +
      NdjsonLine(R"({"model":"m","message":{"content":"s."},"done":false})") +
      NdjsonLine(Compact(kDone));
  const Reading reading = ReadStream(kOllama, stream);

  EXPECT_EQ(reading.reasoning, "Hm.");
  EXPECT_EQ(reading.content, "Yés.");
  EXPECT_EQ(reading.finish_reason, "stop");
  EXPECT_EQ(reading.model, "m");
  EXPECT_EQ(DumpJson(reading.usage),
            R"({"prompt_tokens":5,"completion_tokens":6,"total_tokens":11})");
  EXPECT_TRUE(reading.done);
}

TEST(OllamaStreamTest, CallsComeWhole) {
  const Reading reading = ReadStream(
      kOllama,
      NdjsonLine(R"({"message":{"tool_calls":[{"function":{"name":"a","arguments":{"x":1}}},)"
                 R"({"function":{"name":"b","arguments":{}}}]},"done":false})") +
          NdjsonLine(Compact(kDone)));

  ASSERT_EQ(reading.calls.size(), 2u);
  EXPECT_EQ(reading.calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(reading.calls[1].arguments, "{}");
  EXPECT_NE(reading.calls[0].id, reading.calls[1].id);
  EXPECT_EQ(reading.finish_reason, "tool_calls");
}

TEST(OllamaStreamTest, ErrorsAndTruncationAreNeverDone) {
  const std::string text = NdjsonLine(R"({"message":{"content":"x"},"done":false})");
  const Reading failed = ReadStream(kOllama, text + NdjsonLine(R"({"error":"the model crashed"})"));
  const Reading broken = ReadStream(kOllama, text + NdjsonLine("{\"mess"));

  EXPECT_EQ(failed.error["message"], "the model crashed");
  EXPECT_FALSE(failed.done);
  EXPECT_FALSE(broken.error.is_null());
  EXPECT_FALSE(ReadStream(kOllama, text).done);
}

TEST(OllamaErrorTest, ErrorsKeepTheirMessage) {
  const OpenAiError missing = kOllama.ErrorAnswer({404, R"({"error":"model 'x' not found"})", ""});

  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.code, "model_not_found");
  EXPECT_EQ(missing.message, "model 'x' not found");
  EXPECT_EQ(kOllama.ErrorAnswer({400, R"({"error":{"message":"bad"}})", ""}).message, "bad");
  EXPECT_THAT(kOllama.ErrorAnswer({500, "<html>", ""}).message, HasSubstr("500"));
}

TEST(OllamaEmbeddingsTest, AsksAndReads) {
  const Translated translated =
      Embed(kOllama, R"({"input":["a","b"],"dimensions":64,"user":"me"})", kLlama);
  const absl::StatusOr<TranslatedAnswer> answer = kOllama.EmbeddingsAnswer(
      R"({"model":"m","embeddings":[[1,2],[3,4]],"prompt_eval_count":8})", kContext);

  EXPECT_EQ(translated.path, "/api/embed");
  EXPECT_EQ(translated.body.dump(), R"({"model":"llama3.2:1b","input":["a","b"],"dimensions":64})");
  EXPECT_THAT(translated.dropped, ElementsAre("user"));
  ASSERT_TRUE(answer.ok());
  const Json document = *ParseJson(answer->body);
  EXPECT_EQ(document["data"].size(), 2u);
  EXPECT_EQ(document["usage"]["prompt_tokens"], 8);
  for (const char* body : {"", "{}", R"({"embeddings":[]})", R"({"embeddings":[["a"]]})"}) {
    EXPECT_FALSE(kOllama.EmbeddingsAnswer(body, kContext).ok()) << body;
  }
}

}  // namespace
}  // namespace rota::provider
