#include "dataplane/provider/usage.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace rota::provider {
namespace {

Usage UsageOf(const std::string& json) {
  Usage usage;
  UpdateUsage(json, usage);
  return usage;
}

TEST(UsageTest, ReadsAnOpenAiAnswer) {
  const Usage usage = UsageOf(
      R"({"id":"x","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}],)"
      R"("usage":{"prompt_tokens":16,"completion_tokens":300,"total_tokens":316,)"
      R"("prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":7}}})");

  EXPECT_EQ(usage, (Usage{16, 300, 4, 7, 316}));
}

TEST(UsageTest, IsNotMisledByTextThatLooksLikeUsage) {
  EXPECT_EQ(UsageOf(R"({"content":"say \"usage\": {\"prompt_tokens\": 5}"})"), Usage());
  EXPECT_EQ(UsageOf(R"({"a":"usage","b":1})"), Usage());
  EXPECT_EQ(UsageOf(R"({"usage":null})"), Usage());
  EXPECT_EQ(UsageOf(R"({"usage":"none"})"), Usage());
  EXPECT_EQ(UsageOf(R"({"usage":{"prompt_tokens":-3,"completion_tokens":1.5}})"), Usage());
  EXPECT_EQ(UsageOf(R"({"usage":{"prompt_tokens":99999999999999999999}})"), Usage());
  EXPECT_EQ(UsageOf(R"({"usage":{"prompt_tokens":1)"), Usage());
}

TEST(UsageTest, TheLastValueWinsAndIsNoSum) {
  Usage usage;
  EXPECT_TRUE(UpdateUsage(R"({"usage":{"prompt_tokens":10,"completion_tokens":1}})", usage));
  EXPECT_TRUE(UpdateUsage(R"({"usage":{"prompt_tokens":10,"completion_tokens":5}})", usage));
  EXPECT_FALSE(UpdateUsage(R"({"usage":null})", usage));

  EXPECT_EQ(usage.completion, 5u);
  EXPECT_EQ(usage.total, 15u);
}

TEST(UsageTest, ReadsTheEndOfAnAnswerWhoseBeginningIsCutOff) {
  EXPECT_EQ(UsageOf(R"(g of a long text"}}],"usage":{"prompt_tokens":2,"completion_tokens":3}})"),
            (Usage{2, 3, {}, {}, 5}));
}

TEST(UsageTest, CountsAnthropicsAndBedrocksCacheIntoThePrompt) {
  EXPECT_EQ(UsageOf(R"({"usage":{"input_tokens":12,"cache_creation_input_tokens":3,)"
                    R"("cache_read_input_tokens":5,"output_tokens":30}})"),
            (Usage{20, 30, 5, {}, 50}));
  EXPECT_EQ(UsageOf(R"({"usage":{"inputTokens":12,"outputTokens":30,"cacheReadInputTokens":5}})"),
            (Usage{17, 30, 5, {}, 47}));
  // The Responses API counts the cached ones in.
  EXPECT_EQ(UsageOf(R"({"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":5},)"
                    R"("output_tokens":30,"output_tokens_details":{"reasoning_tokens":6}}})"),
            (Usage{12, 30, 5, 6, 42}));
}

TEST(UsageTest, CountsGeminisThoughtsIntoTheCompletion) {
  EXPECT_EQ(UsageOf(R"({"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":28,)"
                    R"("thoughtsTokenCount":244,"totalTokenCount":281}})"),
            (Usage{9, 272, {}, 244, 281}));
}

TEST(UsageTest, ReadsNothingFromABrokenObject) {
  for (const char* json :
       {R"({"usage":{"prompt_tokens":1,})", R"({"usage":{"prompt_tokens" 1}})",
        R"({"usage":{"prompt_tokens":1 "completion_tokens":2}})",
        R"({"usage":{"prompt_tokens":01}})", R"({"usage":{prompt_tokens:1}})",
        R"({"usage":{"prompt_tokens":1,"x":"\q"}})", R"({"usage":{"prompt_tokens":1,"x":nul}})",
        R"({"usage":{"prompt_tokens":1,"x":)", R"({"usage":{"prompt_tokens":)", R"({"usage":{)"}) {
    EXPECT_EQ(UsageOf(json), Usage()) << json;
  }
}

TEST(UsageTest, PassesOverWhatItDoesNotKnow) {
  EXPECT_EQ(
      UsageOf(R"({"usage": { "prompt_tokens" : 1 , "cost" : 0.5, "tier":"a\"b", "list":[{"a":[]}],)"
              R"("ok":true, "none":null, "details":{"prompt_tokens":7,"deep":{"prompt_tokens":8}},)"
              "\n\"completion_tokens\" : 2 } , \"more\":\"usage\"}"),
      (Usage{1, 2, {}, {}, 3}));
  EXPECT_EQ(
      UsageOf(R"({"usage":{"prompt_tokens":3}, "usages":{"prompt_tokens":4}, "g":"egg"})").prompt,
      3u);
  EXPECT_EQ(UsageOf(R"({"usage":{}})"), Usage());
}

TEST(UsageTest, DoesNotReadAnObjectWithoutAnEndInReach) {
  const std::string filler(20 << 10, ' ');
  EXPECT_EQ(UsageOf(R"({"usage":{"prompt_tokens":1)" + filler + "}}"), Usage());
}

TEST(UsageTest, KeepsATotalThatIsLargerThanItsParts) {
  EXPECT_EQ(
      UsageOf(R"({"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":90}})").total,
      90u);
}

TEST(UsageTest, TheCheapTestMissesNothing) {
  EXPECT_TRUE(MayHoldUsage(R"({"usage":{}})"));
  EXPECT_TRUE(MayHoldUsage(R"({"usageMetadata":{}})"));
  EXPECT_FALSE(MayHoldUsage(R"({"choices":[]})"));
}

struct Recording {
  const char* file;
  Usage usage;
};

TEST(UsageTest, ReadsRecordedAnswersAndStreams) {
  const char* shared = std::getenv("ROTA_SHARED_DIR");
  const std::filesystem::path folder =
      std::filesystem::path(shared != nullptr ? shared : test::SourceDir() + "/../shared") /
      "recordings";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there; set ROTA_SHARED_DIR to the folder of the recordings";
  }
  for (const Recording& recording :
       {Recording{"openai/openai-text.chunks.txt", {16, 300, 0, 0, 316}},
        Recording{"groq/groq-text.chunks.txt", {45, 662, {}, {}, 707}},
        Recording{"deepseek/deepseek-tool-call.chunks.txt", {339, 83, 320, 39, 422}},
        Recording{"anthropic/anthropic-text.chunks.txt", {12, 30, 0, {}, 42}}}) {
    std::ifstream lines(folder / recording.file);
    Usage usage;
    for (std::string line; std::getline(lines, line);) {
      UpdateUsage(line, usage);
    }
    EXPECT_EQ(usage, recording.usage) << recording.file;
  }
}

}  // namespace
}  // namespace rota::provider
