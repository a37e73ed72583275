// testdata/<gateway>-<case>.in.{yaml,json} -> .out.yaml: the manifests, and the report as a comment
// behind them. Every result passes the controller's own checks. UPDATE_GOLDENS=1 writes the
// expected side anew; review the difference before committing it.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/import/gateways.h"
#include "cli/import/print.h"
#include "common/file.h"
#include "controller/compile/compile_api.h"
#include "controller/resource/decode.h"
#include "controller/resource/document.h"
#include "controller/resource/tree.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace rota::importer {
namespace {

const std::string kDirectory = test::SourceDir() + "/cli/import/testdata/";

struct Case {
  std::string gateway;
  std::string input;     // path
  std::string expected;  // path
};

Imported ImportFile(const Case& c) {
  const absl::StatusOr<std::string> text = ReadFile(c.input);
  EXPECT_TRUE(text.ok()) << text.status();
  resource::Trees trees = resource::ParseTrees(text.value_or(""), {});
  EXPECT_TRUE(trees.problems.empty())
      << c.input << ":" << trees.problems.front().line << ": " << trees.problems.front().message;
  std::vector<SourceDocument> documents;
  for (resource::Tree& tree : trees.trees) {
    documents.push_back({"input", std::move(tree.root), std::move(tree.lines)});
  }
  const Gateway* const gateway = FindGateway(c.gateway);
  EXPECT_NE(gateway, nullptr) << c.gateway;
  return gateway == nullptr ? Imported{} : gateway->import(documents);
}

std::string Show(const Imported& imported) {
  std::string text;
  for (const ImportedApi& api : imported.apis) {
    absl::StrAppend(&text, text.empty() ? "" : "---\n", PrintApi(api, "Imported."));
  }
  for (const ImportedSecret& secret : imported.secrets) {
    absl::StrAppend(&text, text.empty() ? "" : "---\n", PrintSecret(secret, nullptr));
  }
  absl::StrAppend(&text, "# Report:\n");
  for (const absl::string_view line : absl::StrSplit(imported.report.Print(), '\n')) {
    absl::StrAppend(&text, line.empty() ? "" : "# ", line, line.empty() ? "" : "\n");
  }
  return text;
}

// The controller takes what was made, without an error.
void CheckManifests(const std::string& manifests) {
  const resource::ParsedFile file = resource::ParseFile(manifests);
  for (const resource::DocumentProblem& problem : file.problems) {
    ADD_FAILURE() << "line " << problem.line << ": " << problem.message;
  }
  for (const resource::ApiManifest& manifest : file.apis) {
    const resource::DecodedApi decoded =
        resource::DecodeApi(manifest.spec, {"spec.", &manifest.lines, manifest.name.ns});
    for (const resource::Diagnostic& d : decoded.diagnostics) {
      EXPECT_NE(d.severity, resource::Severity::kError)
          << manifest.name.name << ": " << d.field << ": " << d.message;
    }
    if (decoded.api) {
      const compile::CompiledApi compiled =
          compile::CompileApi(manifest.name, "uid", *decoded.api, "spec.");
      EXPECT_NE(compiled.body, nullptr) << manifest.name.name;
      EXPECT_FALSE(resource::HasErrors(compiled.diagnostics)) << manifest.name.name;
    }
  }
}

void Check(const Case& c) {
  const Imported imported = ImportFile(c);
  const std::string output = Show(imported);
  if (std::getenv("UPDATE_GOLDENS") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(c.expected, output, 0644).ok());
  }
  EXPECT_EQ(ReadFile(c.expected).value_or("not there; run with UPDATE_GOLDENS=1"), output);
  CheckManifests(output);
}

