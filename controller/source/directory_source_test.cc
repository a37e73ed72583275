#include "controller/source/directory_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "controller/source/test_sink.h"
#include "gtest/gtest.h"

namespace rota::source {
namespace {

namespace fs = std::filesystem;
using namespace testing_source;  // NOLINT: test helpers

std::string Conf(const std::string& name, const std::string& path) {
  return absl::StrCat("name: ", name, "\nbasePath: ", path,
                      "\nversion: v1\nendpointConfigurations:\n  production:\n    - endpoint: "
                      "https://api.openai.com/v1\noperations:\n  - {target: /chat/completions, "
                      "verb: POST}\n");
}

const SecretReferences kKeys = {{{"default", "keys"}, {"apiKey"}}};

class DirectorySourceTest : public testing::Test {
 protected:
  DirectorySourceTest() {
    std::string pattern = testing::TempDir() + "/rota-directory-XXXXXX";
    path_ = mkdtemp(pattern.data());
    // No safety net: what is seen is seen by events.
    options_.rescan_interval = std::chrono::hours(1);
    options_.removal_tick = std::chrono::milliseconds(5);
  }
  ~DirectorySourceTest() override {
    source_.reset();
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, ignored);
    fs::remove_all(path_, ignored);
  }

  void Start() {
    source_ = std::make_unique<DirectorySource>(path_, options_);
    ASSERT_TRUE(source_->Start(sink_).ok());
    ASSERT_TRUE(sink_.Await([&] { return sink_.apis_synced == 1; }));
  }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  // In place, the way an editor without care does it.
  void WriteInPlace(const std::string& name, const std::string& text) {
    std::ofstream(File(name), std::ios::trunc) << text;
  }
  void Replace(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(File(name), text).ok());
  }
  bool AwaitBasePath(const std::string& name, const std::string& path) {
    return sink_.Await([&] {
      const auto found = sink_.apis.find(name);
      return found != sink_.apis.end() && found->second.spec.value("basePath", "") == path;
    });
  }
  bool AwaitSecret(const std::string& value) {
    return sink_.Await([&] {
      const auto found = sink_.secrets.find("default/keys");
      return found != sink_.secrets.end() && found->second.data.at("apiKey") == SecretString(value);
    });
  }

  std::string path_;
  DirectoryOptions options_;
  RecordingSink sink_;
  std::unique_ptr<DirectorySource> source_;
};

TEST_F(DirectorySourceTest, RefusesADirectoryThatDoesNotExist) {
  DirectorySource source(path_ + "/nowhere");

  const absl::Status status = source.Start(sink_);

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(status.message()).find("nowhere"), std::string::npos);
}

TEST_F(DirectorySourceTest, RefusesAFileInPlaceOfADirectory) {
  WriteInPlace("a.yaml", "x: 1\n");
  DirectorySource source(File("a.yaml"));

  EXPECT_EQ(source.Start(sink_).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DirectorySourceTest, TellsWhatIsThereAtTheStartAndThenSyncs) {
  WriteInPlace("chat.apk-conf.yaml", Conf("chat", "/chat"));
  WriteInPlace("two.yml", Manifest("one", "/one") + "---\n" + Manifest("two", "/two"));
  WriteInPlace("three.json", R"({"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "API",
      "metadata": {"name": "three", "namespace": "team"}, "spec": {"basePath": "/three"}})");
  WriteInPlace("readme.txt", "not: read\n");
  WriteInPlace(".hidden.yaml", Manifest("hidden", "/hidden"));
  Start();

  EXPECT_EQ(sink_.apis.size(), 4U);
  EXPECT_EQ(sink_.apis.count("default/one"), 1U);
  EXPECT_EQ(sink_.apis.count("default/two"), 1U);
  EXPECT_EQ(sink_.apis.count("team/three"), 1U);
  EXPECT_TRUE(sink_.Problems().empty());
  for (const auto& [name, api] : sink_.apis) {
    EXPECT_EQ(api.bare_apk_conf, name.starts_with("default/chat-")) << name;
    EXPECT_EQ(api.metadata.generation > 0, true);
    EXPECT_FALSE(api.metadata.uid.empty());
    EXPECT_TRUE(api.file.starts_with(path_));
  }
}

