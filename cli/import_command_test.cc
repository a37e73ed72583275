#include "cli/import_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "common/file.h"

namespace rota::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConf[] = R"(
name: chat
basePath: /chat
version: "1.0"
endpointConfigurations:
  production:
    - endpoint: https://api.openai.com/v1
      endpointSecurity:
        enabled: true
        securityType: {secretName: openai-key, apiKeyNameKey: Authorization, apiKeyValueKey: apiKey}
operations: [{target: /chat/completions, verb: POST}]
)";

class ImportCommandTest : public ::testing::Test {
 protected:
  ImportCommandTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rota-import-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ImportCommandTest() override { std::filesystem::remove_all(folder_); }

  int Run(ImportOptions options, const std::string& input = kConf) {
    options.gateway = "apk";
    if (options.files.empty()) {
      options.files = {"-"};
    }
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const auto environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    const int code = Import(options, environment, in, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::filesystem::path folder_;
  std::map<std::string, std::string> variables_;
  std::string out_;
  std::string err_;
};

TEST_F(ImportCommandTest, StandardInputBecomesManifestsAndAReportThatIsChecked) {
  EXPECT_EQ(Run({}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("kind: API\n"));
  EXPECT_THAT(out_, HasSubstr("---\n# Secret openai-key\n"));
  EXPECT_THAT(err_, HasSubstr("mapped:\n"));
  EXPECT_THAT(err_, HasSubstr("1 file, 1 API, 0 Secrets, 0 policy fragments: 0 errors"));
}

TEST_F(ImportCommandTest, ADirectoryGetsOneFileEachAndSecretsAreTheOwnersOnly) {
  const std::string target = (folder_ / "out").string();
  EXPECT_EQ(Run({.directory = target}), kExitOk) << err_;
  EXPECT_EQ(out_, "");
  EXPECT_TRUE(std::filesystem::exists(target + "/chat.api.yaml"));
  struct stat secret {};
  ASSERT_EQ(stat((target + "/openai-key.secret.yaml").c_str(), &secret), 0);
  EXPECT_EQ(secret.st_mode & 0777, 0600U);
}

TEST_F(ImportCommandTest, NoFileIsOverwritten) {
  const std::string target = folder_.string();
  std::ofstream(folder_ / "openai-key.secret.yaml") << "mine";
  EXPECT_EQ(Run({.directory = target}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("openai-key.secret.yaml is there already"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "chat.api.yaml"));
  EXPECT_EQ(ReadFile((folder_ / "openai-key.secret.yaml").string()).value_or(""), "mine");
}

TEST_F(ImportCommandTest, SecretsAreFilledFromTheEnvironment) {
  variables_["OPENAI_KEY_APIKEY"] = "sk-from-env";
  EXPECT_EQ(Run({.secrets_from_env = true}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("apiKey: sk-from-env\n"));
  EXPECT_THAT(err_, Not(HasSubstr("sk-from-env")));
}

TEST_F(ImportCommandTest, VariablesThatAreNotSetAreNamedAndNothingIsWritten) {
  EXPECT_EQ(Run({.directory = (folder_ / "out").string(), .secrets_from_env = true}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("OPENAI_KEY_APIKEY: the key apiKey of the Secret openai-key"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(ImportCommandTest, WhatCouldNotBeImportedIsAnExitCodeAndTheRestIsPrinted) {
  const std::string two = std::string(kConf) +
                          "---\nname: queries\nbasePath: /queries\nversion: \"1.0\"\n"
                          "type: GRAPHQL\noperations: [{target: /graphql, verb: POST}]\n"
                          "endpointConfigurations: {production: [{endpoint: \"http://a.svc\"}]}\n";
  EXPECT_EQ(Run({}, two), kExitFindings);
  EXPECT_THAT(out_, HasSubstr("name: chat\n"));
  EXPECT_THAT(err_, HasSubstr("type 'GRAPHQL' is not supported"));
  EXPECT_EQ(Run({}, "kind: Pod\n"), kExitFindings);
  EXPECT_EQ(out_, "");
}

TEST_F(ImportCommandTest, WhatCannotBeReadIsWrongUsage) {
  EXPECT_EQ(Run({.files = {(folder_ / "absent.yaml").string()}}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("absent.yaml"));
  EXPECT_EQ(Run({}, "a: [\n"), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("<stdin>:"));
}

}  // namespace
}  // namespace rota::cli
