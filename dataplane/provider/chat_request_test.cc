#include "dataplane/provider/chat_request.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/provider/field_rules.h"

namespace rota::provider {
namespace {

// "field: code" of the error; "" when it was read.
std::string ProblemWith(std::string_view request) {
  const Json parsed = *ParseJson(request);
  const absl::StatusOr<ChatRequest> read = ReadChatRequest(parsed);
  if (read.ok()) {
    return "";
  }
  const FieldProblem problem = ProblemOf(read.status());
  return problem.field + ": " + std::string(problem.code);
}

std::string ProblemWithMembers(const std::string& members) {
  return ProblemWith(R"({"messages":[{"role":"user","content":"x"}],)" + members + "}");
}

TEST(ChatRequestTest, JoinsMessagesIntoTurnsThatAlternate) {
  const Json request = *ParseJson(R"({"messages":[
      {"role":"system","content":"Be brief."},
      {"role":"user","content":"a"},
      {"role":"user","content":[{"type":"text","text":"b"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
      {"role":"assistant","content":null,"tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
        {"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
      {"role":"tool","tool_call_id":"c1","content":"one"},
      {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},
      {"role":"developer","content":[{"type":"text","text":"And kind."}]},
      {"role":"assistant","content":""},
      {"role":"user","content":"go on"}]})");
  const ChatRequest chat = *ReadChatRequest(request);
  EXPECT_EQ(chat.system, "Be brief.\n\nAnd kind.");
  ASSERT_EQ(chat.turns.size(), 3U);
  EXPECT_EQ(TextOf(chat.turns[0].parts), "ab");
  EXPECT_EQ(chat.turns[0].parts[2].media_type, "image/png");
  EXPECT_EQ(chat.turns[0].parts[2].base64, "AAAA");
  EXPECT_FALSE(chat.turns[1].is_user);
  EXPECT_EQ(DumpJson(chat.turns[1].parts[0].arguments), R"({"x":1})");
  EXPECT_EQ(DumpJson(chat.turns[1].parts[1].arguments), "{}");
  ASSERT_EQ(chat.turns[2].parts.size(), 3U) << "an empty message divides nothing";
  EXPECT_EQ(chat.turns[2].parts[1].kind, Part::Kind::kToolResult);
  EXPECT_EQ(chat.turns[2].parts[1].name, "g") << "found by the call's id";
  EXPECT_EQ(TextOf(chat.turns[2].parts[1].content), "two");
}

TEST(ChatRequestTest, SystemMessagesAloneAreTheUsersTurn) {
  const Json request = *ParseJson(R"({"messages":[{"role":"system","content":"Say hello"}]})");
  const ChatRequest chat = *ReadChatRequest(request);
  EXPECT_EQ(chat.system, "");
  ASSERT_EQ(chat.turns.size(), 1U);
  EXPECT_TRUE(chat.turns[0].is_user);
  EXPECT_EQ(TextOf(chat.turns[0].parts), "Say hello");
}

TEST(ChatRequestTest, ReadsTheOtherMembers) {
  const Json request = *ParseJson(R"({"messages":[{"role":"user","content":"x"}],
      "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],
      "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,
      "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"}}},
      "stop":"end","max_tokens":5,"max_completion_tokens":7,"temperature":0.5,"top_p":1,
      "user":"u","reasoning_effort":"low"})");
  const ChatRequest chat = *ReadChatRequest(request);
  EXPECT_EQ(chat.tools.at(0).name, "f");
  EXPECT_EQ(chat.tool_choice.kind, ToolChoice::Kind::kOne);
  EXPECT_FALSE(chat.parallel_tool_calls);
  EXPECT_EQ(chat.output.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(chat.stop, std::vector<std::string_view>{"end"});
  EXPECT_EQ(chat.max_tokens, 7U);
  EXPECT_EQ(chat.temperature, 0.5);
  EXPECT_EQ(chat.reasoning_effort, "low");
}

TEST(ChatRequestTest, NamesThePlaceOfWhatIsWrong) {
  EXPECT_EQ(ProblemWith("{}"), "messages: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[]})"), "messages: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[{"role":"user","content":""}]})"),
            "messages: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[7]})"), "messages[0]: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[{"role":"bot","content":"x"}]})"),
            "messages[0].role: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[{"role":"user","content":[{"type":"input_audio"}]}]})"),
            "messages[0].content[0].type: unsupported_parameter");
  EXPECT_EQ(
      ProblemWith(
          R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})"),
      "messages[0].content[0].image_url.url: invalid_value");
  EXPECT_EQ(
      ProblemWith(R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function",
      "function":{"name":"f","arguments":"{"}}]}]})"),
      "messages[0].tool_calls[0].function.arguments: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[{"role":"tool","content":"x"}]})"),
            "messages[0].tool_call_id: invalid_value");
  EXPECT_EQ(ProblemWith(R"({"messages":[{"role":"function","content":"x"}]})"),
            "messages[0].role: unsupported_parameter");
}

TEST(ChatRequestTest, ChecksTheOtherMembers) {
  EXPECT_EQ(ProblemWithMembers(R"("max_tokens":0)"), "max_tokens: invalid_value");
  EXPECT_EQ(ProblemWithMembers(R"("temperature":"hot")"), "temperature: invalid_value");
  EXPECT_EQ(ProblemWithMembers(R"("stop":[1])"), "stop: invalid_value");
  EXPECT_EQ(ProblemWithMembers(R"("tools":[{"type":"custom"}])"),
            "tools[0].type: unsupported_parameter");
  EXPECT_EQ(ProblemWithMembers(R"("tools":[{"type":"function","function":{"name":"f"}}],
      "tool_choice":{"type":"function","function":{"name":"g"}})"),
            "tool_choice.function.name: invalid_value");
  EXPECT_EQ(ProblemWithMembers(R"("response_format":{"type":"json_schema"})"),
            "response_format.json_schema.schema: invalid_value");
}

}  // namespace
}  // namespace rota::provider
