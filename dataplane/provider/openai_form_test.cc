#include "dataplane/provider/openai_form.h"

#include <gtest/gtest.h>

#include <string>

namespace rota::provider {
namespace {

const AnswerPlan kPlan;
const AnswerContext kContext = {&kPlan, "the-model", "chatcmpl-7", 1767225600};

TEST(OpenAiFormTest, RendersAWholeAnswer) {
  ChatResult result;
  result.content = "a\"b";
  result.reasoning = "hm";
  result.tool_calls = {{"", "f", ""}, {"call_x", "g", "{\"a\":1}"}};
  result.finish_reason = "tool_calls";
  result.usage.prompt = 10;
  result.usage.completion = 5;
  result.usage.cached = 4;
  result.usage.reasoning = 2;
  EXPECT_EQ(
      RenderChat(result, kContext),
      R"({"id":"chatcmpl-7","object":"chat.completion","created":1767225600,"model":"the-model",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"a\"b","refusal":null,)"
      R"("reasoning_content":"hm","tool_calls":[{"id":"call_7_0","type":"function","function":)"
      R"({"name":"f","arguments":"{}"}},{"id":"call_x","type":"function","function":{"name":"g",)"
      R"("arguments":"{\"a\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":)"
      R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":)"
      R"({"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}})");
}

TEST(OpenAiFormTest, EncodesEmbeddingsAsTheRequestWants) {
  EmbeddingsResult result;
  result.embeddings = {{0.1F, -2.0F}};
  result.usage.prompt = 3;
  EXPECT_EQ(RenderEmbeddings(result, kContext),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2]}],)"
            R"("model":"the-model","usage":{"prompt_tokens":3,"total_tokens":3}})");
  AnswerPlan plan;
  plan.base64 = true;
  const AnswerContext context = {&plan, "m", "", 0};
  EXPECT_NE(RenderEmbeddings(result, context).find(R"("embedding":"zczMPQAAAMA=")"),
            std::string::npos);
}

TEST(OpenAiFormTest, MessagesOfProvidersLoseKeysAndAccounts) {
  EXPECT_EQ(CleanMessage("Bad key sk-ant-abcdef, key:AKIA0123456789, see \"org-12ab34\" please"),
            "Bad key [removed], [removed], see \"[removed]\" please");
  EXPECT_EQ(CleanMessage("User: arn:aws:iam::123456789012:user/x is not authorized"),
            "User: [removed] is not authorized");
  EXPECT_EQ(CleanMessage("project 123456789012/eu has 128000 of 200000 tokens; ask-me, the key-"),
            "project [removed]/eu has 128000 of 200000 tokens; ask-me, the key-");
  EXPECT_EQ(CleanMessage(std::string(2047, 'x') + "\xc3\xa4").size(), 2050U);  // ä does not fit
}

TEST(OpenAiFormTest, ErrorsHaveOpenAisTypeForTheirStatus) {
  EXPECT_EQ(RenderError({429, "slow down", "", "rate_limit_exceeded", ""}),
            R"({"error":{"message":"slow down","type":"rate_limit_exceeded",)"
            R"("code":"rate_limit_exceeded","param":null}})");
}

TEST(OpenAiFormTest, FinishReasonsThatNobodyKnowsAreStop) {
  static constexpr FinishReasonRow kRows[] = {{"MAX", "length"}};
  std::string unknown;
  EXPECT_EQ(FinishReasonOf("MAX", kRows, unknown), "length");
  EXPECT_EQ(unknown, "");
  EXPECT_EQ(FinishReasonOf("NEW", kRows, unknown), "stop");
  EXPECT_EQ(unknown, "NEW");
}

std::string Chunk(const std::string& delta, const std::string& finish, const std::string& usage) {
  return R"(data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767225600,)"
         R"("model":"the-model","choices":[{"index":0,"delta":{)" +
         delta + R"(},"logprobs":null,"finish_reason":)" + finish + "}]" + usage + "}\n\n";
}

TEST(ChunkWriterTest, WritesAStreamInOpenAisOrder) {
  AnswerPlan plan;
  plan.include_usage = true;
  ChunkWriter writer({&plan, "the-model", "chatcmpl-7", 1767225600});
  std::string out;
  writer.Content("Hi", out);
  const size_t call = writer.BeginToolCall("", "f", out);
  writer.EndToolCall(call, out);
  writer.FinishReason("tool_calls", out);
  writer.FinishReason("stop", out);
  writer.Content("too late", out);
  Usage usage;
  usage.prompt = 1;
  usage.completion = 2;
  writer.End(usage, out);
  const std::string none = ",\"usage\":null";
  EXPECT_EQ(
      out,
      Chunk(R"("role":"assistant","content":"")", "null", none) +
          Chunk(R"("content":"Hi")", "null", none) +
          Chunk(
              R"("tool_calls":[{"index":0,"id":"call_7_0","type":"function","function":{"name":"f","arguments":""}}])",
              "null", none) +
          Chunk(R"("tool_calls":[{"index":0,"function":{"arguments":"{}"}}])", "null", none) +
          Chunk("", "\"tool_calls\"", none) +
          R"(data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767225600,)"
          R"("model":"the-model","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,)"
          R"("total_tokens":3}})"
          "\n\ndata: [DONE]\n\n");
}

TEST(ChunkWriterTest, LeavesUsageOutWhenNobodyAskedForIt) {
  ChunkWriter writer(kContext);
  std::string out;
  writer.FinishReason("stop", out);
  writer.End(Usage(), out);
  EXPECT_EQ(out.find("usage"), std::string::npos);
  EXPECT_TRUE(out.ends_with("data: [DONE]\n\n"));
}

TEST(ChunkWriterTest, TakesNoMoreToolCallsThanItsBound) {
  ChunkWriter writer(kContext);
  std::string out;
  for (size_t i = 0; i < ChunkWriter::kMaxToolCalls; ++i) {
    EXPECT_EQ(writer.BeginToolCall("", "f", out), i);
  }
  out.clear();
  const size_t call = writer.BeginToolCall("", "f", out);
  writer.ToolArguments(call, "{}", out);
  writer.EndToolCall(call, out);
  EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace rota::provider
