#include "dataplane/provider/anthropic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "dataplane/provider/test_requests.h"
#include "dataplane/provider/test_streams.h"
#include "tests/support/recordings.h"

namespace rota::provider {
namespace {

using test::ReadRecordedStream;
using test::ReadRecording;
using test::RecordingsFolder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing_requests::Chat;
using testing_requests::ChatWith;
using testing_requests::Compact;
using testing_requests::Member;
using testing_requests::Target;
using testing_requests::Translated;
using testing_streams::Reading;
using testing_streams::ReadStream;

const AnthropicTranslator kAnthropic;
const AnswerPlan kPlan;
const AnswerContext kContext = {&kPlan, "the-model", "chatcmpl-1", 1767225600};

constexpr char kTools[] =
    R"("tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"properties":{"b":{},"a":{}}}}},
                {"type":"function","function":{"name":"g"}}])";
constexpr char kSchema[] =
    R"("response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"b":{},"a":{}}}}})";

// --- Requests
// ---------------------------------------------------------------------------------------------

TEST(AnthropicRequestTest, WritesAConversationWithCallsAndResults) {
  const Translated translated = Chat(kAnthropic, R"({"messages":[
      {"role":"system","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"a"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
        {"type":"image_url","image_url":{"url":"https://x/y.png"}},
        {"type":"file","file":{"file_data":"data:application/pdf;base64,BBBB"}}]},
      {"role":"assistant","content":"Let me see.","tool_calls":[
        {"id":"call:1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
      {"role":"user","content":"hurry"},
      {"role":"tool","tool_call_id":"call:1","content":"one"},
      {"role":"assistant","content":"It is "}]})");
  EXPECT_EQ(translated.path, "/v1/messages");
  EXPECT_EQ(Member(translated.body, "system"), R"("Be brief.")");
  EXPECT_EQ(Member(translated.body, "messages"), Compact(R"([
      {"role":"user","content":[{"type":"text","text":"a"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
        {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
        {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"BBBB"}}]},
      {"role":"assistant","content":[{"type":"text","text":"Let me see."},
        {"type":"tool_use","id":"call_1","name":"f","input":{"x":1}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"one"}]},
        {"type":"text","text":"hurry"}]},
      {"role":"assistant","content":[{"type":"text","text":"It is"}]}])"));
}

TEST(AnthropicRequestTest, ThePathHasItsVersionOnce) {
  Target target;
  target.base_path = "/proxy/v1";
  EXPECT_EQ(ChatWith(kAnthropic, R"("n":1)", target).path, "/messages");
  target.base_path = "/proxy";
  EXPECT_EQ(ChatWith(kAnthropic, R"("n":1)", target).path, "/v1/messages");
}

TEST(AnthropicRequestTest, MaxTokensAreAlwaysThere) {
  Target target;
  EXPECT_EQ(Member(ChatWith(kAnthropic, R"("n":1)", target).body, "max_tokens"), "4096");
  target.options.max_tokens = 99;
  EXPECT_EQ(Member(ChatWith(kAnthropic, R"("n":1)", target).body, "max_tokens"), "99");
  EXPECT_EQ(Member(ChatWith(kAnthropic, R"("max_completion_tokens":7)", target).body, "max_tokens"),
            "7");
}

TEST(AnthropicRequestTest, TheVersionCanBeChosen) {
  ProviderOptions options;
  options.api_version = "2025-01-01";
  const Json request = *ParseJson(R"({"messages":[{"role":"user","content":"x"}]})");
  EXPECT_THAT(TranslateChat(kAnthropic, request, {"m", "", &options})->headers,
              ElementsAre(HeaderField{"anthropic-version", "2025-01-01"}));
}

