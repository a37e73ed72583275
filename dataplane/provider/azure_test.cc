#include "dataplane/provider/azure.h"

#include <gtest/gtest.h>

namespace rota::provider {
namespace {

std::string PathOf(std::string_view base_path, const ProviderOptions& options = {}) {
  return AzurePath("/chat/completions", {"gpt-4o", base_path, &options});
}

TEST(AzureTest, APathNamesDeploymentAndVersion) {
  EXPECT_EQ(PathOf(""), "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21");
}

TEST(AzureTest, TheBasePathMaySayAnyPartOfIt) {
  EXPECT_EQ(PathOf("/openai"), "/deployments/gpt-4o/chat/completions?api-version=2024-10-21");
  EXPECT_EQ(PathOf("/openai/deployments/d"), "/chat/completions?api-version=2024-10-21");
  EXPECT_EQ(PathOf("/openai/v1"), "/chat/completions");
  EXPECT_EQ(PathOf("/models"), "/chat/completions?api-version=2024-10-21");
  EXPECT_EQ(PathOf("/proxy/a"),
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21");
}

TEST(AzureTest, OptionsWin) {
  ProviderOptions options;
  options.deployment = "my deployment/1";
  options.api_version = "2025-04-01-preview";

  EXPECT_EQ(PathOf("", options),
            "/openai/deployments/my%20deployment%2F1/chat/completions"
            "?api-version=2025-04-01-preview");
  EXPECT_EQ(PathOf("/openai/v1", options), "/chat/completions?api-version=2025-04-01-preview");
  EXPECT_EQ(AzureDeployment({"gpt-4o", "", &options}), "my deployment/1");
}

TEST(AzureTest, EveryOperationHasItsPath) {
  const ProviderOptions options;

  EXPECT_EQ(AzurePath("/embeddings", {"text-embedding-3-small", "", &options}),
            "/openai/deployments/text-embedding-3-small/embeddings?api-version=2024-10-21");
}

TEST(AzureTest, EarlierVersionsCannotBeAskedForUsage) {
  for (const char* const version : {"", "2024-09-01-preview", "2024-10-21", "preview", "v1"}) {
    EXPECT_TRUE(AzureTakesStreamOptions(version)) << version;
  }
  for (const char* const version : {"2024-08-01-preview", "2024-06-01", "2023-05-15"}) {
    EXPECT_FALSE(AzureTakesStreamOptions(version)) << version;
  }
}

}  // namespace
}  // namespace rota::provider
