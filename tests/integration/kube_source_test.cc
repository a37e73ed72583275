// The Kubernetes source and the status writer against the API server in this process.

#include "controller/source/kube_source.h"

#include <gmock/gmock.h>

#include "controller/source/kube_status.h"
#include "controller/source/reference_grants.h"
#include "tests/integration/kube_test_support.h"
#include "tests/integration/kube_world.h"
#include "tests/support/fake_apiserver.h"

namespace rota::testing {
namespace {

using nlohmann::json;
using resource::ForeignObject;
using resource::ObjectName;
using source::ObjectKind;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

json ApiManifest(const std::string& name, const std::string& base_path) {
  return {{"metadata", {{"name", name}}}, {"spec", {{"basePath", base_path}}}};
}

source::KubeSourceOptions FastOptions() {
  source::KubeSourceOptions options;
  options.reflector.retry.backoff = options.reflector.retry.reconnect = {
      std::chrono::milliseconds(5), std::chrono::milliseconds(50), 2.0, 1.0};
  options.reference_grace = std::chrono::milliseconds(50);
  return options;
}

class KubeSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Register(source::ApiResource());
    server_.Register(Secrets());
  }
  void Start(source::KubeSourceOptions options = FastOptions()) {
    source_ = std::make_unique<source::KubeSource>(client_.api, client_.clock, options);
    ASSERT_TRUE(source_->Start(world_).ok());
  }
  // Started with these references, and synced.
  void StartSynced(const source::SecretReferences& references,
                   source::KubeSourceOptions options = FastOptions()) {
    world_.on_apis_synced = [this, references] { source_->SetSecretReferences(references); };
    Start(options);
    ASSERT_TRUE(
        Eventually([&] { return source_->Health().synced && source_->Health().connected; }));
    ASSERT_TRUE(Eventually([&] { return world_.Logged("secrets synced"); }));
  }
  void CreateApi(const std::string& ns, const std::string& name, const std::string& path) {
    server_.Create(source::ApiResource(), ns, ApiManifest(name, path));
  }
  void CreateSecret(const std::string& ns, const std::string& name, const json& data) {
    server_.Create(Secrets(), ns, {{"metadata", {{"name", name}}}, {"data", data}});
  }

  const ObjectName key_{"team", "key"};
  FakeApiServer server_{{true, "token-of-the-test"}};
  KubeClient client_{server_.ClientConfig()};
  World world_;
  std::unique_ptr<source::KubeSource> source_;
};

TEST_F(KubeSourceTest, EmitsApisThenReferencedSecretsThenSynced) {
  CreateApi("team", "chat", "/chat");
  CreateSecret("team", "key", {{"apiKey", "czNjcmV0"}, {"other", "bm90IHlvdXJz"}});
  CreateSecret("team", "unrelated", {{"apiKey", "bm8="}});

  StartSynced({{key_, {"apiKey"}}});

  EXPECT_THAT(world_.Read(&World::log_),
              ElementsAre("api team/chat", "apis synced", "secret team/key", "secrets synced"));
  EXPECT_THAT(world_.Read(&World::secrets_)[key_],
              ElementsAre(::testing::Pair("apiKey", "s3cret")));
  EXPECT_EQ(server_.Requests("get"), 1);  // the unrelated one was never read
}

TEST_F(KubeSourceTest, TheFirstReadNamesTheVersionThatTheWatchHasTold) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  server_.Inject(Fault::kServerError, "get", "resourceVersion=");

  StartSynced({{key_, {"apiKey"}}});

  EXPECT_TRUE(server_.AllFaultsMet());
}

TEST_F(KubeSourceTest, AWatchThatSaysNothingKeepsNoSecretWaiting) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  source::KubeSourceOptions options = FastOptions();
  options.first_read_grace = std::chrono::milliseconds(20);
  server_.Inject(Fault::kHang, "watch", "secrets");

  StartSynced({{key_, {"apiKey"}}}, options);

  EXPECT_EQ(world_.Key(key_, "apiKey"), "one");
}

