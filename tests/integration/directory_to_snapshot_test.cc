// From files to a snapshot: the directory source, the decoder, the compiler and the reconciler
// together.

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/published.h"
#include "controller/reconcile/reconciler.h"
#include "controller/reconcile/status_board.h"
#include "controller/source/directory_source.h"
#include "gtest/gtest.h"
#include "rota/sync/v1/config.pb.h"
#include "tests/support/paths.h"

namespace rota::reconcile {
namespace {

namespace fs = std::filesystem;
namespace pb = rota::sync::v1;
using compile::ResourceKey;
using compile::ResourceKind;

const ResourceKey kSecretKey{ResourceKind::kSecret, "default/open-ai-secret"};

std::string ApkConf(const std::string& path = "/chat") {
  std::string models;
  for (const char* model : {"gpt-4o", "o1-mini", "gpt-4o-mini"}) {
    absl::StrAppend(&models, "          - {model: ", model,
                    ", endpoint: https://api.openai.com/v1, weight: 1}\n");
  }
  const std::string endpoint =
      "    - endpoint: https://api.openai.com/v1\n      endpointSecurity: {enabled: true, "
      "securityType: {secretName: open-ai-secret, in: Header, apiKeyNameKey: Authorization, "
      "apiKeyValueKey: apiKey}}\n";
  return absl::StrCat("name: chat\nbasePath: ", path, "\nversion: \"1.0\"\n",
                      "endpointConfigurations:\n  production:\n", endpoint, "  sandbox:\n",
                      endpoint, "operations:\n  - {target: /chat/completions, verb: POST}\n",
                      "apiPolicies:\n  request:\n    - policyName: ModelBasedRoundRobin\n",
                      "      parameters:\n        productionModels:\n", models,
                      "        sandboxModels:\n", models);
}

std::string SecretManifest(const std::string& value) {
  return absl::StrCat("apiVersion: v1\nkind: Secret\nmetadata: {name: open-ai-secret}\n",
                      "stringData: {apiKey: ", value, "}\n");
}

class DirectoryIntegrationTest : public testing::Test {
 protected:
  DirectoryIntegrationTest() {
    std::string pattern = testing::TempDir() + "/rota-reconcile-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~DirectoryIntegrationTest() override {
    if (reconciler_ != nullptr) {
      reconciler_->Stop();
    }
    fs::remove_all(path_);
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(path_ + "/" + name, text).ok());
  }
  void Start() {
    ReconcilerOptions options;
    options.clock = &clock_;
    options.publish = [this](const std::string&, SnapshotPtr snapshot) {
      std::lock_guard guard(mutex_);
      published_.Publish(std::move(snapshot));
      changed_.notify_all();
    };
    options.withdraw = [](const std::string&) {};
    options.sinks = {&board_};
    reconciler_ = std::make_unique<Reconciler>(std::move(options));
    source_ = std::make_unique<source::DirectorySource>(path_);
    ASSERT_TRUE(reconciler_->Start(*source_).ok());
  }
  // Waits for a snapshot of which `condition` is true; null after 20 s.
  std::shared_ptr<const compile::Snapshot> Await(
      const std::function<bool(const compile::Snapshot&)>& condition) {
    std::unique_lock lock(mutex_);
    std::shared_ptr<const compile::Snapshot> snapshot;
    changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      snapshot = published_.Get();
      return snapshot != nullptr && condition(*snapshot);
    });
    return snapshot != nullptr && condition(*snapshot) ? snapshot : nullptr;
  }
  // For what is told after the snapshot: statuses and problems. A deadline, no sleep.
  bool AwaitBoard(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    const auto deadline = clock_.Now() + std::chrono::seconds(20);
    while (!condition() && clock_.Now() < deadline) {
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return condition();
  }
  static pb::Api TheApi(const compile::Snapshot& snapshot) {
    pb::Api api;
    snapshot.resources.ForEach([&api](const compile::ResourceSet::Entry& resource) {
      if (resource.first.first == ResourceKind::kApi) {
        EXPECT_TRUE(api.ParseFromString(resource.second->bytes));
      }
    });
    return api;
  }
  static std::string SecretValue(const compile::Snapshot& snapshot) {
    pb::Secret secret;
    const auto* found = snapshot.resources.Find(kSecretKey);
    return found != nullptr && secret.ParseFromString(found->second->bytes) &&
                   secret.entries_size() == 1
               ? secret.entries(0).value()
               : "";
  }
  static bool IsComplete(const compile::Snapshot& snapshot) {
    return snapshot.resources.size() == 3;
  }

  RealClock clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Published<compile::Snapshot> published_;
  StatusBoard board_;
  std::string path_;
  std::unique_ptr<source::DirectorySource> source_;
  std::unique_ptr<Reconciler> reconciler_;
};

TEST_F(DirectoryIntegrationTest, CompilesTheSeedApiUnmodified) {
  const char* shared = std::getenv("ROTA_SHARED_DIR");
  const std::string root = shared != nullptr ? shared : test::SourceDir() + "/../shared";
  const auto seed = ReadFile(root + "/inputs/apk/chat-service.apk-conf.yaml");
  if (!seed.ok()) {
    GTEST_SKIP() << "the seed file is not here: set ROTA_SHARED_DIR to the folder of the inputs";
  }
  Write("chat-service.apk-conf.yaml", *seed);
  Write("secret.yaml", SecretManifest("sk-test"));
  Start();

  const auto snapshot = Await(IsComplete);

  ASSERT_NE(snapshot, nullptr);
  const pb::Api api = TheApi(*snapshot);
  EXPECT_EQ(api.base_path(), "/chat-service-prod-sand");
  ASSERT_EQ(api.rotations_size(), 2);
  EXPECT_EQ(api.rotations(0).environment(), pb::PRODUCTION);
  EXPECT_EQ(api.rotations(0).targets_size(), 3);
  EXPECT_EQ(api.rotations(1).environment(), pb::SANDBOX);
  EXPECT_EQ(api.rotations(1).targets_size(), 3);
  ASSERT_EQ(api.endpoints_size(), 1);
  EXPECT_EQ(api.endpoints(0).credential().value().secret(), "default/open-ai-secret");
  EXPECT_EQ(SecretValue(*snapshot), "sk-test");
  EXPECT_TRUE(board_.Problems().empty());
}

