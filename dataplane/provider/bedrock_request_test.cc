#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/provider/bedrock.h"
#include "dataplane/provider/test_requests.h"

namespace rota::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing_requests::Chat;
using testing_requests::ChatWith;
using testing_requests::Compact;
using testing_requests::Embed;
using testing_requests::Member;
using testing_requests::Target;
using testing_requests::Translated;

const BedrockTranslator kBedrock;

Target Model(const std::string& model) { return {.model = model, .base_path = "", .options = {}}; }

TEST(BedrockRequestTest, TheModelIsOneSegmentOfThePath) {
  const std::string request = R"({"messages":[{"role":"user","content":"Hi"}]})";
  const std::string stream = R"({"stream":true,"messages":[{"role":"user","content":"Hi"}]})";

  EXPECT_EQ(Chat(kBedrock, request, Model("us.amazon.nova-micro-v1:0")).path,
            "/model/us.amazon.nova-micro-v1%3A0/converse");
  EXPECT_EQ(
      Chat(kBedrock, stream, Model("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.m-v1:0")).path,
      "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.m-v1%3A0"
      "/converse-stream");
}

TEST(BedrockRequestTest, WritesAPlainConversation) {
  const Translated translated = Chat(kBedrock, R"({
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},
                  {"role":"assistant","content":"Hello"},{"role":"user","content":"How are you?"}],
      "max_tokens":100,"temperature":0.7,"top_p":0.9,"stop":["a","b"]})");

  EXPECT_EQ(translated.body.dump(), Compact(R"({
      "messages":[{"role":"user","content":[{"text":"Hi"}]},
                  {"role":"assistant","content":[{"text":"Hello"}]},
                  {"role":"user","content":[{"text":"How are you?"}]}],
      "system":[{"text":"Be brief."}],
      "inferenceConfig":{"maxTokens":100,"temperature":0.7,"topP":0.9,"stopSequences":["a","b"]}})"));
  EXPECT_THAT(translated.dropped, IsEmpty());
}

TEST(BedrockRequestTest, AdjacentMessagesOfOneRoleAreOneTurn) {
  const Translated translated = Chat(kBedrock, R"({"messages":[
      {"role":"user","content":"a"},{"role":"user","content":"b"},
      {"role":"assistant","content":"  \n"},{"role":"user","content":"c"}]})");

  EXPECT_EQ(Member(translated.body, "messages"),
            R"([{"role":"user","content":[{"text":"a"},{"text":"b"},{"text":"c"}]}])");
}

TEST(BedrockRequestTest, NothingButWhiteSpaceIsRefused) {
  EXPECT_EQ(Chat(kBedrock, R"({"messages":[{"role":"user","content":" "}]})").problem.field,
            "messages");
}

TEST(BedrockRequestTest, TheBeginningOfAnAnswerHasNoWhiteSpaceAtItsEnd) {
  const Translated translated = Chat(kBedrock, R"({"messages":[
      {"role":"user","content":"Count."},{"role":"assistant","content":"One, two, "}]})");

  EXPECT_EQ(translated.body["messages"][1]["content"][0]["text"], "One, two,");
}

TEST(BedrockRequestTest, ImagesAndFilesAreSentAsBytes) {
  const Translated translated = Chat(kBedrock, R"({"messages":[{"role":"user","content":[
      {"type":"text","text":"Look"},
      {"type":"image_url","image_url":{"url":"data:image/jpg;base64,AAAA"}},
      {"type":"file","file":{"filename":"../x.pdf","file_data":"data:application/pdf;base64,BBBB"}}
      ]}]})");

  EXPECT_EQ(Member(translated.body["messages"][0], "content"), Compact(R"([{"text":"Look"},
      {"image":{"format":"jpeg","source":{"bytes":"AAAA"}}},
      {"document":{"format":"pdf","source":{"bytes":"BBBB"},"name":"document 1"}}])"));
}