TEST_F(KubeSourceTest, SyncsWithoutAnySecret) {
  Start();

  ASSERT_TRUE(Eventually([&] { return world_.Logged("secrets synced"); }));
  EXPECT_THAT(world_.Read(&World::log_), ElementsAre("apis synced", "secrets synced"));
}

TEST_F(KubeSourceTest, AMissingSecretIsDeletedAndArrivesWhenItIsCreated) {
  StartSynced({{key_, {"apiKey"}}});
  EXPECT_TRUE(world_.Logged("deleted team/key"));

  CreateSecret("team", "key", {{"apiKey", "b25l"}});

  EXPECT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "one"; }));
}

TEST_F(KubeSourceTest, ARotatedSecretIsSeenAndADeletedOneRevoked) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  StartSynced({{key_, {"apiKey"}}});
  ASSERT_EQ(world_.Key(key_, "apiKey"), "one");
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 2; }));

  server_.Replace(Secrets(), "team", "key", {{"data", {{"apiKey", "dHdv"}}}});
  EXPECT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "two"; }));
  server_.Delete(Secrets(), "team", "key");
  EXPECT_TRUE(Eventually([&] { return world_.Logged("deleted team/key"); }));
}

TEST_F(KubeSourceTest, AnotherKeyOfTheSameSecretIsReadWhenItIsWanted) {
  CreateSecret("team", "key", {{"a", "b25l"}, {"b", "dHdv"}});
  StartSynced({{key_, {"a"}}});
  ASSERT_EQ(world_.Key(key_, "b"), "");

  source_->SetSecretReferences({{key_, {"a", "b", "absent"}}});

  EXPECT_TRUE(Eventually([&] { return world_.Key(key_, "b") == "two"; }));
  EXPECT_EQ(world_.Key(key_, "a"), "one");
}

TEST_F(KubeSourceTest, AServerThatFailsRevokesNothing) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  CreateApi("team", "chat", "/chat");
  StartSynced({{key_, {"apiKey"}}});
  server_.Inject(Fault::kForbidden, "get", "", 3);
  server_.Inject(Fault::kServerError, "list", "", 6);
  server_.Inject(Fault::kStreamExpired, "watch", "", 2);

  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 2; }));
  server_.Replace(Secrets(), "team", "key", {{"data", {{"apiKey", "dHdv"}}}});

  ASSERT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "two"; }));
  EXPECT_FALSE(world_.Logged("deleted team/key"));
  EXPECT_FALSE(world_.Logged("deleted team/chat"));
}

TEST_F(KubeSourceTest, AForbiddenSecretIsAProblemThatKeepsNobodyElseWaiting) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  server_.Inject(Fault::kForbidden, "get", "/secrets/locked", 1000);

  StartSynced({{key_, {"apiKey"}}, {{"team", "locked"}, {"apiKey"}}});

  EXPECT_EQ(world_.Key(key_, "apiKey"), "one");
  EXPECT_TRUE(Eventually([&] { return !world_.Read(&World::problems_).empty(); }));
  EXPECT_THAT(world_.Read(&World::problems_), Contains(HasSubstr("team/locked")));
  EXPECT_THAT(source_->Health().last_error, HasSubstr("locked"));
}

TEST_F(KubeSourceTest, OnlyTheListedNamespacesAreWatched) {
  CreateApi("one", "a", "/a");
  CreateApi("two", "b", "/b");
  CreateApi("three", "c", "/c");
  source::KubeSourceOptions options = FastOptions();
  options.namespaces = {"one", "two"};

  StartSynced({}, options);

  EXPECT_EQ(world_.Read(&World::apis_).size(), 2u);
  EXPECT_EQ(world_.Count("apis synced"), 1u);
}

TEST_F(KubeSourceTest, LooksAtEveryNamespaceAgainBeforeItSaysSo) {
  CreateApi("team", "chat", "/chat");
  CreateApi("other", "chat", "/other");
  source::KubeSourceOptions options = FastOptions();
  options.namespaces = {"team", "other"};
  StartSynced({}, options);
  server_.Inject(Fault::kServerError, "list", "other", 2);

  source_->Recheck();

  ASSERT_TRUE(Eventually([&] { return world_.Logged("rechecked"); }));
  EXPECT_TRUE(server_.AllFaultsMet());
  EXPECT_EQ(world_.Count("rechecked"), 1u);
  EXPECT_EQ(world_.Read(&World::apis_).size(), 2u);
}

