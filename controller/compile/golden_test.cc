// testdata/<case>.in.yaml -> testdata/<case>.out.textproto: what files compile to, findings
// included. UPDATE_GOLDENS=1 writes the expected side anew; review the difference before committing
// it.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "controller/compile/assemble.h"
#include "controller/resource/decode.h"
#include "controller/resource/document.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "rota/sync/v1/config.pb.h"
#include "tests/support/paths.h"

namespace rota::compile {
namespace {

const std::string kDirectory = test::SourceDir() + "/controller/compile/testdata/";

std::string Show(const resource::Diagnostics& diagnostics) {
  std::string text;
  for (const resource::Diagnostic& d : diagnostics) {
    absl::StrAppend(&text, "# ", d.severity == resource::Severity::kError ? "error" : "warning",
                    " ", d.reason, ": ", d.field, ": ", d.message, "\n");
  }
  return text;
}

template <typename Message>
std::string ShowBody(const ResourceBody& body) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(body.bytes));
  std::string text;
  google::protobuf::TextFormat::PrintToString(message, &text);
  return text;
}

// Everything that a reader of the snapshot would see.
std::string Compile(const resource::ParsedFile& file) {
  std::map<Age, ApiVersions> apis;
  std::map<resource::ObjectName, std::string> findings;
  for (const resource::ApiManifest& manifest : file.apis) {
    const std::string prefix = manifest.bare_apk_conf ? "" : "spec.";
    const resource::DecodedApi decoded =
        resource::DecodeApi(manifest.spec, {prefix, &manifest.lines, manifest.name.ns});
    findings[manifest.name] = Show(decoded.diagnostics);
    ApiVersions& versions = apis[Age{"", manifest.name}];
    if (decoded.api.has_value()) {
      versions.current = std::make_shared<CompiledApi>(
          CompileApi(manifest.name, "uid-of-" + manifest.name.name, *decoded.api, prefix));
      findings[manifest.name] += Show(versions.current->diagnostics);
    }
  }
  std::map<resource::ObjectName, SecretVersion> secrets;
  for (const resource::SecretManifest& manifest : file.secrets) {
    SecretVersion& version = secrets[manifest.name];
    for (const auto& [key, value] : manifest.data) {
      version.keys.insert(key);
    }
    version.body = SecretBody("uid", "1", manifest.data);
  }
  const Assembly assembly = Assemble(apis, secrets, "default/default", GatewayBody({}));
  std::string text;
  for (const auto& [name, outcome] : assembly.apis) {
    absl::StrAppend(&text, "# API ", name.ToString(),
                    outcome.served == nullptr ? ": not served\n" : "\n", findings[name],
                    Show(outcome.accepted), Show(outcome.unresolved));
    if (outcome.served != nullptr) {
      text += ShowBody<rota::sync::v1::Api>(*outcome.body);
    }
  }
  std::map<std::string, std::string> shown_secrets;
  assembly.snapshot->resources.ForEach([&](const ResourceSet::Entry& resource) {
    if (resource.first.first == ResourceKind::kSecret) {
      shown_secrets[resource.first.second] = ShowBody<rota::sync::v1::Secret>(*resource.second);
    }
  });
  for (const auto& [name, body] : shown_secrets) {
    absl::StrAppend(&text, "# Secret ", name, "\n", body);
  }
  return text;
}

std::vector<std::string> Cases() {
  std::vector<std::string> cases;
  for (const auto& entry : std::filesystem::directory_iterator(kDirectory)) {
    const std::string name = entry.path().filename().string();
    const std::string ending = ".in.yaml";
    if (name.ends_with(ending)) {
      cases.push_back(name.substr(0, name.size() - ending.size()));
    }
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, CompilesToWhatIsWrittenBesideIt) {
  const auto input = ReadFile(absl::StrCat(kDirectory, GetParam(), ".in.yaml"));
  ASSERT_TRUE(input.ok()) << input.status();
  const resource::ParsedFile file = resource::ParseFile(*input);
  for (const resource::DocumentProblem& problem : file.problems) {
    ADD_FAILURE() << GetParam() << ".in.yaml:" << problem.line << ": " << problem.message;
  }
  ASSERT_FALSE(file.apis.empty());

  const std::string output = Compile(file);

  const std::string expected_path = absl::StrCat(kDirectory, GetParam(), ".out.textproto");
  if (std::getenv("UPDATE_GOLDENS") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(expected_path, output, 0644).ok());
  }
  const auto expected = ReadFile(expected_path);
  ASSERT_TRUE(expected.ok()) << expected.status() << "; run with UPDATE_GOLDENS=1 and review";
  EXPECT_EQ(output, *expected);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest, testing::ValuesIn(Cases()),
                         [](const auto& golden) { return golden.param; });

}  // namespace
}  // namespace rota::compile
