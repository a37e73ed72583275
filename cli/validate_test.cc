#include "cli/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace rota::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kApi[] =
    "name: chat\nbasePath: /chat\nversion: \"1.0\"\n"
    "endpointConfigurations:\n  production:\n    - endpoint: https://api.openai.com/v1\n"
    "      endpointSecurity:\n        enabled: true\n        securityType:\n"
    "          {secretName: key, apiKeyNameKey: Authorization, apiKeyValueKey: apiKey}\n"
    "operations:\n  - {target: /chat/completions, verb: POST}\n";

constexpr char kSecret[] =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {apiKey: sk-hidden}\n";

class ValidateTest : public ::testing::Test {
 protected:
  ValidateTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "rota-validate-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ValidateTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  int Run(std::vector<std::string> paths, bool json = false, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const int code = Validate({std::move(paths), json}, in, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::filesystem::path folder_;
  std::string out_;
  std::string err_;
};

TEST_F(ValidateTest, GoodFilesPassWithASummary) {
  const std::string api = Write("api.yaml", kApi);
  const std::string secret = Write("secret.yaml", kSecret);
  EXPECT_EQ(Run({api, secret}), kExitOk);
  EXPECT_EQ(out_, "2 files, 1 API, 1 Secret, 0 policy fragments: 0 errors, 0 warnings\n");
}

TEST_F(ValidateTest, FindingsNameFileLineFieldAndFix) {
  const std::string api = Write("api.yaml", std::string(kApi) + "defaultversion: true\n");
  EXPECT_EQ(Run({api}), kExitFindings);
  EXPECT_THAT(
      out_,
      HasSubstr(api + ":13: error: defaultversion: unknown field; did you mean defaultVersion?\n"));
  EXPECT_THAT(out_, HasSubstr("1 error,"));
}

TEST_F(ValidateTest, WarningsAreShownAndPass) {
  const std::string api = Write("api.yaml", std::string(kApi) + "subscriptionValidation: true\n");
  EXPECT_EQ(Run({api}), kExitOk);
  EXPECT_THAT(out_, HasSubstr(":13: warning: subscriptionValidation: not enforced yet"));
  EXPECT_THAT(out_, HasSubstr("1 warning\n"));
}