TEST_F(KubeSourceTest, LooksAtGatewaysAgainAsWell) {
  server_.Register(source::GatewayResource());
  CreateApi("team", "chat", "/chat");
  StartSynced({});
  server_.Inject(Fault::kServerError, "list", "rotagateways", 2);

  source_->Recheck();

  ASSERT_TRUE(Eventually([&] { return world_.Logged("rechecked"); }));
  EXPECT_TRUE(server_.AllFaultsMet());
  EXPECT_EQ(world_.Count("rechecked"), 1u);
}

TEST_F(KubeSourceTest, ManyNamespacesShareOneWatch) {
  source::KubeSourceOptions options = FastOptions();
  options.max_secret_watches = 3;
  source::SecretReferences references;
  for (const char* ns : {"a", "b", "c", "d"}) {
    CreateSecret(ns, "key", {{"apiKey", "b25l"}});
    references[{ns, "key"}] = {"apiKey"};
  }
  StartSynced(references, options);
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 2; }));

  server_.Replace(Secrets(), "d", "key", {{"data", {{"apiKey", "dHdv"}}}});

  EXPECT_TRUE(Eventually([&] { return world_.Key({"d", "key"}, "apiKey") == "two"; }));
}

TEST_F(KubeSourceTest, SecretsAreWatchedOneByOneWhereTheyAreNamed) {
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  CreateSecret("team", "other", {{"apiKey", "b25l"}});
  CreateSecret("team", "foreign", {{"apiKey", "b25l"}});
  const ObjectName other{"team", "other"};
  source::KubeSourceOptions options = FastOptions();
  options.secret_access = source::SecretAccess::kNamed;
  StartSynced({{key_, {"apiKey"}}, {other, {"apiKey"}}}, options);
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 3; }));  // APIs, and one of each

  server_.Replace(Secrets(), "team", "key",
                  {{"metadata", {{"name", "key"}}}, {"data", {{"apiKey", "dHdv"}}}});
  ASSERT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "two"; }));
  EXPECT_EQ(world_.Key(other, "apiKey"), "one");
  server_.Delete(Secrets(), "team", "other");
  ASSERT_TRUE(Eventually([&] { return world_.Logged("deleted team/other"); }));
  source_->SetSecretReferences({{key_, {"apiKey"}}});
  EXPECT_TRUE(Eventually([&] { return server_.open_watches() == 2; }));
}

TEST_F(KubeSourceTest, NoMoreSecretsThanAllowedAreWatchedOneByOne) {
  source::SecretReferences references;
  for (int i = 0; i < 5; ++i) {
    CreateSecret("team", "key-" + std::to_string(i), {{"apiKey", "b25l"}});
    references[{"team", "key-" + std::to_string(i)}] = {"apiKey"};
  }
  source::KubeSourceOptions options = FastOptions();
  options.secret_access = source::SecretAccess::kNamed;
  options.max_named_secrets = 3;
  StartSynced(references, options);
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 4; }));
  EXPECT_EQ(world_.Read(&World::secrets_).size(), 3u);
  ASSERT_TRUE(Eventually([&] { return world_.Read(&World::problems_).size() == 2; }));
  EXPECT_THAT(world_.Read(&World::problems_), Contains(HasSubstr("team/key-4")));

  references.erase({"team", "key-0"});
  source_->SetSecretReferences(references);

  EXPECT_TRUE(Eventually([&] { return world_.Logged("secret team/key-3"); }));
}

class ForeignObjectTest : public KubeSourceTest {
 protected:
  // Of namespace vault, as APIs of namespace team call it.
  const ObjectName reference_{"team", "vault/key"};