TEST_F(DirectoryIntegrationTest, SendsARotatedSecretWithAnotherHash) {
  Write("api.yaml", ApkConf());
  Write("secret.yaml", SecretManifest("old"));
  Start();
  const auto before = Await(IsComplete);
  ASSERT_NE(before, nullptr);

  Write("secret.yaml", SecretManifest("new"));
  const auto after = Await([](const auto& s) { return SecretValue(s) == "new"; });

  ASSERT_NE(after, nullptr);
  EXPECT_NE(after->resources.Find(kSecretKey)->second->hash,
            before->resources.Find(kSecretKey)->second->hash);
  EXPECT_NE(after->hash, before->hash);
}

TEST_F(DirectoryIntegrationTest, KeepsTheLastGoodVersionOfAFileThatCannotBeRead) {
  Write("api.yaml", ApkConf());
  Write("secret.yaml", SecretManifest("value"));
  Start();
  const auto before = Await(IsComplete);
  ASSERT_NE(before, nullptr);

  Write("api.yaml", ApkConf() + "  : [broken\n");

  ASSERT_TRUE(AwaitBoard([&] { return board_.Problems().size() == 1; }));
  EXPECT_NE(board_.Problems()[0].file.find("api.yaml"), std::string::npos);
  EXPECT_EQ(published_.Get()->hash, before->hash);
}

TEST_F(DirectoryIntegrationTest, KeepsTheLastGoodVersionOfAnApiThatIsInvalidAndSaysWhere) {
  const std::string manifest =
      "apiVersion: gateway.rota.dev/v1alpha1\nkind: API\nmetadata: {name: chat}\nspec:\n"
      "  name: chat\n  basePath: /chat\n  version: v1\n"
      "  endpointConfigurations: {production: [{endpoint: https://api.openai.com/v1}]}\n"
      "  operations:\n    - {target: /chat/completions, verb: ";
  Write("api.yaml", manifest + "POST}\n");
  Start();
  const auto before = Await([](const auto& s) { return s.resources.size() == 2; });
  ASSERT_NE(before, nullptr);

  Write("api.yaml", manifest + "FETCH}\n");

  ASSERT_TRUE(AwaitBoard([&] {
    return board_.Statuses().size() == 1 &&
           board_.Statuses()[0].accepted.status == ConditionStatus::kFalse;
  }));
  const std::string message = board_.Statuses()[0].accepted.message;
  EXPECT_NE(message.find("spec.operations[0].verb"), std::string::npos) << message;
  EXPECT_NE(message.find("still served"), std::string::npos) << message;
  EXPECT_EQ(published_.Get()->hash, before->hash);
}

TEST_F(DirectoryIntegrationTest, FilesGrantNoServiceOfAnotherNamespace) {
  std::string api = ApkConf();
  api.insert(api.find("  sandbox:"),
             "    - endpoint: {name: llm, namespace: models, port: 8000}\n");
  Write("api.yaml", api);
  Write("secret.yaml", SecretManifest("value"));
  Write("grant.yaml",
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
        "metadata: {name: rota, namespace: models}\nspec:\n"
        "  from: [{group: gateway.rota.dev, kind: API, namespace: default}]\n"
        "  to: [{group: '', kind: Service}]\n");
  Start();

  const auto snapshot = Await(IsComplete);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(TheApi(*snapshot).endpoints(0).credential().value().secret(), "default/open-ai-secret");
  EXPECT_EQ(TheApi(*snapshot).endpoints(1).credential().value().secret(),
            "default/models/service/llm");
  ASSERT_TRUE(AwaitBoard([&] { return board_.Statuses().size() == 1; }));
  const Condition refs = board_.Statuses()[0].resolved_refs;
  EXPECT_EQ(refs.reason, "RefNotPermitted");
  EXPECT_NE(refs.message.find("none counts where APIs are read from files"), std::string::npos);
}

TEST_F(DirectoryIntegrationTest, TakesAnApiAndItsSecretOutWithTheFile) {
  Write("api.yaml", ApkConf());
  Write("secret.yaml", SecretManifest("value"));
  Start();
  ASSERT_NE(Await(IsComplete), nullptr);

  fs::remove(path_ + "/secret.yaml");
  ASSERT_NE(Await([](const auto& s) { return !s.resources.contains(kSecretKey); }), nullptr);
  fs::remove(path_ + "/api.yaml");

  EXPECT_NE(Await([](const auto& s) { return s.resources.size() == 1; }), nullptr);
}

TEST_F(DirectoryIntegrationTest, GivesTheSameSnapshotAfterARestartButForTheKeyOfSecrets) {
  Write("api.yaml", ApkConf());
  Start();
  const auto first = Await([](const auto& s) { return s.resources.size() == 2; });
  ASSERT_NE(first, nullptr);
  reconciler_->Stop();
  reconciler_.reset();
  published_.Publish(nullptr);

  Start();

  const auto second = Await([](const auto& s) { return s.resources.size() == 2; });
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->hash, first->hash);
}

}  // namespace
}  // namespace rota::reconcile