TEST_F(DirectorySourceTest, NamespacesAndTheirLabelsComeBeforeTheApisAreComplete) {
  const std::string head = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a, labels: ";
  WriteInPlace("team.yaml", head + "{team: a}}\n");
  Start();
  EXPECT_EQ(sink_.namespaces_synced, 1);
  EXPECT_EQ(sink_.namespaces.at("team-a").at("team"), "a");

  WriteInPlace("team.yaml", head + "{team: b}}\n");
  EXPECT_TRUE(sink_.Await([&] { return sink_.namespaces.at("team-a").at("team") == "b"; }));
  std::filesystem::remove(path_ + "/team.yaml");
  EXPECT_TRUE(sink_.Await([&] { return sink_.namespaces.empty(); }));
}

TEST_F(DirectorySourceTest, GatewaysComeBeforeTheApisAreComplete) {
  const std::string head = "apiVersion: gateway.rota.dev/v1alpha1\nkind: RotaGateway\n";
  WriteInPlace("edge.yaml", head + "metadata: {name: edge}\nspec: {allowLocalUpstreams: true}\n");
  Start();
  ASSERT_EQ(sink_.gateways.size(), 1U);
  EXPECT_EQ(sink_.gateways.at("default/edge").spec.at("allowLocalUpstreams"), true);
  EXPECT_EQ(sink_.gateways.at("default/edge").metadata.uid, "file:gateway/default/edge");

  std::filesystem::remove(path_ + "/edge.yaml");

  EXPECT_TRUE(sink_.Await([&] { return sink_.gateways.empty(); }));
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, SyncsSecretsAfterTheFirstReferences) {
  WriteInPlace("keys.yaml", SecretManifest("one"));
  Start();
  EXPECT_TRUE(sink_.secrets.empty());
  EXPECT_FALSE(source_->Health().synced);

  source_->SetSecretReferences({{{"default", "keys"}, {"apiKey"}}, {{"team", "none"}, {"key"}}});

  ASSERT_TRUE(sink_.Await([&] { return sink_.secrets_synced == 1; }));
  const SecretObject& secret = sink_.secrets.at("default/keys");
  EXPECT_EQ(secret.data.size(), 1U);
  EXPECT_EQ(secret.data.at("apiKey"), SecretString("one"));
  EXPECT_EQ(secret.metadata.resource_version.find("one"), std::string::npos);
  EXPECT_EQ(sink_.deleted_secrets, std::vector<std::string>{"team/none"});
}

TEST_F(DirectorySourceTest, SeesNewChangedAndDeletedFiles) {
  Start();
  WriteInPlace("a.yaml", Manifest("a", "/a"));
  ASSERT_TRUE(AwaitBasePath("default/a", "/a"));
  const int64_t generation = sink_.apis.at("default/a").metadata.generation;

  WriteInPlace("a.yaml", Manifest("a", "/changed"));
  ASSERT_TRUE(AwaitBasePath("default/a", "/changed"));
  EXPECT_GT(sink_.apis.at("default/a").metadata.generation, generation);
  fs::remove(File("a.yaml"));

  EXPECT_TRUE(sink_.Await([&] { return sink_.apis.empty(); }));
  EXPECT_EQ(sink_.deleted_apis, std::vector<std::string>{"default/a"});
}