  void DefineGrants() { server_.Register(source::ReferenceGrantResource()); }
  void Grant(const std::string& name, const std::string& user, const json& to) {
    const json from = {{"group", "gateway.rota.dev"}, {"kind", "API"}, {"namespace", user}};
    server_.Create(source::ReferenceGrantResource(), "vault",
                   {{"metadata", {{"name", name}}},
                    {"spec", {{"from", json::array({from})}, {"to", json::array({to})}}}});
  }
  static json ToSecret(const std::string& name = "") {
    json to = {{"group", ""}, {"kind", "Secret"}};
    if (!name.empty()) {
      to["name"] = name;
    }
    return to;
  }
  static ForeignObject SecretOfVault(const std::string& name) {
    return {ReferentKind::kSecret, {"vault", name}};
  }
  bool AwaitKey(const std::string& value) {
    return Eventually([&] { return world_.Key(reference_, "apiKey") == value; });
  }
};

TEST_F(ForeignObjectTest, IsReadOnlyWhileItIsGrantedAndFollowed) {
  DefineGrants();
  CreateSecret("vault", "key", {{"apiKey", "b25l"}});
  Grant("for-others", "other", ToSecret("key"));
  Grant("another-secret", "team", ToSecret("another"));
  Grant("no-secret", "team", {{"group", ""}, {"kind", "Service"}});
  StartSynced({{reference_, {"apiKey"}}});
  EXPECT_EQ(server_.Requests("get"), 0);
  EXPECT_TRUE(world_.Logged("deleted team/vault/key"));

  Grant("right", "team", ToSecret("key"));
  ASSERT_TRUE(AwaitKey("one"));
  server_.Replace(Secrets(), "vault", "key",
                  {{"metadata", {{"name", "key"}}}, {"data", {{"apiKey", "dHdv"}}}});
  ASSERT_TRUE(AwaitKey("two"));

  server_.Delete(source::ReferenceGrantResource(), "vault", "right");
  ASSERT_TRUE(AwaitKey(""));
  Grant("every-secret", "team", ToSecret());
  ASSERT_TRUE(AwaitKey("two"));
}

TEST_F(ForeignObjectTest, AServiceIsToldWhileItIsGrantedAndNeverRead) {
  const ObjectName service{"team", "vault/service/llm"};
  const auto to_service = [](const std::string& name) {
    return json{{"group", ""}, {"kind", "Service"}, {"name", name}};
  };
  DefineGrants();
  Grant("a-secret-of-the-name", "team", ToSecret("llm"));
  Grant("another-service", "team", to_service("other"));
  Grant("for-others", "other", to_service("llm"));
  StartSynced({{service, {""}}});
  EXPECT_TRUE(world_.Logged("deleted team/vault/service/llm"));

  Grant("right", "team", to_service("llm"));
  ASSERT_TRUE(Eventually([&] { return world_.Logged("secret team/vault/service/llm"); }));
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 2; }));  // APIs, grants
  server_.Delete(source::ReferenceGrantResource(), "vault", "right");
  ASSERT_TRUE(Eventually([&] { return world_.Read(&World::secrets_).empty(); }));
  EXPECT_EQ(server_.Requests("get"), 0);
}

TEST_F(ForeignObjectTest, ServicesTakeNoPlaceAmongTheSecretsThatAreWatchedOneByOne) {
  DefineGrants();
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  Grant("services", "team", {{"group", ""}, {"kind", "Service"}});
  source::KubeSourceOptions options = FastOptions();
  options.secret_access = source::SecretAccess::kNamed;
  options.max_named_secrets = 1;
  StartSynced({{{"team", "a/service/llm"}, {""}},
               {key_, {"apiKey"}},
               {{"team", "vault/service/llm"}, {""}}},
              options);

  EXPECT_TRUE(Eventually([&] { return world_.Logged("secret team/vault/service/llm"); }));
  EXPECT_EQ(world_.Key(key_, "apiKey"), "one");
  EXPECT_THAT(world_.Read(&World::problems_), IsEmpty());
}

TEST_F(ForeignObjectTest, AGrantToOneNamespaceIsNoneToAnother) {
  DefineGrants();
  CreateSecret("vault", "key", {{"apiKey", "b25l"}});
  Grant("team", "team", ToSecret());
  const ObjectName others{"other", "vault/key"};
  const ObjectName own{"vault", "key"};
  StartSynced({{reference_, {"apiKey"}}, {others, {"apiKey"}}, {own, {"apiKey"}}});

  EXPECT_EQ(world_.Key(reference_, "apiKey"), "one");
  EXPECT_EQ(world_.Key(own, "apiKey"), "one");
  EXPECT_EQ(world_.Key(others, "apiKey"), "");
}