TEST(AnthropicRequestTest, SamplingStopsAndUser) {
  const Translated translated = ChatWith(
      kAnthropic,
      R"("temperature":1.7,"top_p":0.5,"top_k":3,"stop":["a","b"],"user":"u","stream":true)");
  EXPECT_EQ(Member(translated.body, "temperature"), "1.0");
  EXPECT_EQ(Member(translated.body, "top_p"), "0.5");
  EXPECT_EQ(Member(translated.body, "top_k"), "3");
  EXPECT_EQ(Member(translated.body, "stop_sequences"), R"(["a","b"])");
  EXPECT_EQ(Member(translated.body, "metadata"), R"({"user_id":"u"})");
  EXPECT_EQ(Member(translated.body, "stream"), "true");
  EXPECT_THAT(translated.dropped, IsEmpty());
}

TEST(AnthropicRequestTest, ToolsKeepTheirSchemasAndGetAType) {
  const Translated translated = ChatWith(kAnthropic, kTools);
  EXPECT_EQ(Member(translated.body, "tools"), Compact(R"([
      {"name":"f","description":"d","input_schema":{"properties":{"b":{},"a":{}},"type":"object"}},
      {"name":"g","input_schema":{"type":"object","properties":{}}}])"));
  EXPECT_EQ(Member(translated.body, "tool_choice"), "");
}

TEST(AnthropicRequestTest, ToolChoices) {
  const std::string tools = std::string(kTools) + ",";
  const std::vector<std::pair<std::string, std::string>> choices = {
      {R"("tool_choice":"none")", R"({"type":"none"})"},
      {R"("tool_choice":"required")", R"({"type":"any"})"},
      {R"("tool_choice":{"type":"function","function":{"name":"g"}})",
       R"({"type":"tool","name":"g"})"},
      {R"("parallel_tool_calls":false)", R"({"type":"auto","disable_parallel_tool_use":true})"},
      {R"("tool_choice":"required","parallel_tool_calls":false)",
       R"({"type":"any","disable_parallel_tool_use":true})"}};
  for (const auto& [member, wanted] : choices) {
    EXPECT_EQ(Member(ChatWith(kAnthropic, tools + member).body, "tool_choice"), wanted) << member;
  }
}

TEST(AnthropicRequestTest, ASchemaIsAForcedCall) {
  const Translated translated = ChatWith(kAnthropic, kSchema);
  EXPECT_EQ(translated.plan.output_tool, "json_output");
  EXPECT_EQ(DumpJson(*Find(translated.body["tools"][0], "input_schema")),
            R"({"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_EQ(Member(translated.body, "tool_choice"), R"({"type":"tool","name":"json_output"})");
  const Translated with_tools = ChatWith(kAnthropic, std::string(kTools) + "," + kSchema);
  EXPECT_EQ(Member(with_tools.body, "tool_choice"), R"({"type":"any"})");
  EXPECT_EQ(with_tools.body["tools"].size(), 3U);
}

TEST(AnthropicRequestTest, JsonWithoutASchemaIsAnInstruction) {
  const Translated translated = ChatWith(kAnthropic, R"("response_format":{"type":"json_object"})");
  EXPECT_THAT(Member(translated.body, "system"), ::testing::HasSubstr("one JSON object"));
  EXPECT_EQ(translated.plan.output_tool, "");
}

TEST(AnthropicRequestTest, EffortIsABudgetThatLeavesRoomForTheAnswer) {
  const auto thinking = [](const std::string& members) {
    const Translated translated = ChatWith(kAnthropic, members);
    return Member(translated.body, "thinking") + " " + Member(translated.body, "max_tokens") +
           (translated.dropped.empty() ? "" : " without " + translated.dropped.front());
  };
  EXPECT_EQ(thinking(R"("reasoning_effort":"low")"),
            R"({"type":"enabled","budget_tokens":1024} 5120)");
  EXPECT_EQ(thinking(R"("reasoning_effort":"high","max_tokens":8000)"),
            R"({"type":"enabled","budget_tokens":4000} 8000)");
  EXPECT_EQ(thinking(R"("reasoning_effort":"high","max_tokens":1500)"),
            " 1500 without reasoning_effort");
  EXPECT_EQ(thinking(R"("reasoning_effort":"minimal")"), " 4096");
  EXPECT_EQ(thinking(R"("reasoning_effort":"low","temperature":0)"),
            R"({"type":"enabled","budget_tokens":1024} 5120 without temperature)");
  EXPECT_EQ(thinking(std::string(kSchema) + R"(,"reasoning_effort":"low")"),
            " 4096 without reasoning_effort");
}

TEST(AnthropicRequestTest, NoThinkingBehindCallsThatItWasNotPartOf) {
  const Translated translated = Chat(kAnthropic, R"({"reasoning_effort":"low","messages":[
      {"role":"user","content":"x"},
      {"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"a","content":""}]})");
  EXPECT_EQ(Member(translated.body, "thinking"), "");
  EXPECT_THAT(translated.dropped, ElementsAre("reasoning_effort"));
  EXPECT_EQ(DumpJson(translated.body["messages"][2]["content"]),
            R"([{"type":"tool_result","tool_use_id":"a","content":[]}])");
}

TEST(AnthropicRequestTest, WhatCannotBeSaidIsDroppedOrRefusedByName) {
  EXPECT_THAT(ChatWith(kAnthropic, R"("seed":1,"frequency_penalty":0.5,"unheard_of":{})").dropped,
              ElementsAre("seed", "frequency_penalty", "unheard_of"));
  for (const char* member : {R"("n":2)", R"("logprobs":true)", R"("audio":{})",
                             R"("functions":[{}])", R"("logit_bias":{"1":1})"}) {
    EXPECT_EQ(ChatWith(kAnthropic, member).problem.code, "unsupported_parameter") << member;
  }
  EXPECT_EQ(Chat(kAnthropic, R"({"messages":[{"role":"user","content":[{"type":"file","file":
      {"file_data":"data:text/csv;base64,AAAA"}}]}]})")
                .problem.field,
            "messages[0].content[0].file.file_data");
}