std::vector<Case> OwnCases() {
  std::vector<Case> cases;
  for (const auto& entry : std::filesystem::directory_iterator(kDirectory)) {
    const std::string name = entry.path().filename().string();
    const size_t end = name.find(".in.");
    if (end != std::string::npos) {
      cases.push_back({name.substr(0, name.find('-')), entry.path().string(),
                       absl::StrCat(kDirectory, name.substr(0, end), ".out.yaml")});
    }
  }
  std::sort(cases.begin(), cases.end(),
            [](const Case& a, const Case& b) { return a.input < b.input; });
  return cases;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  std::string name = std::filesystem::path(info.param.expected).stem().stem().string();
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

class ImportGoldenTest : public testing::TestWithParam<Case> {};

TEST_P(ImportGoldenTest, BecomesWhatIsWrittenBesideIt) { Check(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Own, ImportGoldenTest, testing::ValuesIn(OwnCases()), NameOf);

// Files that people bring, unmodified. They are no part of the repository; what they become is.
class ImportSeedTest : public testing::TestWithParam<Case> {
 protected:
  static std::string Inputs() {
    const char* const variable = std::getenv("ROTA_SHARED_DIR");
    return (variable != nullptr ? std::string(variable) : test::SourceDir() + "/../shared") +
           "/inputs/";
  }
};

TEST_P(ImportSeedTest, BecomesWhatIsWrittenInTestdata) {
  Case c = GetParam();
  c.input = Inputs() + c.input;
  c.expected = kDirectory + c.expected;
  if (!std::filesystem::exists(c.input)) {
    GTEST_SKIP() << c.input << " is not there; set ROTA_SHARED_DIR";
  }
  Check(c);
}

INSTANTIATE_TEST_SUITE_P(
    Seeds, ImportSeedTest,
    testing::Values(
        Case{"kong", "kong/openai-and-ollama.deck.yaml", "seed-kong-openai-and-ollama.out.yaml"},
        Case{"kong", "kong/bedrock.deck.yaml", "seed-kong-bedrock.out.yaml"},
        Case{"trustgate", "trustgate/upstream.json", "seed-trustgate-upstream.out.yaml"},
        Case{"agentcc", "agentcc/routing-policy.yaml", "seed-agentcc-routing-policy.out.yaml"},
        Case{"apk", "apk/chat-service.apk-conf.yaml", "seed-apk-chat-service.out.yaml"},
        Case{"apk", "apk/policy-only.apk-conf.yaml", "seed-apk-policy-only.out.yaml"}),
    NameOf);

// examples/<gateway>/<file> -> examples/<gateway>/config, as `rotactl import` writes it.
class ExampleTest : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ExampleTest, ConfigIsWhatTheImportMakes) {
  const std::string gateway = GetParam().first;
  const std::string folder = absl::StrCat(test::SourceDir(), "/examples/", gateway, "/");
  const Imported imported = ImportFile({gateway, absl::StrCat(folder, GetParam().second), ""});
  EXPECT_FALSE(imported.report.has_errors()) << imported.report.Print();
  std::map<std::string, std::string> files;
  for (const ImportedApi& api : imported.apis) {
    files[api.name + ".api.yaml"] =
        PrintApi(api, absl::StrCat("Made by rotactl import ", gateway, "."));
  }
  for (const ImportedSecret& secret : imported.secrets) {
    files[secret.name + ".secret.yaml"] = PrintSecret(secret, nullptr);
  }
  size_t there = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "config")) {
    there += entry.is_regular_file() ? 1 : 0;
  }
  for (const auto& [name, text] : files) {
    const std::string path = absl::StrCat(folder, "config/", name);
    if (std::getenv("UPDATE_GOLDENS") != nullptr) {
      ASSERT_TRUE(WriteFileAtomically(path, text, 0644).ok());
    }
    EXPECT_EQ(ReadFile(path).value_or("not there; run with UPDATE_GOLDENS=1"), text) << path;
    CheckManifests(text);
  }
  EXPECT_EQ(there, files.size());
}

INSTANTIATE_TEST_SUITE_P(Gateways, ExampleTest,
                         testing::Values(std::pair{"kong", "kong.yaml"},
                                         std::pair{"trustgate", "upstream.json"},
                                         std::pair{"agentcc", "policy.yaml"},
                                         std::pair{"apk", "assistant.apk-conf.yaml"}),
                         [](const auto& example) { return std::string(example.param.first); });

}  // namespace
}  // namespace rota::importer