TEST_F(ForeignObjectTest, WithoutTheDefinitionOfGrantsNothingIsGrantedAndNobodyWaits) {
  CreateSecret("vault", "key", {{"apiKey", "b25l"}});
  StartSynced({{reference_, {"apiKey"}}});

  EXPECT_EQ(world_.Key(reference_, "apiKey"), "");
  EXPECT_THAT(world_.Read(&World::problems_), IsEmpty());
}

TEST_F(ForeignObjectTest, OfTheNamedOnesItIsWatchedByItself) {
  DefineGrants();
  CreateSecret("vault", "key", {{"apiKey", "b25l"}});
  Grant("team", "team", ToSecret("key"));
  source::KubeSourceOptions options = FastOptions();
  options.secret_access = source::SecretAccess::kNamed;
  StartSynced({{reference_, {"apiKey"}}}, options);
  ASSERT_TRUE(AwaitKey("one"));
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 3; }));  // APIs, grants, Secret

  server_.Delete(Secrets(), "vault", "key");

  EXPECT_TRUE(AwaitKey(""));
}

TEST_F(ForeignObjectTest, BeyondTheNumberOfNamedOnesItIsNotRead) {
  DefineGrants();
  CreateSecret("team", "key", {{"apiKey", "b25l"}});
  CreateSecret("vault", "key", {{"apiKey", "b25l"}});
  Grant("team", "team", ToSecret("key"));
  source::KubeSourceOptions options = FastOptions();
  options.secret_access = source::SecretAccess::kNamed;
  options.max_named_secrets = 1;
  options.secret_readers = 1;
  StartSynced({{key_, {"apiKey"}}, {reference_, {"apiKey"}}}, options);
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 3; }));  // APIs, grants, Secret

  Grant("again", "team", ToSecret());
  server_.Replace(Secrets(), "team", "key", {{"data", {{"apiKey", "dHdv"}}}});

  ASSERT_TRUE(Eventually([&] { return world_.Key(key_, "apiKey") == "two"; }));
  EXPECT_EQ(world_.Key(reference_, "apiKey"), "");
}

TEST_F(ForeignObjectTest, WhileTheDefinitionIsGoneNothingIsGranted) {
  const ForeignObject secret = SecretOfVault("key");
  DefineGrants();
  Grant("team", "team", ToSecret("key"));
  FakeClock clock;
  source::ReferenceGrants grants(client_.api, clock, {}, 64, [] {});
  grants.SetNamespaces({"vault"});
  ASSERT_TRUE(Eventually([&] { return grants.Allows("team", secret) == true; }));
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 1; }));

  server_.Inject(Fault::kNotFound, "watch", "referencegrants");
  server_.EndWatches();
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(std::chrono::seconds(1));
    return grants.Allows("team", secret) == false;
  }));

  // The object is the same as before, so that no event tells of it again.
  EXPECT_TRUE(Eventually([&] {
    clock.Advance(std::chrono::seconds(10));
    return grants.Allows("team", secret) == true;
  }));
}

TEST_F(ForeignObjectTest, ANamespaceThatComesLaterTakesNoGrantFromAnother) {
  DefineGrants();
  Grant("team", "team", ToSecret());
  source::ReferenceGrants grants(client_.api, client_.clock, FastOptions().reflector, 1, [] {});
  grants.SetNamespaces({"vault"});
  ASSERT_TRUE(Eventually([&] { return grants.Allows("team", SecretOfVault("key")) == true; }));

  grants.SetNamespaces({"another", "vault"});

  EXPECT_EQ(grants.Allows("team", SecretOfVault("key")), true);
  EXPECT_EQ(grants.Allows("team", {ReferentKind::kSecret, {"another", "key"}}), false);
  EXPECT_THAT(grants.problems(), ElementsAre(HasSubstr("more than 1 other namespaces")));
}

