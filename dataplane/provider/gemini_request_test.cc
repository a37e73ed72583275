#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/provider/gemini.h"
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

const GeminiTranslator kGemini;
constexpr const char* kVertex = "/v1/projects/p/locations/eu/publishers/google";

Target Model(const std::string& model, const std::string& base_path = "") {
  return {.model = model, .base_path = base_path, .options = {}};
}

TEST(GeminiRequestTest, ThePathNamesModelAndMethod) {
  const auto path = [](const Target& target, const char* stream = "false") {
    return ChatWith(kGemini, std::string(R"("stream":)") + stream, target).path;
  };

  EXPECT_EQ(path(Model("gemini-2.5-pro")), "/v1beta/models/gemini-2.5-pro:generateContent");
  EXPECT_EQ(path(Model("gemini-2.5-pro"), "true"),
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
  EXPECT_EQ(path(Model("models/gemini-2.5-pro", "/v1beta")),
            "/models/gemini-2.5-pro:generateContent");
  EXPECT_EQ(path(Model("tunedModels/mine", "/v1")), "/tunedModels/mine:generateContent");
  EXPECT_EQ(path(Model("gemini-2.5-pro", kVertex)), "/models/gemini-2.5-pro:generateContent");
  EXPECT_EQ(path(Model("a/b?c")), "/v1beta/models/a%2Fb%3Fc:generateContent");
}

TEST(GeminiRequestTest, WritesAPlainConversation) {
  const Translated translated = Chat(kGemini, R"({
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},
                  {"role":"assistant","content":"Hello"},{"role":"user","content":"a"},
                  {"role":"user","content":"b"}],
      "max_tokens":100,"temperature":1.5,"top_p":0.9,"seed":7,"presence_penalty":0.5,
      "frequency_penalty":-0.5,"stop":"x"})");

  EXPECT_EQ(translated.body.dump(), Compact(R"({
      "systemInstruction":{"parts":[{"text":"Be brief."}]},
      "contents":[{"role":"user","parts":[{"text":"Hi"}]},
                  {"role":"model","parts":[{"text":"Hello"}]},
                  {"role":"user","parts":[{"text":"a"},{"text":"b"}]}],
      "generationConfig":{"temperature":1.5,"topP":0.9,"seed":7,"presencePenalty":0.5,
                          "frequencyPenalty":-0.5,"maxOutputTokens":100,"stopSequences":["x"]}})"));
  EXPECT_THAT(translated.dropped, IsEmpty());
}

TEST(GeminiRequestTest, MediaAreDataOrTheirAddress) {
  const Translated translated = Chat(kGemini, R"({"messages":[{"role":"user","content":[
      {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
      {"type":"image_url","image_url":{"url":"https://example.com/a.WebP?size=1"}},
      {"type":"image_url","image_url":{"url":"https://example.com/image"}},
      {"type":"file","file":{"file_data":"data:application/pdf;base64,BBBB"}}]}]})");

  EXPECT_EQ(Member(translated.body["contents"][0], "parts"), Compact(R"([
      {"inlineData":{"mimeType":"image/png","data":"AAAA"}},
      {"fileData":{"mimeType":"image/webp","fileUri":"https://example.com/a.WebP?size=1"}},
      {"fileData":{"mimeType":"image/jpeg","fileUri":"https://example.com/image"}},
      {"inlineData":{"mimeType":"application/pdf","data":"BBBB"}}])"));
}

constexpr std::string_view kToolHistory = R"({"messages":[
    {"role":"user","content":"Weather?"},
    {"role":"assistant","content":"Let me see.","tool_calls":[
        {"id":"a","type":"function","function":{"name":"get","arguments":"{\"city\":\"Bern\"}"}},
        {"id":"b","type":"function","function":{"name":"other","arguments":""}}]},
    {"role":"tool","tool_call_id":"a","content":"{\"rain\":true}"},
    {"role":"tool","tool_call_id":"b","content":"[1]"}]})";

TEST(GeminiRequestTest, CallsAndResultsAreMatchedByNameAndOrder) {
  EXPECT_EQ(Member(Chat(kGemini, kToolHistory, Model("gemini-2.5-flash")).body, "contents"),
            Compact(R"([
      {"role":"user","parts":[{"text":"Weather?"}]},
      {"role":"model","parts":[{"text":"Let me see."},
          {"functionCall":{"name":"get","args":{"city":"Bern"}}},
          {"functionCall":{"name":"other","args":{}}}]},
      {"role":"user","parts":[
          {"functionResponse":{"name":"get","response":{"rain":true}}},
          {"functionResponse":{"name":"other","response":{"output":"[1]"}}}]}])"));
}

TEST(GeminiRequestTest, Gemini3GetsTheWordForCallsThatAreNotItsOwn) {
  const Json parts =
      Chat(kGemini, kToolHistory, Model("gemini-3-pro-preview")).body["contents"][1]["parts"];

  EXPECT_EQ(parts[1]["thoughtSignature"], "skip_thought_signature_validator");
  EXPECT_FALSE(parts[2].contains("thoughtSignature")) << "once per step";
}

