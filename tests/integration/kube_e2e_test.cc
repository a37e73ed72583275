// The Kubernetes half of the controller against a real API server, driven with kubectl like a user
// does.

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/file.h"
#include "controller/source/kube_source.h"
#include "controller/source/kube_status.h"
#include "tests/integration/kube_test_support.h"
#include "tests/integration/kube_world.h"
#include "tests/support/paths.h"
#include "tests/support/real_apiserver.h"

namespace rota::testing {
namespace {

using nlohmann::json;
using resource::ObjectName;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kApi[] = R"(apiVersion: gateway.rota.dev/v1alpha1
kind: API
metadata:
  name: chat
spec:
  name: chat
  basePath: /chat
  version: "1.0"
  endpointConfigurations:
    production:
      - endpoint: https://api.example.com/v1
        endpointSecurity:
          enabled: true
          securityType: {secretName: key, in: Header, apiKeyNameKey: Authorization, apiKeyValueKey: apiKey}
  operations:
    - {target: /chat/completions, verb: POST}
)";

// What a controller that serves one namespace needs, and no more.
constexpr char kRole[] = R"(apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rota-controller, namespace: team}
rules:
  - {apiGroups: [gateway.rota.dev], resources: [apis, rotagateways], verbs: [get, list, watch]}
  - {apiGroups: [gateway.rota.dev], resources: [apis/status], verbs: [patch]}
  - {apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rota-controller, namespace: team}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rota-controller}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: powerless}
)";

class KubeEndToEndTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (RealApiServer::BinariesDirectory().empty()) {
      return;
    }
    auto started = RealApiServer::Start(RealApiServer::BinariesDirectory());
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    for (const char* const plural : {"apis", "rotagateways"}) {
      Must({"apply", "-f",
            absl::StrCat(test::SourceDir(), "/crds/gateway.rota.dev_", plural, ".yaml")});
      // `kubectl wait` fails at once on a definition that has no conditions yet.
      const std::string definition = absl::StrCat("crd/", plural, ".gateway.rota.dev");
      ASSERT_TRUE(Eventually([&definition] {
        return server_
            ->Kubectl({"wait", "--for=condition=Established", definition, "--timeout=30s"})
            .ok();
      }));
    }
    Must({"create", "namespace", "team"});
    // The server makes the first object of a young definition wait for 2 s: let that pass here.
    ASSERT_TRUE(Eventually([] {
      return server_->Kubectl({"apply", "-n", "default", "-f", "-"}, kApi).ok();
    }));
    Must({"delete", "rapi", "chat", "-n", "default"});
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    if (RealApiServer::BinariesDirectory().empty()) {
      GTEST_SKIP() << RealApiServer::SkipMessage();
    }
    ASSERT_NE(server_, nullptr);
    client_ = std::make_unique<KubeClient>(server_->ClientConfig());
  }
  void TearDown() override {
    source_.reset();
    if (server_ != nullptr) {
      Must({"delete", "rapi,secrets,roles,rolebindings", "--all", "-n", "team"});
    }
  }

  static std::string Must(const std::vector<std::string>& arguments,
                          const std::string& input = "") {
    const auto output = server_->Kubectl(arguments, input);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : "";
  }
  void Start(const source::SecretReferences& references, source::KubeSourceOptions options = {}) {
    options.reflector.retry.backoff = options.reflector.retry.reconnect = {
        std::chrono::milliseconds(20), std::chrono::milliseconds(200), 2.0, 1.0};
    source_ = std::make_unique<source::KubeSource>(client_->api, client_->clock, options);
    world_.on_apis_synced = [this, references] { source_->SetSecretReferences(references); };
    ASSERT_TRUE(source_->Start(world_).ok());
  }
  bool Synced() {
    return Eventually(
        [&] { return world_.Logged("secrets synced") && source_->Health().connected; });
  }
  void ApplySecret(const std::string& value) {
    const std::string manifest =
        Must({"create", "secret", "generic", "key", "-n", "team", "--from-literal=apiKey=" + value,
              "--dry-run=client", "-o", "yaml"});
    Must({"apply", "-f", "-"}, manifest);
  }

  static inline std::unique_ptr<RealApiServer> server_;
  const ObjectName api_{"team", "chat"};
  const ObjectName key_{"team", "key"};
  std::unique_ptr<KubeClient> client_;
  World world_;
  std::unique_ptr<source::KubeSource> source_;
};

TEST_F(KubeEndToEndTest, AnAppliedApiAndItsSecretArriveAndARotationIsSeenWithinASecond) {
  Must({"apply", "-n", "team", "-f", "-"}, kApi);
  ApplySecret("first");
  Start({{key_, {"apiKey"}}});
  ASSERT_TRUE(Synced());
  EXPECT_EQ(world_.Read(&World::apis_)[api_], "/chat");
  EXPECT_EQ(world_.Key(key_, "apiKey"), "first");

  ApplySecret("second");
  const MonotonicTime applied = client_->clock.Now();
  ASSERT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "second"; }));
  EXPECT_LT(client_->clock.Now() - applied, std::chrono::seconds(1));

  Must({"delete", "secret", "key", "-n", "team"});
  EXPECT_TRUE(Eventually([&] { return world_.Logged("deleted team/key"); }));
  Must({"delete", "rapi", "chat", "-n", "team"});
  EXPECT_TRUE(Eventually([&] { return world_.Logged("deleted team/chat"); }));
}