// --- Answers
// ----------------------------------------------------------------------------------------------

Json Answer(std::string_view body, const AnswerContext& context = kContext) {
  const absl::StatusOr<TranslatedAnswer> answer = kAnthropic.ChatAnswer(body, context);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? *ParseJson(answer->body) : Json();
}

const Json& Choice(const Json& answer) { return answer.at("choices").at(0); }

TEST(AnthropicAnswerTest, ReadsRecordedAnswers) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings: set ROTA_SHARED_DIR";
  }
  const Json text = Answer(ReadRecording("anthropic/anthropic-text.json"));
  EXPECT_EQ(FindText(text, "id"), "msg_01VdEjxAP5ahtHKrrRdNBteQ");
  EXPECT_TRUE(FindText(Choice(text)["message"], "content").starts_with("Hello! I'm doing well"));
  EXPECT_EQ(FindText(Choice(text), "finish_reason"), "stop");
  EXPECT_EQ(FindCount(text["usage"], "total_tokens"), 41U);
  const Json call = Answer(ReadRecording("anthropic/anthropic-json-tool.1.json"));
  EXPECT_EQ(FindText(Choice(call), "finish_reason"), "tool_calls");
  EXPECT_EQ(FindText(Choice(call)["message"]["tool_calls"][0]["function"], "name"), "json");
  AnswerPlan plan;
  plan.output_tool = "json";
  const Json output =
      Answer(ReadRecording("anthropic/anthropic-json-tool.1.json"), {&plan, "m", "chatcmpl-1", 0});
  EXPECT_EQ(FindText(Choice(output), "finish_reason"), "stop");
  EXPECT_TRUE(FindText(Choice(output)["message"], "content").starts_with(R"({"elements":[{)"));
  EXPECT_EQ(Find(Choice(output)["message"], "tool_calls"), nullptr);
}