TEST_F(ForeignObjectTest, ObjectsBeyondTheNumberOfPairsGrantNothing) {
  DefineGrants();
  json from = json::array();
  json to = json::array();
  for (int i = 0; i < 32; ++i) {
    from.push_back({{"group", "gateway.rota.dev"},
                    {"kind", "API"},
                    {"namespace", "team-" + std::to_string(i)}});
    to.push_back(ToSecret("key-" + std::to_string(i)));
  }
  for (int i = 0; i < 10; ++i) {
    from[0]["namespace"] = i == 9 ? "last" : "first";
    server_.Create(source::ReferenceGrantResource(), "vault",
                   {{"metadata", {{"name", "grants-" + std::to_string(i)}}},
                    {"spec", {{"from", from}, {"to", to}}}});
  }
  source::ReferenceGrants grants(client_.api, client_.clock, FastOptions().reflector, 64, [] {});
  grants.SetNamespaces({"vault"});

  EXPECT_TRUE(Eventually([&] { return grants.Allows("last", SecretOfVault("key-1")) == false; }));
  EXPECT_EQ(grants.Allows("first", SecretOfVault("key-1")), true);
  EXPECT_THAT(grants.problems(), ElementsAre(HasSubstr("1 of them grant nothing")));
}

TEST_F(KubeSourceTest, AMissingDefinitionIsToldAndNotSynced) {
  FakeApiServer bare;
  KubeClient client(bare.ClientConfig());
  World world;
  source::KubeSource source(client.api, client.clock, FastOptions());
  ASSERT_TRUE(source.Start(world).ok());

  EXPECT_TRUE(Eventually([&] { return !world.Read(&World::problems_).empty(); }));
  EXPECT_THAT(source.Health().last_error, HasSubstr("apis.gateway.rota.dev"));
  EXPECT_FALSE(source.Health().synced);
  source.Stop();
  EXPECT_THAT(world.Read(&World::log_), IsEmpty());
}

TEST_F(KubeSourceTest, NamespacesAreWatchedOnceTheyAreOfInterest) {
  const kube::Resource namespaces = source::NamespaceResource();
  server_.Register(namespaces);
  const auto labelled = [](const char* team) -> json {
    return {{"metadata", {{"name", "team-a"}, {"labels", {{"team", team}}}}}};
  };
  server_.Create(namespaces, "", labelled("a"));
  StartSynced({});
  EXPECT_THAT(world_.Read(&World::namespaces_), IsEmpty());

  source_->WantNamespaces();
  source_->WantNamespaces();
  ASSERT_TRUE(Eventually([&] { return world_.Logged("namespaces synced"); }));
  EXPECT_EQ(world_.Read(&World::namespaces_)["team-a"]["team"], "a");
  server_.Replace(namespaces, "", "team-a", labelled("b"));
  EXPECT_TRUE(
      Eventually([&] { return world_.Read(&World::namespaces_)["team-a"]["team"] == "b"; }));
  server_.Delete(namespaces, "", "team-a");
  EXPECT_TRUE(Eventually([&] { return world_.Read(&World::namespaces_).empty(); }));
  EXPECT_EQ(world_.Count("namespaces synced"), 1u);
}

TEST_F(KubeSourceTest, WhoMayNotListNamespacesHasNoneAndSaysSo) {
  server_.Register(source::NamespaceResource());
  server_.Inject(Fault::kForbidden, "list", "/namespaces", 1000);
  StartSynced({});

  source_->WantNamespaces();

  ASSERT_TRUE(Eventually([&] { return world_.Logged("namespaces synced"); }));
  EXPECT_TRUE(Eventually([&] { return !world_.Read(&World::problems_).empty(); }));
  EXPECT_THAT(world_.Read(&World::problems_), Contains(HasSubstr("namespaces")));
  EXPECT_TRUE(source_->Health().synced);
}

TEST_F(KubeSourceTest, ARestartOfTheServerIsSurvived) {
  CreateApi("team", "chat", "/chat");
  StartSynced({});
  server_.Stop();
  EXPECT_TRUE(Eventually([&] { return !source_->Health().connected; }));
  server_.Start();

  server_.Replace(source::ApiResource(), "team", "chat", ApiManifest("chat", "/other"));

  EXPECT_TRUE(Eventually([&] { return world_.Read(&World::apis_)[{"team", "chat"}] == "/other"; }));
  EXPECT_EQ((world_.Read(&World::generations_)[{"team", "chat"}]), 2);
}