TEST_F(ValidateTest, AbsentSecretIsANoteAndAMissingKeyAnError) {
  const std::string api = Write("api.yaml", kApi);
  EXPECT_EQ(Run({api}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("note: "));
  EXPECT_THAT(out_, HasSubstr("Secret default/key does not exist"));
  const std::string secret =
      Write("secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {other: x}\n");
  EXPECT_EQ(Run({api, secret}), kExitFindings);
  EXPECT_THAT(out_, HasSubstr("has no key 'apiKey'"));
}

TEST_F(ValidateTest, AServiceOfAnotherNamespaceIsANoteThatSaysWhichGrantItNeeds) {
  std::string with_service = kApi;
  with_service.insert(with_service.find("operations:"),
                      "  sandbox: [{endpoint: {name: llm, namespace: models, port: 8000}}]\n");
  const std::string api = Write("api.yaml", with_service);
  EXPECT_EQ(Run({api}), kExitOk) << out_;
  EXPECT_THAT(out_, HasSubstr(":11: note: endpointConfigurations.sandbox[0].endpoint: Service "
                              "models/llm needs a ReferenceGrant of namespace models"));
}

TEST_F(ValidateTest, TwoApisOnOnePathAreAnError) {
  Write("a.yaml", kApi);
  std::string other = kApi;
  other.replace(other.find("name: chat"), 10, "name: else");
  Write("b.yaml", other);
  EXPECT_EQ(Run({folder_.string()}), kExitFindings);
  EXPECT_THAT(out_, HasSubstr("b.yaml:2: error: basePath: "));
}

TEST_F(ValidateTest, OneObjectInTwoFilesIsAnErrorThatNamesBoth) {
  const std::string first = Write("a.yaml", kApi);
  const std::string second = Write("b.yaml", kApi);
  EXPECT_EQ(Run({first, second}), kExitFindings);
  EXPECT_THAT(out_, HasSubstr(second + ":1: error: the API default/chat-"));
  EXPECT_THAT(out_, HasSubstr("is already in " + first + ":1"));
}

TEST_F(ValidateTest, DirectoriesAreReadWithoutHiddenAndForeignFiles) {
  Write("api.yml", kApi);
  Write(".hidden.yaml", ": :");
  Write("notes.txt", ": :");
  std::filesystem::create_directory(folder_ / "deeper.yaml");
  EXPECT_EQ(Run({folder_.string()}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("1 file, 1 API"));
}

TEST_F(ValidateTest, WhatIsNothingOfOursInADirectoryIsPassedOverAndSaid) {
  Write("api.yaml", std::string(kApi) + "---\napiVersion: v1\nkind: ConfigMap\ndata: {}\n");
  Write("package.json", R"({"name": "left-pad", "version": "1.0.0"})");
  Write("list.json", "[1, 2]");
  EXPECT_EQ(Run({folder_.string()}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("3 files, 1 API, 0 Secrets, 0 policy fragments: 0 errors"));
  EXPECT_THAT(out_,
              HasSubstr("3 documents passed over (no API, RotaGateway, Secret or apk-conf file): " +
                        (folder_ / "api.yaml").string() + ":14, "));
  EXPECT_THAT(out_, HasSubstr((folder_ / "package.json").string() + ":1"));
  EXPECT_EQ(Run({folder_.string()}, true), kExitOk);
  const nlohmann::json report = nlohmann::json::parse(out_, nullptr, false);
  EXPECT_EQ(report["summary"]["passedOver"], 3);
  EXPECT_EQ(report["passedOver"][1]["file"], (folder_ / "list.json").string());
  EXPECT_TRUE(report["findings"].empty() || report["findings"][0]["severity"] == "note");
}

TEST_F(ValidateTest, ManyThatArePassedOverAreCountedAndNotAllNamed) {
  Write("a.yaml", kApi);
  for (int i = 0; i < 12; ++i) {
    Write("z" + std::to_string(i) + ".json", "{}");
  }
  EXPECT_EQ(Run({folder_.string()}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("12 documents passed over"));
  EXPECT_THAT(out_, HasSubstr(" and 2 more\n"));
}

TEST_F(ValidateTest, AFileThatIsNamedAndHoldsNothingOfOursIsAnError) {
  const std::string file = Write("package.json", R"({"name": "left-pad", "version": "1.0.0"})");
  EXPECT_EQ(Run({file}), kExitFindings);
  EXPECT_THAT(out_, HasSubstr(file + ":1: error: neither an apk-conf API"));
  const std::string mixed =
      Write("mixed.yaml", std::string(kApi) + "---\napiVersion: v1\nkind: Pod\n");
  EXPECT_EQ(Run({mixed}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("1 document passed over"));
}

TEST_F(ValidateTest, WhatIsMeantAsOursAndUnreadableFilesAreErrorsInADirectoryToo) {
  Write("api.yaml", kApi);
  Write("typo.yaml", "apiVersion: gateway.rota.dev/v1\nkind: API\nmetadata: {name: a}\n");
  Write("unreadable.json", "{\"a\": [");
  EXPECT_EQ(Run({folder_.string()}), kExitFindings);
  EXPECT_THAT(out_, HasSubstr("typo.yaml:1: error: "));
  EXPECT_THAT(out_, HasSubstr("unreadable.json:"));
  EXPECT_THAT(out_, HasSubstr("2 errors"));
}

TEST_F(ValidateTest, ADirectoryWithNothingOfOursHasNothingToCheck) {
  Write("package.json", "{}");
  EXPECT_EQ(Run({folder_.string()}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("nothing to check"));
}

TEST_F(ValidateTest, StandardInputIsRead) {
  EXPECT_EQ(Run({"-"}, false, std::string(kApi) + "---\n" + kSecret), kExitOk);
  EXPECT_THAT(out_, HasSubstr("1 file, 1 API, 1 Secret"));
  EXPECT_EQ(Run({"-"}, false, "a: [\n"), kExitFindings);
  EXPECT_THAT(out_, HasSubstr("<stdin>:"));
  EXPECT_THAT(out_, HasSubstr("not readable YAML"));
}

TEST_F(ValidateTest, WhatCannotBeReadIsWrongUsage) {
  EXPECT_EQ(Run({(folder_ / "absent.yaml").string()}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("absent.yaml"));
  EXPECT_EQ(Run({folder_.string()}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("no .yaml"));
  EXPECT_EQ(Run({Write("empty.yaml", "# nothing\n")}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("nothing to check"));
}

TEST_F(ValidateTest, PolicyFragmentIsCheckedAsOneAndSaysSo) {
  const std::string fragment =
      Write("policy.yaml",
            "apiPolicies:\n  request:\n    - policyName: ModelBasedRoundRobin\n      parameters:\n"
            "        productionModels:\n          - {model: a, endpoint: main}\n");
  EXPECT_EQ(Run({fragment}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("note: policies without an API"));
  EXPECT_THAT(out_, HasSubstr("1 policy fragment: 0 errors"));
}

TEST_F(ValidateTest, JsonOutputHoldsTheSame) {
  const std::string api = Write("api.yaml", std::string(kApi) + "defaultversion: true\n");
  EXPECT_EQ(Run({api}, true), kExitFindings);
  const nlohmann::json report = nlohmann::json::parse(out_, nullptr, false);
  ASSERT_FALSE(report.is_discarded()) << out_;
  EXPECT_EQ(report["summary"]["errors"], 1);
  const nlohmann::json& finding = report["findings"][0];
  EXPECT_EQ(finding["file"], api);
  EXPECT_EQ(finding["line"], 13);
  EXPECT_EQ(finding["severity"], "error");
  EXPECT_EQ(finding["reason"], "UnknownField");
  EXPECT_EQ(finding["field"], "defaultversion");
}

TEST_F(ValidateTest, SecretsAreNeverPrinted) {
  const std::string bad = Write("s.yaml", std::string(kSecret) + "more: sk-hidden\n");
  EXPECT_EQ(Run({bad}), kExitFindings);
  EXPECT_THAT(out_ + err_, Not(HasSubstr("sk-hidden")));
}

TEST_F(ValidateTest, SeedFilesPass) {
  const char* const variable = std::getenv("ROTA_SHARED_DIR");
  const std::filesystem::path seeds =
      std::filesystem::path(variable != nullptr ? variable : test::SourceDir() + "/../shared") /
      "inputs/apk";
  if (!std::filesystem::exists(seeds)) {
    GTEST_SKIP() << seeds << " is not there; set ROTA_SHARED_DIR";
  }
  EXPECT_EQ(Run({(seeds / "chat-service.apk-conf.yaml").string()}), kExitOk) << out_;
  EXPECT_THAT(out_, HasSubstr("0 errors"));
  EXPECT_EQ(Run({(seeds / "policy-only.apk-conf.yaml").string()}), kExitOk) << out_;
}

}  // namespace
}  // namespace rota::cli