TEST(AnthropicAnswerTest, BlocksOfTheProviderAreNobodysAndIndexesHaveNoGaps) {
  const Json answer = Answer(R"({"id":"m","stop_reason":"tool_use","content":[
      {"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},
      {"type":"text","text":"a"},{"type":"server_tool_use","id":"s","name":"web_search","input":{}},
      {"type":"web_search_tool_result","tool_use_id":"s","content":[]},{"type":"text","text":"b"},
      {"type":"tool_use","id":"t1","name":"f"},{"type":"tool_use","id":"t2","name":"g","input":{}}]})");
  const Json& message = Choice(answer)["message"];
  EXPECT_EQ(FindText(message, "content"), "ab");
  EXPECT_EQ(FindText(message, "reasoning_content"), "hm");
  EXPECT_EQ(DumpJson(message["tool_calls"]),
            R"([{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}},)"
            R"({"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}])");
}

TEST(AnthropicAnswerTest, FinishReasonsAreOpenAisWords) {
  for (const auto& [theirs, ours] :
       std::vector<std::pair<std::string, std::string>>{{"end_turn", "stop"},
                                                        {"stop_sequence", "stop"},
                                                        {"pause_turn", "stop"},
                                                        {"max_tokens", "length"},
                                                        {"model_context_window_exceeded", "length"},
                                                        {"refusal", "content_filter"},
                                                        {"something_new", "stop"}}) {
    const TranslatedAnswer answer =
        *kAnthropic.ChatAnswer(R"({"content":[],"stop_reason":")" + theirs + "\"}", kContext);
    EXPECT_EQ(FindText(Choice(*ParseJson(answer.body)), "finish_reason"), ours) << theirs;
    EXPECT_EQ(answer.unknown.finish_reason, theirs == "something_new" ? theirs : "");
  }
}

TEST(AnthropicAnswerTest, CachedTokensArePartOfThePrompt) {
  const Json answer = Answer(R"({"content":[],"usage":{"input_tokens":5,"output_tokens":3,
      "cache_read_input_tokens":100,"cache_creation_input_tokens":20}})");
  EXPECT_EQ(DumpJson(answer["usage"]),
            R"({"prompt_tokens":125,"completion_tokens":3,"total_tokens":128,)"
            R"("prompt_tokens_details":{"cached_tokens":100}})");
}

TEST(AnthropicAnswerTest, WhatIsNoAnswerIsAnError) {
  for (const std::string_view body : {"", "[]", "{}", R"({"content":"text"})", "<html>"}) {
    EXPECT_EQ(kAnthropic.ChatAnswer(body, kContext).status().code(), absl::StatusCode::kDataLoss);
  }
}

// --- Streams
// ----------------------------------------------------------------------------------------------

std::string Sse(const std::string& event) {
  return "event: " + std::string(FindText(*ParseJson(event), "type")) + "\ndata: " + event + "\n\n";
}

std::string SseOf(const std::vector<std::string>& events) {
  std::string stream;
  for (const std::string& event : events) {
    stream += Sse(event);
  }
  return stream;
}

std::string Start(const std::string& id = "msg_1") {
  return R"({"type":"message_start","message":{"id":")" + id +
         R"(","model":"claude","usage":{"input_tokens":10,"output_tokens":1}}})";
}
std::string Block(int index, const std::string& block) {
  return R"({"type":"content_block_start","index":)" + std::to_string(index) +
         R"(,"content_block":)" + block + "}";
}
std::string Delta(int index, const std::string& delta) {
  return R"({"type":"content_block_delta","index":)" + std::to_string(index) + R"(,"delta":)" +
         delta + "}";
}
std::string Stop(int index) {
  return R"({"type":"content_block_stop","index":)" + std::to_string(index) + "}";
}
std::string End(const std::string& reason) {
  return R"({"type":"message_delta","delta":{"stop_reason":")" + reason +
         R"("},"usage":{"output_tokens":7}})";
}
const std::string kMessageStop = R"({"type":"message_stop"})";