TEST_F(KubeSourceTest, AStatusIsReadWithANewObjectAndIsNoReasonToEmitItAgain) {
  CreateApi("team", "chat", "/chat");
  ASSERT_TRUE(client_.api
                  .ApplyStatus(source::ApiResource(), "team", "chat", "", {{"note", "before"}},
                               "rota-controller", {})
                  .ok());
  StartSynced({});
  ASSERT_TRUE(client_.api
                  .ApplyStatus(source::ApiResource(), "team", "chat", "", {{"note", "after"}},
                               "rota-controller", {})
                  .ok());
  server_.Replace(source::ApiResource(), "team", "chat", ApiManifest("chat", "/other"));

  ASSERT_TRUE(Eventually([&] { return world_.Read(&World::apis_)[{"team", "chat"}] == "/other"; }));
  EXPECT_EQ(world_.Count("api team/chat"), 2u);
  EXPECT_THAT(world_.Read(&World::statuses_), ElementsAre("before", "after"));
}

class KubeStatusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Register(source::ApiResource());
    uid_ = server_.Create(source::ApiResource(), "team", ApiManifest("chat", "/chat"))
               .at("metadata")
               .at("uid")
               .get<std::string>();
  }
  void Start(double suspensions_per_second = 20) {
    source::KubeStatusOptions options;
    options.backoff = {std::chrono::milliseconds(5), std::chrono::milliseconds(50), 2.0, 0.5};
    options.suspension_writes_per_second = suspensions_per_second;
    writer_ = std::make_unique<source::KubeStatusWriter>(client_.api, client_.clock, options);
  }
  static json Status(const std::string& accepted, const std::string& message = "compiled") {
    return {
        {"observedGeneration", 1},
        {"conditions",
         {{{"type", "Accepted"}, {"status", accepted}, {"reason", "R"}, {"message", message}}}}};
  }
  json Stored() {
    return server_.Get(source::ApiResource(), "team", "chat").value("status", json::object());
  }
  std::string MessageStored() {
    const json status = Stored();
    return status.contains("conditions") ? status["conditions"][0].value("message", "") : "";
  }

  const ObjectName name_{"team", "chat"};
  std::string uid_;
  FakeApiServer server_;
  KubeClient client_{server_.ClientConfig()};
  std::unique_ptr<source::KubeStatusWriter> writer_;
};

TEST_F(KubeStatusTest, WritesAndKeepsTheTransitionTimeWhileTheStatusStays) {
  Start();
  writer_->Write(name_, uid_, Status("True"));
  ASSERT_TRUE(Eventually([&] { return MessageStored() == "compiled"; }));
  json changed = Stored();
  changed["conditions"][0]["lastTransitionTime"] = "2001-02-03T04:05:06Z";
  ASSERT_TRUE(
      client_.api
          .ApplyStatus(source::ApiResource(), "team", "chat", uid_, changed, "rota-controller", {})
          .ok());
  writer_.reset();
  Start();  // like a new controller: it has to read what is there

  writer_->Write(name_, uid_, Status("True", "compiled again"));
  ASSERT_TRUE(Eventually([&] { return MessageStored() == "compiled again"; }));
  EXPECT_EQ(Stored()["conditions"][0]["lastTransitionTime"], "2001-02-03T04:05:06Z");
  writer_->Write(name_, uid_, Status("False", "broken"));
  ASSERT_TRUE(Eventually([&] { return MessageStored() == "broken"; }));
  EXPECT_NE(Stored()["conditions"][0]["lastTransitionTime"], "2001-02-03T04:05:06Z");
}

TEST_F(KubeStatusTest, WhatTheServerHasAlreadyIsNotSent) {
  Start();
  writer_->Write(name_, uid_, Status("True"));
  ASSERT_TRUE(Eventually([&] { return writer_->counts().written == 1; }));

  writer_->Write(name_, uid_, Status("True"));
  ASSERT_TRUE(Eventually([&] { return writer_->counts().unchanged == 1; }));
  writer_.reset();
  Start();
  writer_->Write(name_, uid_, Status("True"));
  ASSERT_TRUE(Eventually([&] { return writer_->counts().unchanged == 1; }));

  EXPECT_EQ(server_.Requests("apply"), 1);
}