TEST_F(KubeEndToEndTest, AStatusIsShownByKubectlAndIsNoReasonToEmitTheApiAgain) {
  Must({"apply", "-n", "team", "-f", "-"}, kApi);
  Start({});
  ASSERT_TRUE(Synced());
  const std::string uid =
      Must({"get", "rapi", "chat", "-n", "team", "-o", "jsonpath={.metadata.uid}"});
  source::KubeStatusWriter writer(client_->api, client_->clock);
  const auto condition = [](const char* type, const char* status) {
    return json{{"type", type},
                {"status", status},
                {"reason", "Because"},
                {"message", "it is so"},
                {"observedGeneration", 1}};
  };

  writer.Write(api_, uid,
               {{"observedGeneration", 1},
                {"models", {"gpt-4o", "o1"}},
                {"conditions", {condition("Accepted", "True"), condition("Programmed", "False")}}});

  ASSERT_TRUE(Eventually([&] { return writer.counts().written == 1; }));
  EXPECT_THAT(Must({"get", "rapi", "-n", "team", "--no-headers"}),
              ::testing::ContainsRegex("chat +/chat +1.0 +.*gpt-4o.* +False"));
  EXPECT_EQ(Must({"wait", "--for=condition=Accepted", "rapi/chat", "-n", "team", "--timeout=10s"}),
            "api.gateway.rota.dev/chat condition met\n");
  Must({"patch", "rapi", "chat", "-n", "team", "--type=merge", "-p",
        "{\"spec\":{\"basePath\":\"/other\"}}"});
  ASSERT_TRUE(Eventually([&] { return world_.Read(&World::apis_)[api_] == "/other"; }));
  EXPECT_EQ(world_.Count("api team/chat"), 2u);
}

TEST_F(KubeEndToEndTest, ARestartOfTheApiServerIsSurvivedAndLosesNothing) {
  Must({"apply", "-n", "team", "-f", "-"}, kApi);
  ApplySecret("first");
  Start({{key_, {"apiKey"}}});
  ASSERT_TRUE(Synced());

  ASSERT_TRUE(server_->StopApiServer().ok());
  EXPECT_TRUE(Eventually([&] { return !source_->Health().connected; }));
  ASSERT_TRUE(server_->StartApiServer().ok());
  ApplySecret("second");
  Must({"patch", "rapi", "chat", "-n", "team", "--type=merge", "-p",
        "{\"spec\":{\"basePath\":\"/other\"}}"});

  EXPECT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "second"; }, 60));
  EXPECT_TRUE(Eventually([&] { return world_.Read(&World::apis_)[api_] == "/other"; }, 60));
  EXPECT_FALSE(world_.Logged("deleted team/chat"));
  EXPECT_FALSE(world_.Logged("deleted team/key"));
}

TEST_F(KubeEndToEndTest, ARoleInOneNamespaceIsEnoughAndItsAbsenceIsTold) {
  Must({"apply", "-n", "team", "-f", "-"}, kApi);
  ApplySecret("first");
  client_ = std::make_unique<KubeClient>(server_->PowerlessConfig());
  source::KubeSourceOptions options;
  options.namespaces = {"team"};
  Start({{key_, {"apiKey"}}}, options);
  // Each kind is asked for by itself, in no order.
  ASSERT_TRUE(Eventually([&] { return world_.Read(&World::problems_).size() == 2; }));
  EXPECT_THAT(world_.Read(&World::problems_), Contains(HasSubstr("cannot list resource \"apis\"")));
  EXPECT_THAT(world_.Read(&World::problems_),
              Contains(HasSubstr("cannot list resource \"rotagateways\"")));
  EXPECT_FALSE(source_->Health().synced);

  Must({"apply", "-f", "-"}, kRole);
  ASSERT_TRUE(Synced());
  EXPECT_EQ(world_.Key(key_, "apiKey"), "first");
  EXPECT_TRUE(Eventually([&] { return world_.Read(&World::problems_).empty(); }));
  source::KubeStatusWriter writer(client_->api, client_->clock);
  writer.Write(api_, Must({"get", "rapi", "chat", "-n", "team", "-o", "jsonpath={.metadata.uid}"}),
               {{"observedGeneration", 1}});
  EXPECT_TRUE(Eventually([&] { return writer.counts().written == 1; }));
}

TEST_F(KubeEndToEndTest, TheServerAgreesWithTheExamplesOfTheDefinition) {
  const std::string root = test::SourceDir() + "/crds/testdata/";
  int files = 0;
  for (const char* folder : {"valid", "invalid"}) {
    for (const auto& file : std::filesystem::directory_iterator(root + folder)) {
      const auto applied = server_->Kubectl({"apply", "-n", "team", "--dry-run=server",
                                             "--validate=strict", "-f", file.path().string()});
      EXPECT_EQ(applied.ok(), folder == std::string("valid"))
          << file.path() << ": " << applied.status();
      ++files;
    }
  }
  EXPECT_GT(files, 2);
}

TEST_F(KubeEndToEndTest, TheSeedApiIsAppliedUnmodified) {
  const char* shared = std::getenv("ROTA_SHARED_DIR");
  const std::string folder = shared == nullptr ? test::SourceDir() + "/../shared" : shared;
  const auto seed = ReadFile(folder + "/inputs/apk/chat-service.apk-conf.yaml");
  if (!seed.ok()) {
    GTEST_SKIP() << "no seed API: set ROTA_SHARED_DIR (" << seed.status().message() << ")";
  }
  const std::string manifest = absl::StrCat(
      "apiVersion: gateway.rota.dev/v1alpha1\nkind: API\nmetadata: {name: seed}\nspec:\n  ",
      absl::StrReplaceAll(*seed, {{"\n", "\n  "}}), "\n");

  Must({"apply", "-n", "team", "--validate=strict", "-f", "-"}, manifest);
  Start({});

  ASSERT_TRUE(Synced());
  EXPECT_FALSE((world_.Read(&World::apis_)[{"team", "seed"}].empty()));
}

}  // namespace
}  // namespace rota::testing