TEST(BedrockRequestTest, ImagesByUrlAndOfOtherKindsAreRefusedByName) {
  const auto problem = [](const std::string& url) {
    return Chat(kBedrock, R"({"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":")" +
                              url + R"("}}]}]})")
        .problem;
  };

  EXPECT_EQ(problem("https://example.com/a.png").field, "messages[0].content[0].image_url.url");
  EXPECT_THAT(problem("https://example.com/a.png").message, HasSubstr("data URLs only"));
  EXPECT_EQ(problem("https://example.com/a.png").code, "unsupported_parameter");
  EXPECT_THAT(problem("data:image/bmp;base64,AAAA").message, HasSubstr("png, jpeg, gif and webp"));
}

constexpr std::string_view kToolHistory = R"({"messages":[
    {"role":"user","content":"Weather?"},
    {"role":"assistant","content":null,"tool_calls":[
        {"id":"functions.get:0","type":"function",
         "function":{"name":"get","arguments":"{\"city\":\"Bern\"}"}},
        {"id":"call_2","type":"function","function":{"name":"get","arguments":""}}]},
    {"role":"tool","tool_call_id":"functions.get:0","content":"rain"},
    {"role":"tool","tool_call_id":"call_2","content":""},
    {"role":"user","content":"And?"}])";

TEST(BedrockRequestTest, CallsAndTheirResultsAreBlocks) {
  const Translated translated =
      Chat(kBedrock, std::string(kToolHistory) + R"(,"tools":[{"type":"function",
          "function":{"name":"get","description":"Gets.","parameters":{"type":"object",
          "properties":{"city":{"type":"string"}}}}}]})");

  EXPECT_EQ(Member(translated.body, "messages"), Compact(R"([
      {"role":"user","content":[{"text":"Weather?"}]},
      {"role":"assistant","content":[
          {"toolUse":{"toolUseId":"functions_get_0","name":"get","input":{"city":"Bern"}}},
          {"toolUse":{"toolUseId":"call_2","name":"get","input":{}}}]},
      {"role":"user","content":[
          {"toolResult":{"toolUseId":"functions_get_0","content":[{"text":"rain"}]}},
          {"toolResult":{"toolUseId":"call_2","content":[{"text":""}]}},
          {"text":"And?"}]}])"));
  EXPECT_EQ(Member(translated.body, "toolConfig"), Compact(R"({"tools":[{"toolSpec":{
      "name":"get","description":"Gets.","inputSchema":{"json":{"type":"object",
      "properties":{"city":{"type":"string"}}}}}}]})"));
}

TEST(BedrockRequestTest, AHistoryWithCallsAlwaysHasATool) {
  for (const char* rest : {"}", R"(,"tool_choice":"none","tools":[{"type":"function",
                                    "function":{"name":"get"}}]})"}) {
    const Translated translated = Chat(kBedrock, std::string(kToolHistory) + rest);
    const Json& tools = translated.body["toolConfig"]["tools"];

    ASSERT_EQ(tools.size(), 1u);
    EXPECT_EQ(tools[0]["toolSpec"]["name"], BedrockTranslator::kPlaceholderTool);
    EXPECT_FALSE(translated.body["toolConfig"].contains("toolChoice"));
  }
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"get","parameters":{}}}])";

TEST(BedrockRequestTest, ToolChoicesAreTranslated) {
  const auto config = [](const std::string& choice) {
    return Member(ChatWith(kBedrock, std::string(kTools) + choice).body, "toolConfig");
  };
  const std::string tools =
      R"("tools":[{"toolSpec":{"name":"get","inputSchema":{"json":{"type":"object"}}}}])";

  EXPECT_EQ(config(""), "{" + tools + "}");
  EXPECT_EQ(config(R"(,"tool_choice":"auto")"), "{" + tools + "}");
  EXPECT_EQ(config(R"(,"tool_choice":"none")"), "");
  EXPECT_EQ(config(R"(,"tool_choice":"required")"), R"({"toolChoice":{"any":{}},)" + tools + "}");
  EXPECT_EQ(config(R"(,"tool_choice":{"type":"function","function":{"name":"get"}})"),
            R"({"toolChoice":{"tool":{"name":"get"}},)" + tools + "}");
}