TEST_F(DirectorySourceTest, SeesAnAtomicRenameAndAMoveToAnotherName) {
  Start();
  Replace("a.yaml", Manifest("a", "/a"));
  ASSERT_TRUE(AwaitBasePath("default/a", "/a"));
  Replace("a.yaml", Manifest("a", "/b"));
  ASSERT_TRUE(AwaitBasePath("default/a", "/b"));

  fs::rename(File("a.yaml"), File("z.yaml"));

  EXPECT_TRUE(sink_.Await([&] { return sink_.apis.at("default/a").file == File("z.yaml"); }));
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, DeletesNothingWhileAnEditorMovesTheOldFileAwayFirst) {
  options_.removal_tick = std::chrono::hours(1);
  Replace("a.yaml", Manifest("a", "/a"));
  Start();

  fs::rename(File("a.yaml"), File("a.yaml~"));
  Replace("b.yaml", Manifest("b", "/b"));
  // By now the source has seen that the file is gone.
  ASSERT_TRUE(AwaitBasePath("default/b", "/b"));
  WriteInPlace("a.yaml", Manifest("a", "/edited"));

  EXPECT_TRUE(AwaitBasePath("default/a", "/edited"));
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, SeesTheSwapOfAProjectedVolume) {
  fs::create_directory(File("..first"));
  fs::create_directory(File("..second"));
  ASSERT_TRUE(WriteFileAtomically(File("..first/a.yaml"), Manifest("a", "/first")).ok());
  ASSERT_TRUE(WriteFileAtomically(File("..second/a.yaml"), Manifest("a", "/second")).ok());
  fs::create_directory_symlink("..first", File("..data"));
  fs::create_symlink("..data/a.yaml", File("a.yaml"));
  Start();
  EXPECT_EQ(sink_.apis.at("default/a").spec["basePath"], "/first");

  fs::create_directory_symlink("..second", File("..data_tmp"));
  fs::rename(File("..data_tmp"), File("..data"));

  EXPECT_TRUE(AwaitBasePath("default/a", "/second"));
}

TEST_F(DirectorySourceTest, SeesALinkThatIsMadeLater) {
  fs::create_directory(File("elsewhere"));
  ASSERT_TRUE(WriteFileAtomically(File("elsewhere/a.yaml"), Manifest("a", "/a")).ok());
  Start();

  fs::create_symlink("elsewhere/a.yaml", File("a.yaml"));

  EXPECT_TRUE(AwaitBasePath("default/a", "/a"));
}

TEST_F(DirectorySourceTest, LeavesAFileAloneUntilItIsClosed) {
  Start();
  {
    std::ofstream file(File("a.yaml"));
    file << Manifest("a", "/a") << std::flush;
    // Something else is seen meanwhile, this one is not: its second document is not written yet.
    Replace("b.yaml", Manifest("b", "/b"));
    ASSERT_TRUE(AwaitBasePath("default/b", "/b"));
    EXPECT_EQ(sink_.Get<size_t>([&] { return sink_.apis.count("default/a"); }), 0U);
    file << "---\n" << Manifest("c", "/c");
  }

  EXPECT_TRUE(AwaitBasePath("default/c", "/c"));
  EXPECT_TRUE(AwaitBasePath("default/a", "/a"));
}

TEST_F(DirectorySourceTest, KeepsTheLastGoodObjectsOfABrokenFileAndSaysWhere) {
  Replace("a.yaml", Manifest("a", "/a"));
  Start();

  Replace("a.yaml", Manifest("a", "/a") + "  broken: [\n");
  ASSERT_TRUE(sink_.Await([&] { return sink_.problems.size() == 1; }));
  EXPECT_EQ(sink_.Problems()[0].file, File("a.yaml"));
  EXPECT_GT(sink_.Problems()[0].line, 0);
  EXPECT_EQ(sink_.apis.count("default/a"), 1U);
  EXPECT_NE(source_->Health().last_error, "");

  Replace("a.yaml", Manifest("a", "/mended"));
  EXPECT_TRUE(AwaitBasePath("default/a", "/mended"));
  EXPECT_TRUE(sink_.Await([&] { return sink_.problems.empty(); }));
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, KeepsTheObjectsOfAFileThatWasEmptied) {
  Replace("a.yaml", Manifest("a", "/a"));
  Start();

  WriteInPlace("a.yaml", "");

  ASSERT_TRUE(sink_.Await([&] { return sink_.problems.size() == 1; }));
  EXPECT_NE(sink_.Problems()[0].message.find("empty"), std::string::npos);
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, DeletesADocumentThatWasTakenOutOfAFile) {
  Replace("a.yaml", Manifest("a", "/a") + "---\n" + Manifest("b", "/b"));
  Start();

  Replace("a.yaml", Manifest("b", "/b"));

  EXPECT_TRUE(
      sink_.Await([&] { return sink_.deleted_apis == std::vector<std::string>{"default/a"}; }));
}

