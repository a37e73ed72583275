#include "common/provider_catalog.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace rota {
namespace {

std::string NameOf(const Provider* provider) {
  return provider == nullptr ? "" : std::string(provider->name);
}

TEST(ProviderCatalogTest, KnowsNamesWhateverTheirSpelling) {
  EXPECT_EQ(NameOf(ProviderOfName("OpenAI")), "openai");
  EXPECT_EQ(NameOf(ProviderOfName("Azure OpenAI")), "azure");
  EXPECT_EQ(NameOf(ProviderOfName("aws-bedrock")), "bedrock");
  EXPECT_EQ(NameOf(ProviderOfName("x.ai")), "xai");
  EXPECT_EQ(NameOf(ProviderOfName("Mistral AI")), "mistral");
  EXPECT_EQ(NameOf(ProviderOfName("acme")), "");
  EXPECT_EQ(NameOf(ProviderOfName("")), "");
}

TEST(ProviderCatalogTest, KnowsHostsAndIsNotFooledByTheirLookalikes) {
  EXPECT_EQ(NameOf(ProviderOfUrl("https://my.openai.azure.com/x")), "azure");
  EXPECT_EQ(NameOf(ProviderOfUrl("https://api.anthropic.com")), "anthropic");
  EXPECT_EQ(NameOf(ProviderOfUrl("https://api.anthropic.com.example.com")), "");
  EXPECT_EQ(NameOf(ProviderOfUrl("https://notapi.anthropic.com")), "");
  EXPECT_EQ(NameOf(ProviderOfUrl("https://notapi.x.ai/v1")), "");
  EXPECT_EQ(NameOf(ProviderOfUrl("http://ollama.models.svc:11434/v1")), "ollama");
  EXPECT_EQ(NameOf(ProviderOfUrl("https://bedrock-runtime.eu-west-1.amazonaws.com")), "bedrock");
  EXPECT_EQ(NameOf(ProviderOfUrl("no url")), "");
}

TEST(ProviderCatalogTest, EveryRowIsFoundByItsNameAndItsUrl) {
  for (const Provider& provider : Providers()) {
    EXPECT_EQ(FindProvider(provider.name), &provider) << provider.name;
    EXPECT_EQ(ProviderOfName(provider.name), &provider) << provider.name;
    if (!provider.url.empty()) {
      EXPECT_EQ(ProviderOfUrl(provider.url), &provider) << provider.name;
    }
  }
  EXPECT_TRUE(std::is_sorted(Providers().begin(), Providers().end(),
                             [](const Provider& a, const Provider& b) { return a.name < b.name; }));
}

}  // namespace
}  // namespace rota