TEST(AnthropicStreamTest, ReadsRecordedStreams) {
  if (RecordingsFolder().empty()) {
    GTEST_SKIP() << "no recordings: set ROTA_SHARED_DIR";
  }
  const std::string text = ReadRecordedStream("anthropic/anthropic-text.chunks.txt",
                                              [](const std::string& line) { return Sse(line); });
  const Reading reading = ReadStream(kAnthropic, text);
  EXPECT_TRUE(reading.done);
  EXPECT_EQ(reading.id, "msg_01QC4g3HwBThD4BaNtBckFDJ");
  EXPECT_TRUE(reading.content.starts_with("Hello! I'm doing well, thank you for asking."));
  EXPECT_EQ(reading.finish_reason, "stop");
  EXPECT_EQ(FindCount(reading.usage, "prompt_tokens"), 12U);
  EXPECT_EQ(FindCount(reading.usage, "completion_tokens"), 30U);
  const std::string call = ReadRecordedStream("anthropic/anthropic-json-tool.1.chunks.txt",
                                              [](const std::string& line) { return Sse(line); });
  const Reading calls = ReadStream(kAnthropic, call);
  ASSERT_EQ(calls.calls.size(), 1U);
  EXPECT_EQ(calls.calls[0].id, "toolu_01KFbKqPYSuAKujiL6mTfzYA");
  EXPECT_TRUE(ParseJson(calls.calls[0].arguments).ok()) << calls.calls[0].arguments;
  EXPECT_EQ(calls.finish_reason, "tool_calls");
  AnswerPlan plan;
  plan.is_stream = true;
  plan.output_tool = "json";
  const Reading output = ReadStream(kAnthropic, call, {&plan, "m", "chatcmpl-1", 0});
  EXPECT_TRUE(ParseJson(output.content).ok()) << output.content;
  EXPECT_TRUE(output.calls.empty());
  EXPECT_EQ(output.finish_reason, "stop");
}

TEST(AnthropicStreamTest, CallsHaveIndexesWithoutGapsAndArguments) {
  const Reading reading = ReadStream(
      kAnthropic,
      SseOf({Start(), Block(0, R"({"type":"thinking","thinking":""})"),
             Delta(0, R"({"type":"thinking_delta","thinking":"hm"})"),
             Delta(0, R"({"type":"signature_delta","signature":"s"})"), Stop(0),
             Block(1, R"({"type":"server_tool_use","id":"s","name":"web_search","input":{}})"),
             Delta(1, R"({"type":"input_json_delta","partial_json":"{}"})"), Stop(1),
             Block(2, R"({"type":"tool_use","id":"t1","name":"f","input":{}})"), Stop(2),
             Block(3, R"({"type":"tool_use","id":"t2","name":"g","input":{"a":1}})"), Stop(3),
             Block(4, R"({"type":"tool_use","id":"t3","name":"h","input":{}})"),
             Delta(4, R"({"type":"input_json_delta","partial_json":"{\"b\":"})"),
             R"({"type":"ping"})", Delta(4, R"({"type":"input_json_delta","partial_json":"2}"})"),
             Stop(4), End("tool_use"), kMessageStop}));
  EXPECT_EQ(reading.reasoning, "hm");
  EXPECT_EQ(reading.content, "");
  ASSERT_EQ(reading.calls.size(), 3U);
  EXPECT_EQ(reading.calls[0].arguments, "{}");
  EXPECT_EQ(reading.calls[1].arguments, R"({"a":1})");
  EXPECT_EQ(reading.calls[2].arguments, R"({"b":2})");
  EXPECT_EQ(reading.finish_reason, "tool_calls");
}

TEST(AnthropicStreamTest, TheLastUsageWins) {
  const std::string last =
      R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"output_tokens":9}})";
  const Reading reading =
      ReadStream(kAnthropic, SseOf({Start(), End("end_turn"), last, kMessageStop}));
  EXPECT_EQ(FindCount(reading.usage, "prompt_tokens"), 10U);
  EXPECT_EQ(FindCount(reading.usage, "completion_tokens"), 9U);
}