constexpr const char* kSchema =
    R"("response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":
       {"type":"object","properties":{"b":{"type":"string"},"a":{"type":"string"}}}}})";

TEST(BedrockRequestTest, ASchemaIsAForcedCall) {
  const Translated translated = ChatWith(kBedrock, kSchema);

  EXPECT_EQ(translated.plan.output_tool, "json_output");
  EXPECT_EQ(Member(translated.body["toolConfig"], "toolChoice"),
            R"({"tool":{"name":"json_output"}})");
  // Models write members in the order of the schema's.
  EXPECT_EQ(Member(translated.body["toolConfig"]["tools"][0]["toolSpec"], "inputSchema"),
            R"({"json":{"type":"object","properties":{"b":{"type":"string"},)"
            R"("a":{"type":"string"}}}})");
}

TEST(BedrockRequestTest, BesideToolsASchemaIsOneMoreOfThem) {
  const Translated both = ChatWith(kBedrock, std::string(kTools) + "," + kSchema);
  const Translated none =
      ChatWith(kBedrock, std::string(kTools) + R"(,"tool_choice":"none",)" + kSchema);

  EXPECT_EQ(both.body["toolConfig"]["tools"].size(), 2u);
  EXPECT_EQ(Member(both.body["toolConfig"], "toolChoice"), R"({"any":{}})");
  EXPECT_EQ(none.body["toolConfig"]["tools"].size(), 1u);
  EXPECT_EQ(Member(none.body["toolConfig"], "toolChoice"), R"({"tool":{"name":"json_output"}})");
}

TEST(BedrockRequestTest, AJsonObjectIsAskedForInWords) {
  const Translated translated = ChatWith(kBedrock, R"("response_format":{"type":"json_object"})");

  EXPECT_THAT(std::string(translated.body["system"][0]["text"]), HasSubstr("one JSON object"));
  EXPECT_EQ(translated.plan.output_tool, "");
}

TEST(BedrockRequestTest, LimitsComeFromTheRequestOrTheTarget) {
  Target target;
  target.options.max_tokens = 2048;

  EXPECT_EQ(
      Member(ChatWith(kBedrock, R"("max_completion_tokens":7)", target).body, "inferenceConfig"),
      R"({"maxTokens":7})");
  EXPECT_EQ(Member(ChatWith(kBedrock, R"("temperature":1.6)", target).body, "inferenceConfig"),
            R"({"maxTokens":2048,"temperature":1.0})");
  EXPECT_EQ(Member(ChatWith(kBedrock, R"("n":1)").body, "inferenceConfig"), "");
}

TEST(BedrockRequestTest, ReasoningIsAskedForInTheWordsOfTheModelsMaker) {
  const auto additional = [](const std::string& model, const std::string& members) {
    return Member(ChatWith(kBedrock, members, Model(model)).body, "additionalModelRequestFields");
  };
  const std::string high = R"("reasoning_effort":"high")";

  EXPECT_EQ(additional("us.anthropic.claude-sonnet-4-v1:0", high),
            R"({"thinking":{"type":"enabled","budget_tokens":16384}})");
  EXPECT_EQ(additional("openai.gpt-oss-120b-1:0", high), R"({"reasoning_effort":"high"})");
  EXPECT_EQ(additional("us.amazon.nova-2-lite-v1:0", high),
            R"({"reasoningConfig":{"type":"enabled","maxReasoningEffort":"high"}})");
  EXPECT_EQ(additional("meta.llama3-3-70b-instruct-v1:0", high), "");
  EXPECT_EQ(additional("us.anthropic.claude-sonnet-4-v1:0", R"("reasoning_effort":"none")"), "");
  EXPECT_THAT(ChatWith(kBedrock, high, Model("meta.llama3-3-70b-instruct-v1:0")).dropped,
              ElementsAre("reasoning_effort"));
}