TEST_F(KubeStatusTest, ASuspensionThatEndsBeforeItsTurnIsNotWritten) {
  Start(1);  // one at once, the next a second later
  json first = Status("True");
  first["suspended"] = "gpt-4o";
  writer_->Write(name_, uid_, first, source::StatusCause::kSuspension);
  ASSERT_TRUE(Eventually([&] { return Stored().value("suspended", "") == "gpt-4o"; }));
  ASSERT_TRUE(Eventually([&] { return writer_->counts().waiting == 0; }));

  json second = first;
  second["suspended"] = "gpt-4o, o1";
  writer_->Write(name_, uid_, second, source::StatusCause::kSuspension);
  writer_->Write(name_, uid_, first, source::StatusCause::kSuspension);
  ASSERT_TRUE(Eventually([&] { return writer_->counts().unchanged == 1; }));

  EXPECT_EQ(server_.Requests("apply"), 1);
}

TEST_F(KubeStatusTest, AGoneObjectAndANamesakeAreForgotten) {
  Start();
  writer_->Write({"team", "nobody"}, "uid", Status("True"));
  writer_->Write(name_, "another uid", Status("True"));

  ASSERT_TRUE(Eventually([&] { return writer_->counts().waiting == 0; }));
  EXPECT_EQ(server_.Requests("apply"), 0);
  writer_->Write(name_, uid_, Status("True"));
  EXPECT_TRUE(Eventually([&] { return MessageStored() == "compiled"; }));
}

class StatusFaultTest : public KubeStatusTest, public ::testing::WithParamInterface<Fault> {};

TEST_P(StatusFaultTest, TheNewestStatusArrivesInTheEnd) {
  Start();
  server_.Inject(GetParam(), "get", "", 1);
  server_.Inject(GetParam(), "apply", "", 2);

  writer_->Write(name_, uid_, Status("False", "old"));
  writer_->Write(name_, uid_, Status("True", "new"));

  EXPECT_TRUE(Eventually([&] { return MessageStored() == "new"; }));
}

INSTANTIATE_TEST_SUITE_P(Faults, StatusFaultTest,
                         ::testing::Values(Fault::kTooManyRequests, Fault::kServerError,
                                           Fault::kUnavailable, Fault::kUnauthorized,
                                           Fault::kForbidden, Fault::kResetBeforeHead,
                                           Fault::kResetMidBody, Fault::kTruncatedJson,
                                           Fault::kSlowBody));

TEST(FillTransitionTimesTest, MatchesGatewaysByNameAndConditionsByType) {
  const json condition = {
      {"type", "Programmed"}, {"status", "True"}, {"reason", "R"}, {"message", "m"}};
  json before = condition;
  before["lastTransitionTime"] = "2001-01-01T00:00:00Z";
  const json previous = {
      {"gateways", {{{"name", "b"}, {"namespace", "n"}, {"conditions", {before}}}}}};
  json status = {{"gateways",
                  {{{"name", "a"}, {"namespace", "n"}, {"conditions", {condition}}},
                   {{"name", "b"}, {"namespace", "n"}, {"conditions", {condition}}}}}};

  source::FillTransitionTimes(previous, "2026-01-01T00:00:00Z", status);

  EXPECT_EQ(status["gateways"][0]["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(status["gateways"][1]["conditions"][0]["lastTransitionTime"], "2001-01-01T00:00:00Z");
}

TEST(FillTransitionTimesTest, AnEmptyMessageBecomesTheReason) {
  json status = {
      {"conditions", {{{"type", "A"}, {"status", "True"}, {"reason", "Fine"}, {"message", ""}}}}};

  source::FillTransitionTimes(json(), "2026-01-01T00:00:00Z", status);

  EXPECT_EQ(status["conditions"][0]["message"], "Fine");
}

}  // namespace
}  // namespace rota::testing