TEST(AnthropicStreamTest, ATruncatedStreamIsNeverDone) {
  EXPECT_FALSE(ReadStream(kAnthropic, SseOf({Start(), End("end_turn")})).done);
  EXPECT_FALSE(ReadStream(kAnthropic, "").done);
}

TEST(AnthropicStreamTest, ErrorsAreErrorEventsInOpenAisWords) {
  const Reading reading = ReadStream(
      kAnthropic,
      SseOf({Start(), R"({"type":"error","error":{"type":"overloaded_error","message":"Busy"}})",
             kMessageStop}));
  EXPECT_FALSE(reading.done);
  EXPECT_EQ(FindText(reading.error, "code"), "overloaded");
  EXPECT_EQ(FindText(reading.error, "message"), "Busy");
  EXPECT_FALSE(ReadStream(kAnthropic, "data: {\n\n").error.is_null());
}

TEST(AnthropicStreamTest, AnotherAnswerInsideThisOneIsAnError) {
  EXPECT_TRUE(ReadStream(kAnthropic, SseOf({Start(), Start(), kMessageStop})).done);
  const Reading reading = ReadStream(kAnthropic, SseOf({Start(), Start("msg_2"), kMessageStop}));
  EXPECT_FALSE(reading.done);
  EXPECT_FALSE(reading.error.is_null());
}

TEST(AnthropicStreamTest, TextNeedsNoBlockAroundIt) {
  const Reading reading =
      ReadStream(kAnthropic, SseOf({Start(), Delta(0, R"({"type":"text_delta","text":"Hi"})"),
                                    R"({"type":"unheard_of"})", kMessageStop}));
  EXPECT_EQ(reading.content, "Hi");
  EXPECT_EQ(reading.finish_reason, "stop");
  EXPECT_TRUE(reading.done);
}

// --- Errors
// -----------------------------------------------------------------------------------------------

TEST(AnthropicErrorTest, ErrorsKeepTheirMessageAndGetOpenAisWords) {
  const auto error = [](int status, const std::string& type, const std::string& message) {
    const OpenAiError told = kAnthropic.ErrorAnswer(
        {status,
         R"({"type":"error","error":{"type":")" + type + R"(","message":")" + message + "\"}}",
         ""});
    return std::to_string(told.status) + " " + told.code + " " + told.message;
  };
  EXPECT_EQ(error(429, "rate_limit_error", "slow"), "429 rate_limit_exceeded slow");
  EXPECT_EQ(error(529, "overloaded_error", "busy"), "503 overloaded busy");
  EXPECT_EQ(error(401, "authentication_error", "no"), "401 invalid_api_key no");
  EXPECT_EQ(error(400, "invalid_request_error", "prompt is too long: 9 tokens"),
            "400 context_length_exceeded prompt is too long: 9 tokens");
  EXPECT_EQ(error(418, "new_error", "tea"), "418  tea");
  EXPECT_EQ(error(0, "rate_limit_error", "slow"), "429 rate_limit_exceeded slow");
  EXPECT_EQ(kAnthropic.ErrorAnswer({502, "<html>", ""}).message,
            "the provider answered with status 502");
}

TEST(AnthropicStreamTest, NewWordsAreRememberedAndOldOnesAreNot) {
  struct Row {
    const char* event;
    const char* unknown;
  };
  const AnswerPlan plan;
  for (const Row& row :
       {Row{R"({"type":"ping"})", ""}, Row{R"({"type":"new_event"})", "new_event"},
        Row{R"({"type":"content_block_delta","delta":{"type":"signature_delta"}})", ""},
        Row{R"({"type":"content_block_delta","delta":{"type":"new_delta"}})", "new_delta"}}) {
    const auto stream = AnthropicTranslator().NewStream({&plan, "m", "id", 0});
    std::string out;
    EXPECT_EQ(stream->Add({"", row.event, false}, out), StreamState::kOpen);
    EXPECT_EQ(stream->unknown().event, row.unknown);
    EXPECT_EQ(out, "");
  }
}

}  // namespace
}  // namespace rota::provider