TEST(BedrockRequestTest, ClaudeThinksWithinItsLimitAndWithoutOtherSettings) {
  const Target claude = Model("anthropic.claude-sonnet-4-v1:0");
  const Translated free =
      ChatWith(kBedrock, R"("reasoning_effort":"medium","temperature":0.2)", claude);
  const Translated limited =
      ChatWith(kBedrock, R"("reasoning_effort":"high","max_tokens":4000)", claude);
  const Translated small =
      ChatWith(kBedrock, R"("reasoning_effort":"high","max_tokens":1000)", claude);

  EXPECT_EQ(Member(free.body, "inferenceConfig"), R"({"maxTokens":8192})");
  EXPECT_THAT(free.dropped, ElementsAre("temperature"));
  EXPECT_EQ(limited.body["additionalModelRequestFields"]["thinking"]["budget_tokens"], 2000);
  EXPECT_THAT(small.dropped, ElementsAre("reasoning_effort"));
  EXPECT_FALSE(small.body.contains("additionalModelRequestFields"));
}

TEST(BedrockRequestTest, ClaudeDoesNotThinkWhereItWouldBeRefused) {
  const Target claude = Model("anthropic.claude-sonnet-4-v1:0");

  EXPECT_THAT(
      ChatWith(kBedrock, std::string(R"("reasoning_effort":"high",)") + kSchema, claude).dropped,
      ElementsAre("reasoning_effort"));
  EXPECT_THAT(
      Chat(kBedrock, std::string(kToolHistory) + R"(,"reasoning_effort":"high"})", claude).dropped,
      ElementsAre("reasoning_effort"));
}

TEST(BedrockRequestTest, WhatCannotBeSaidIsDroppedOrRefusedByName) {
  EXPECT_THAT(ChatWith(kBedrock, R"("seed":7,"user":"me","parallel_tool_calls":false)").dropped,
              ElementsAre("seed", "user", "parallel_tool_calls"));
  EXPECT_EQ(ChatWith(kBedrock, R"("n":2)").problem.field, "n");
  EXPECT_EQ(ChatWith(kBedrock, R"("logprobs":true)").problem.field, "logprobs");
  EXPECT_EQ(ChatWith(kBedrock, R"("logit_bias":{"5":1})").problem.field, "logit_bias");
}

TEST(BedrockEmbeddingsTest, TitanTakesOneTextCohereMany) {
  const Translated titan =
      Embed(kBedrock, R"({"input":"a","dimensions":256})", Model("amazon.titan-embed-text-v2:0"));
  const Translated cohere = Embed(kBedrock, R"({"input":["a","b"],"encoding_format":"base64"})",
                                  Model("cohere.embed-english-v3"));

  EXPECT_EQ(titan.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
  EXPECT_EQ(titan.body.dump(), R"({"inputText":"a","dimensions":256})");
  EXPECT_EQ(cohere.body.dump(), R"({"texts":["a","b"],"input_type":"search_document"})");
  EXPECT_TRUE(cohere.plan.base64);
  EXPECT_EQ(Embed(kBedrock, R"({"input":["a","b"]})", Model("amazon.titan-embed-text-v2:0"))
                .problem.field,
            "input");
  EXPECT_EQ(Embed(kBedrock, R"({"input":[1,2]})", Model("cohere.embed-english-v3")).problem.field,
            "input");
}

TEST(BedrockEmbeddingsTest, ProviderOptionsSayTheMakerWhereTheNameDoesNot) {
  Target target = Model("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc");

  EXPECT_THAT(Embed(kBedrock, R"({"input":"a"})", target).problem.message,
              HasSubstr("providerOptions.format"));
  target.options.format = "cohere";
  EXPECT_EQ(Embed(kBedrock, R"({"input":"a","input_type":"search_query"})", target).body.dump(),
            R"({"texts":["a"],"input_type":"search_query"})");
}

}  // namespace
}  // namespace rota::provider
