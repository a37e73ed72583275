#include "cli/import/providers.h"

#include "cli/import/api_builder.h"
#include "common/provider_catalog.h"
#include "gtest/gtest.h"

namespace rota::importer {
namespace {

TEST(ProvidersTest, EveryRowIsAProviderOfTheController) {
  for (const char* const name :
       {"openai", "Azure OpenAI", "anthropic", "bedrock", "gemini", "ollama", "mistral", "groq",
        "deepseek", "xai", "openrouter", "together", "vllm", "fireworks", "cerebras"}) {
    const ProviderRow* const row = FindProvider(name);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_NE(rota::FindProvider(row->provider), nullptr) << row->provider;
  }
  EXPECT_EQ(FindProvider("cohere"), nullptr);
}

TEST(ProvidersTest, ANameThatBeginsWithAProviderIsOneOfIt) {
  EXPECT_EQ(GuessProvider("openai-east")->provider, "openai");
  EXPECT_EQ(GuessProvider("azure-openai-west")->spelling, "azureopenai");
  EXPECT_EQ(GuessProvider("my-server"), nullptr);
}

TEST(ProvidersTest, TheBaseOfAnOperationsUrl) {
  EXPECT_EQ(BaseOfOperation("http://ollama.ollama:11434/api/chat"), "http://ollama.ollama:11434");
  EXPECT_EQ(BaseOfOperation("https://a.example.com/v1/chat/completions/"),
            "https://a.example.com/v1");
  EXPECT_EQ(BaseOfOperation("https://a.example.com/v1/messages"), "https://a.example.com");
  EXPECT_FALSE(BaseOfOperation("https://a.example.com/generate"));
}

TEST(ProvidersTest, DurationsAreWholeSecondsOrSayTheirUnit) {
  EXPECT_EQ(DurationOfMilliseconds(60'000).dump(), "60");
  EXPECT_EQ(DurationOfMilliseconds(1500).dump(), "\"1500ms\"");
}

TEST(FitWeightsTest, KeepsProportionsAndNeverDropsATarget) {
  OrderedJson targets = {{{"weight", 65'535}}, {{"weight", 32'767}}, {{"weight", 1}}};
  EXPECT_FALSE(FitWeights(targets));
  EXPECT_EQ(targets[0]["weight"], 10'000);
  EXPECT_EQ(targets[1]["weight"], 4'999);
  EXPECT_EQ(targets[2]["weight"], 1);
  EXPECT_TRUE(FitWeights(targets));
}

}  // namespace
}  // namespace rota::importer