TEST_F(DirectorySourceTest, ServesTheFirstOfTwoFilesWithOneObjectAndNamesBoth) {
  Replace("b.yaml", Manifest("same", "/b"));
  Start();
  ASSERT_EQ(sink_.apis.at("default/same").spec["basePath"], "/b");

  Replace("a.yaml", Manifest("same", "/a"));
  ASSERT_TRUE(AwaitBasePath("default/same", "/a"));
  ASSERT_TRUE(sink_.Await([&] { return sink_.problems.size() == 1; }));
  EXPECT_EQ(sink_.Problems()[0].file, File("b.yaml"));
  EXPECT_NE(sink_.Problems()[0].message.find(File("a.yaml")), std::string::npos);

  fs::remove(File("a.yaml"));
  EXPECT_TRUE(AwaitBasePath("default/same", "/b"));
  EXPECT_TRUE(sink_.Await([&] { return sink_.problems.empty(); }));
}

TEST_F(DirectorySourceTest, GivesARotatedSecretAnotherVersion) {
  Replace("keys.yaml", SecretManifest("one"));
  Start();
  source_->SetSecretReferences(kKeys);
  ASSERT_TRUE(AwaitSecret("one"));
  const std::string version = sink_.secrets.at("default/keys").metadata.resource_version;

  Replace("keys.yaml", SecretManifest("two"));

  ASSERT_TRUE(AwaitSecret("two"));
  EXPECT_NE(sink_.secrets.at("default/keys").metadata.resource_version, version);
}

TEST_F(DirectorySourceTest, TellsADeletedSecret) {
  Replace("keys.yaml", SecretManifest("one"));
  Start();
  source_->SetSecretReferences(kKeys);
  ASSERT_TRUE(AwaitSecret("one"));

  fs::remove(File("keys.yaml"));

  EXPECT_TRUE(sink_.Await([&] { return sink_.deleted_secrets.size() == 1; }));
}

TEST_F(DirectorySourceTest, AnswersAgainWhenOtherKeysAreWanted) {
  Replace("keys.yaml", SecretManifest("one"));
  Start();
  source_->SetSecretReferences(kKeys);
  ASSERT_TRUE(AwaitSecret("one"));

  source_->SetSecretReferences({{{"default", "keys"}, {"apiKey", "other", "none"}}});

  EXPECT_TRUE(sink_.Await([&] { return sink_.secrets.at("default/keys").data.size() == 2; }));
}

