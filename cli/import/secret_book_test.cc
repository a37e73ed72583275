#include "cli/import/secret_book.h"

#include "cli/import/print.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::importer {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(KeySourceTest, ReferencesOfTheGatewaysAreUnderstood) {
  struct Row {
    const char* value;
    const char* variable;
    const char* scheme;
  };
  for (const Row& row : {
           Row{R"(Bearer ${{ env "DECK_KEY" }})", "DECK_KEY", ""},
           Row{R"(${{ env 'DECK_KEY' | trim }})", "DECK_KEY", ""},
           Row{R"(Basic ${{ env "LOGIN" }})", "LOGIN", "Basic "},
           Row{"{vault://env/open-ai-key}", "OPEN_AI_KEY", ""},
           Row{"${OPENAI_API_KEY}", "OPENAI_API_KEY", ""},
           Row{"bearer ${OPENAI_API_KEY}", "OPENAI_API_KEY", ""},
           Row{"{vault://aws/openai/key}", "", ""},
           Row{"sk-123", "", ""},
           Row{"prefix-${A}-suffix", "", ""},
       }) {
    const KeySource source = ReadKeySource(row.value, true);
    EXPECT_EQ(source.variable, row.variable) << row.value;
    EXPECT_EQ(source.scheme, row.scheme) << row.value;
    EXPECT_FALSE(source.origin.empty()) << row.value;
  }
}

TEST(KeySourceTest, OnlyInAuthorizationIsBearerSaidBySomebodyElse) {
  EXPECT_EQ(ReadKeySource(R"(Bearer ${{ env "K" }})", false).scheme, "Bearer ");
}

TEST(KeySourceTest, NothingOfAValueInClearIsKept) {
  const KeySource source = ReadKeySource("Bearer sk-very-secret", true);
  EXPECT_THAT(source.origin + source.scheme + source.variable + source.identity,
              Not(HasSubstr("sk-very")));
}

TEST(SecretBookTest, OneValueIsOneSecretNamedAfterItsVariable) {
  std::vector<ImportedSecret> secrets;
  SecretBook book(secrets);
  const SecretBook::Key first{"apiKey", ReadKeySource(R"(${{ env "DECK_KEY" }})", false)};
  EXPECT_EQ(book.Use({first}, "a"), "deck-key");
  EXPECT_EQ(book.Use({first}, "b"), "deck-key");
  EXPECT_EQ(book.Use({{"apiKey", ReadKeySource("sk-1", false)}}, "Chat/openai"), "chat-openai");
  EXPECT_EQ(book.Use({{"apiKey", ReadKeySource("sk-2", false)}}, "chat-openai"), "chat-openai-2");
  ASSERT_EQ(secrets.size(), 3U);
  EXPECT_EQ(secrets[0].keys[0].variable, "DECK_KEY");
  EXPECT_EQ(secrets[2].keys[0].variable, "CHAT_OPENAI_2_APIKEY");
}

TEST(SecretBookTest, SeveralKeysAreOneSecretNamedAfterItsUse) {
  std::vector<ImportedSecret> secrets;
  SecretBook book(secrets);
  const SecretBook::Key id{"accessKey", ReadKeySource(R"(${{ env "DECK_ID" }})", false)};
  const SecretBook::Key secret{"secretKey", ReadKeySource("in-clear", false)};
  EXPECT_EQ(book.Use({id, secret}, "chat-bedrock"), "chat-bedrock");
  EXPECT_EQ(book.Use({id, secret}, "other-bedrock"), "chat-bedrock");
  ASSERT_EQ(secrets.size(), 1U);
  ASSERT_EQ(secrets[0].keys.size(), 2U);
  EXPECT_EQ(secrets[0].keys[0].variable, "DECK_ID");
  EXPECT_EQ(secrets[0].keys[1].variable, "CHAT_BEDROCK_SECRETKEY");
}

TEST(PrintSecretTest, PlaceholderOrValue) {
  const ImportedSecret secret{"", "login", {{"apiKey", "LOGIN", "Basic ", "the file"}}, false};
  const std::string placeholder = PrintSecret(secret, nullptr);
  EXPECT_THAT(placeholder, HasSubstr("kubectl create secret generic login "
                                     "--from-literal=apiKey=\"Basic $LOGIN\"\n"));
  EXPECT_THAT(placeholder, HasSubstr("stringData:\n  apiKey: replace-me\n"));
  const SecretValues values = {{"LOGIN", "bWU6aXQ="}};
  const std::string filled = PrintSecret(secret, &values);
  EXPECT_THAT(filled, HasSubstr("apiKey: \"Basic bWU6aXQ=\"\n"));
  EXPECT_THAT(filled, Not(HasSubstr("#")));
}

TEST(PrintSecretTest, ASecretThatExistsIsNotOverwrittenByAPlaceholder) {
  const ImportedSecret secret{"apk", "key", {{"apiKey", "KEY", "", "the cluster"}}, true};
  const std::string text = PrintSecret(secret, nullptr);
  EXPECT_THAT(text, Not(HasSubstr("kind: Secret")));
  EXPECT_THAT(text, HasSubstr("kubectl create secret generic key -n apk "));
}

TEST(NameTest, IsWhatKubernetesTakes) {
  EXPECT_EQ(NameFrom("/My Route_1/", "x"), "my-route-1");
  EXPECT_EQ(NameFrom("///", "x"), "x");
  EXPECT_EQ(NameFrom(std::string(80, 'a'), "x"), std::string(50, 'a'));
}

}  // namespace
}  // namespace rota::importer