TEST(GeminiRequestTest, AResultOfNoCallIsRefused) {
  EXPECT_EQ(Chat(kGemini, R"({"messages":[{"role":"user","content":"x"},
                              {"role":"tool","tool_call_id":"a","content":"y"}]})")
                .problem.field,
            "messages[1].tool_call_id");
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"get","description":"Gets.","parameters":
       {"type":"object","additionalProperties":false}}},
       {"type":"function","function":{"name":"bare"}}])";

TEST(GeminiRequestTest, ToolsKeepTheirSchemas) {
  EXPECT_EQ(Member(ChatWith(kGemini, kTools).body, "tools"), Compact(R"([{"functionDeclarations":[
      {"name":"get","description":"Gets.",
       "parametersJsonSchema":{"type":"object","additionalProperties":false}},
      {"name":"bare"}]}])"));
}

TEST(GeminiRequestTest, ToolChoicesAreModes) {
  const auto config = [](const std::string& choice) {
    return Member(ChatWith(kGemini, std::string(kTools) + R"(,"tool_choice":)" + choice).body,
                  "toolConfig");
  };

  EXPECT_EQ(config(R"("auto")"), "");
  EXPECT_EQ(config(R"("none")"), R"({"functionCallingConfig":{"mode":"NONE"}})");
  EXPECT_EQ(config(R"("required")"), R"({"functionCallingConfig":{"mode":"ANY"}})");
  EXPECT_EQ(config(R"({"type":"function","function":{"name":"get"}})"),
            R"({"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["get"]}})");
}

TEST(GeminiRequestTest, OutputFormatsAreItsOwn) {
  EXPECT_EQ(Member(ChatWith(kGemini, R"("response_format":{"type":"json_object"})").body,
                   "generationConfig"),
            R"({"responseMimeType":"application/json"})");
  EXPECT_EQ(Member(ChatWith(kGemini, R"("response_format":{"type":"json_schema","json_schema":
                       {"name":"x","schema":{"type":"object"}}})")
                       .body,
                   "generationConfig"),
            R"({"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}})");
}

TEST(GeminiRequestTest, ReasoningEffortIsWhatTheGenerationHas) {
  const auto thinking = [](const std::string& model, const std::string& effort) {
    Json body = ChatWith(kGemini, R"("reasoning_effort":")" + effort + "\"", Model(model)).body;
    return Member(body["generationConfig"], "thinkingConfig");
  };

  EXPECT_EQ(thinking("gemini-3-pro-preview", "high"), R"({"thinkingLevel":"high"})");
  EXPECT_EQ(thinking("gemini-3-pro-preview", "none"), R"({"thinkingLevel":"low"})");
  EXPECT_EQ(thinking("gemini-3-flash", "minimal"), R"({"thinkingLevel":"minimal"})");
  EXPECT_EQ(thinking("models/gemini-2.5-flash", "none"), R"({"thinkingBudget":0})");
  EXPECT_EQ(thinking("gemini-2.5-flash", "low"), R"({"thinkingBudget":1024})");
  EXPECT_EQ(thinking("gemini-2.5-flash", "medium"), R"({"thinkingBudget":8192})");
  EXPECT_EQ(thinking("gemini-2.5-flash", "high"), R"({"thinkingBudget":24576})");
  EXPECT_EQ(thinking("gemini-2.0-flash", "high"), "");
  EXPECT_THAT(ChatWith(kGemini, R"("reasoning_effort":"high")", Model("gemini-2.0-flash")).dropped,
              ElementsAre("reasoning_effort"));
}

TEST(GeminiRequestTest, WhatCannotBeSaidIsDroppedOrRefusedByName) {
  EXPECT_THAT(ChatWith(kGemini, R"("user":"me","parallel_tool_calls":false)").dropped,
              ElementsAre("user", "parallel_tool_calls"));
  EXPECT_EQ(ChatWith(kGemini, R"("n":2)").problem.field, "n");
  EXPECT_EQ(ChatWith(kGemini, R"("logprobs":true)").problem.field, "logprobs");
  EXPECT_EQ(ChatWith(kGemini, R"("seed":"x")").problem.field, "seed");
}

TEST(GeminiEmbeddingsTest, ABatchAndOnVertexAPrediction) {
  const std::string request = R"({"input":["a","b"],"dimensions":256})";
  const Translated batch = Embed(kGemini, request, Model("gemini-embedding-001"));
  const Translated prediction = Embed(kGemini, request, Model("gemini-embedding-001", kVertex));

  EXPECT_EQ(batch.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
  EXPECT_EQ(batch.body.dump(), Compact(R"({"requests":[
      {"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},
       "outputDimensionality":256},
      {"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},
       "outputDimensionality":256}]})"));
  EXPECT_EQ(prediction.path, "/models/gemini-embedding-001:predict");
  EXPECT_EQ(prediction.body.dump(), R"({"instances":[{"content":"a"},{"content":"b"}],)"
                                    R"("parameters":{"outputDimensionality":256}})");
}

}  // namespace
}  // namespace rota::provider