TEST_F(DirectorySourceTest, LooksAgainWhenAskedToAndSaysSoOnceTheDirectoryIsReadable) {
  Replace("a.yaml", Manifest("a", "/a"));
  Start();

  source_->Recheck();
  ASSERT_TRUE(sink_.Await([&] { return sink_.rechecks == 1; }));

  fs::rename(path_, path_ + ".away");
  ASSERT_TRUE(sink_.Await([&] { return !sink_.problems.empty(); }));
  source_->Recheck();
  fs::rename(path_ + ".away", path_);
  ASSERT_TRUE(sink_.Await([&] { return sink_.rechecks == 2; }));
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, ReportsWhatIsNoObjectOfOursAndServesTheRest) {
  Replace("a.yaml",
          Manifest("a", "/a") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
  Replace("policies.yaml", "apiPolicies: {request: []}\n");
  Start();

  EXPECT_EQ(sink_.apis.size(), 1U);
  ASSERT_EQ(sink_.Problems().size(), 2U);
  EXPECT_NE(sink_.Problems()[0].message.find("ConfigMap"), std::string::npos);
}

TEST_F(DirectorySourceTest, AnApiThatLeavesAFileGoesWhateverElseIsInIt) {
  const std::string other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
  Replace("a.yaml", Manifest("a", "/a") + "---\n" + other);
  Start();
  ASSERT_EQ(sink_.apis.size(), 1U);

  Replace("a.yaml", other);

  EXPECT_TRUE(sink_.Await([&] { return sink_.deleted_apis.size() == 1; }));
}

TEST_F(DirectorySourceTest, AHalfWrittenApiKeepsTheLastGoodOne) {
  Replace("a.yaml", Manifest("a", "/a"));
  Start();

  Replace("a.yaml", "name: a\n");

  ASSERT_TRUE(sink_.Await([&] { return sink_.problems.size() == 1; }));
  EXPECT_NE(sink_.Problems()[0].message.find("passed over"), std::string::npos);
  EXPECT_TRUE(sink_.deleted_apis.empty());
}

TEST_F(DirectorySourceTest, KeepsEverythingWhenTheDirectoryVanishesAndFindsItWhenItIsBack) {
  Replace("a.yaml", Manifest("a", "/a"));
  options_.rescan_interval = std::chrono::milliseconds(20);
  Start();

  const std::string moved = path_ + "-moved";
  fs::rename(path_, moved);
  ASSERT_TRUE(sink_.Await([&] { return !sink_.problems.empty(); }));
  EXPECT_FALSE(source_->Health().connected);
  EXPECT_TRUE(sink_.deleted_apis.empty());
  fs::rename(moved, path_);
  ASSERT_TRUE(sink_.Await([&] { return sink_.problems.empty(); }));

  Replace("a.yaml", Manifest("a", "/back"));
  EXPECT_TRUE(AwaitBasePath("default/a", "/back"));
}

TEST_F(DirectorySourceTest, SeesChangesWithoutEventsBySlowRescan) {
  fs::create_directory(File("..first"));
  ASSERT_TRUE(WriteFileAtomically(File("..first/a.yaml"), Manifest("a", "/a")).ok());
  fs::create_symlink("..first/a.yaml", File("a.yaml"));
  options_.rescan_interval = std::chrono::milliseconds(20);
  Start();

  // Behind a link: the watched directory does not notice.
  ASSERT_TRUE(WriteFileAtomically(File("..first/a.yaml"), Manifest("a", "/changed")).ok());

  EXPECT_TRUE(AwaitBasePath("default/a", "/changed"));
}

TEST_F(DirectorySourceTest, RescansSlowlyWhileOtherChangesGoOn) {
  fs::create_directory(File("..first"));
  ASSERT_TRUE(WriteFileAtomically(File("..first/a.yaml"), Manifest("a", "/a")).ok());
  fs::create_symlink("..first/a.yaml", File("a.yaml"));
  options_.rescan_interval = std::chrono::milliseconds(50);
  Start();

  // Behind a link; each of the others is seen by its event.
  ASSERT_TRUE(WriteFileAtomically(File("..first/a.yaml"), Manifest("a", "/changed")).ok());
  const auto is_seen = [&] {
    return sink_.Get<bool>(
        [&] { return sink_.apis.at("default/a").spec.at("basePath") == "/changed"; });
  };
  int others = 0;
  for (; others < 100'000 && !is_seen(); ++others) {
    const std::string path = absl::StrCat("/", others);
    WriteInPlace("other.yaml", Manifest("other", path));
    ASSERT_TRUE(AwaitBasePath("default/other", path));
  }

  EXPECT_LT(others, 100'000);
}

TEST_F(DirectorySourceTest, ReadsAFileThatStaysOpenOnceItIsQuiet) {
  options_.rescan_interval = std::chrono::milliseconds(20);
  Start();

  std::ofstream file(File("a.yaml"));
  file << Manifest("a", "/a") << std::flush;

  EXPECT_TRUE(AwaitBasePath("default/a", "/a"));
}

}  // namespace
}  // namespace rota::source
