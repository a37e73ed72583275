#include "controller/reconcile/world.h"

#include <algorithm>

#include "controller/reconcile/test_objects.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"

namespace rota::reconcile {
namespace {

using namespace testing_objects;  // NOLINT: test helpers

class WorldTest : public ::testing::Test {
 protected:
  BuildResult Build() { return world_.Build(now_); }
  bool Serves(const ResourceKey& key, const std::string& gateway = kGateway) {
    const BuildResult result = Build();
    const auto snapshot = result.snapshots.find(gateway);
    return snapshot != result.snapshots.end() && snapshot->second->resources.contains(key);
  }
  // An API with the list `gateways`.
  static source::ApiObject ApiAt(const std::vector<std::string>& gateways, int64_t generation = 1) {
    nlohmann::json spec = Spec("/chat");
    spec["gateways"] = gateways;
    return Api("chat", generation, std::move(spec));
  }

  World world_{compile::GatewaySettings{}};
  MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(WorldTest, ServesAValidApi) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));

  EXPECT_TRUE(Serves(kChatKey));
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.accepted.observed_generation, 1);
  EXPECT_EQ(status.resolved_refs.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.models, std::vector<std::string>{"gpt-4o"});
}

TEST_F(WorldTest, CompilesOncePerContent) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  EXPECT_EQ(world_.compile_count(), 1U);
  const BuildResult before = Build();

  world_.OnApi(Api("chat", 2, Spec("/chat")));
  const BuildResult after = Build();

  EXPECT_EQ(world_.compile_count(), 1U);
  EXPECT_EQ(before.snapshots.at(kGateway), after.snapshots.at(kGateway));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.observed_generation, 2);
}

TEST_F(WorldTest, HasNoChangesWhenAnObjectOnlyGotAStatus) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  Build();

  world_.OnApi(Api("chat", 1, Spec("/chat")));

  EXPECT_FALSE(world_.has_changes());
}

TEST_F(WorldTest, KeepsServingTheLastGoodVersionOfAnApiThatBecameInvalid) {
  world_.OnApi(Api("chat", 3, Spec("/chat")));
  const BuildResult good = Build();

  world_.OnApi(Api("chat", 4, BrokenSpec("/chat")));
  const BuildResult broken = Build();

  EXPECT_EQ(broken.snapshots.at(kGateway)->hash, good.snapshots.at(kGateway)->hash);
  EXPECT_EQ(broken.changed, std::vector<ObjectName>{kChat});
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(status.accepted.observed_generation, 4);
  EXPECT_EQ(status.served_generation, 3);
  EXPECT_NE(status.accepted.message.find("spec.operations[0].verb"), std::string::npos);
  EXPECT_NE(status.accepted.message.find("the last good version (generation 3) is still served"),
            std::string::npos);
}

TEST_F(WorldTest, SaysThatNothingIsServedOfAnApiThatWasNeverValid) {
  world_.OnApi(Api("chat", 1, BrokenSpec("/chat")));

  EXPECT_FALSE(Serves(kChatKey));
  EXPECT_NE(world_.StatusOf(kChat)->accepted.message.find("nothing of this API is served"),
            std::string::npos);
  EXPECT_EQ(world_.StatusOf(kChat)->gateways.at(0).served_hash, 0U);
}

TEST_F(WorldTest, NeverServesTheVersionOfADeletedObjectForItsNamesake) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  Build();
  source::ApiObject other = Api("chat", 1, BrokenSpec("/chat"));
  other.metadata.uid = "another";

  world_.OnApi(other);

  EXPECT_FALSE(Serves(kChatKey));
}

TEST_F(WorldTest, GivesAPathToTheNextApiWhenItsOwnerIsDeleted) {
  world_.OnApi(Api("chat", 1, Spec("/x"), "2026-01-02T00:00:00Z"));
  world_.OnApi(Api("older", 1, Spec("/x"), "2026-01-01T00:00:00Z"));
  EXPECT_FALSE(Serves(kChatKey));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.reason, "PathConflict");

  world_.OnDeleted(ApiKey("older"));
  const BuildResult result = Build();

  EXPECT_TRUE(result.snapshots.at(kGateway)->resources.contains(kChatKey));
  EXPECT_EQ(result.deleted, (std::vector<ObjectName>{{"default", "older"}}));
  EXPECT_EQ(result.changed, std::vector<ObjectName>{kChat});
}

TEST_F(WorldTest, AsksForTheSecretsOfItsApisAndDropsThemWithTheApi) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  const uint64_t version = world_.references_version();
  EXPECT_EQ(world_.References(), (source::SecretReferences{{{"default", "keys"}, {"apiKey"}}}));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  EXPECT_TRUE(Serves(kKeysKey));

  world_.OnDeleted(ApiKey("chat"));

  EXPECT_TRUE(world_.References().empty());
  EXPECT_NE(world_.references_version(), version);
  EXPECT_FALSE(Serves(kKeysKey));
  EXPECT_EQ(world_.secret_count(), 0U);
}

TEST_F(WorldTest, KeepsOfASecretOnlyTheReferencedKeys) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}, {"other", "do-not-keep"}}));

  const BuildResult result = Build();

  const std::string& bytes = result.snapshots.at(kGateway)->resources.Find(kKeysKey)->second->bytes;
  EXPECT_EQ(bytes.find("do-not-keep"), std::string::npos);
  EXPECT_NE(bytes.find("value"), std::string::npos);
}

TEST_F(WorldTest, HoldsANewVersionBackUntilItsSecretIsKnown) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));

  const BuildResult held = Build();
  EXPECT_FALSE(held.snapshots.at(kGateway)->resources.contains(kChatKey));
  EXPECT_EQ(held.rebuild_at, now_ + kSecretGrace);
  EXPECT_EQ(world_.StatusOf(kChat)->resolved_refs.status, ConditionStatus::kUnknown);
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  const BuildResult ready = Build();

  EXPECT_TRUE(ready.snapshots.at(kGateway)->resources.contains(kChatKey));
  EXPECT_FALSE(ready.rebuild_at.has_value());
  EXPECT_EQ(world_.StatusOf(kChat)->resolved_refs.status, ConditionStatus::kTrue);
}

TEST_F(WorldTest, ServesTheOldVersionWhileTheNewOnesSecretIsBeingRead) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  const BuildResult before = Build();

  world_.OnApi(Api("chat", 2, Spec("/chat", "new-keys")));
  EXPECT_EQ(Build().snapshots.at(kGateway)->hash, before.snapshots.at(kGateway)->hash);
  EXPECT_EQ(world_.References().size(), 2U);
  world_.OnSecret(Secret("new-keys", "7", {{"apiKey", "value"}}));
  const BuildResult after = Build();

  EXPECT_FALSE(after.snapshots.at(kGateway)->resources.contains(kKeysKey));
  EXPECT_TRUE(after.snapshots.at(kGateway)->resources.contains(
      {ResourceKind::kSecret, "default/new-keys"}));
  EXPECT_EQ(world_.References().size(), 1U);
}

TEST_F(WorldTest, ServesWithoutASecretThatIsKnownToBeAbsent) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  world_.OnDeleted(SecretKey("keys"));

  EXPECT_TRUE(Serves(kChatKey));
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.resolved_refs.status, ConditionStatus::kFalse);
  EXPECT_EQ(status.resolved_refs.reason, "SecretNotFound");
  EXPECT_NE(status.resolved_refs.message.find("default/keys"), std::string::npos);
}

TEST_F(WorldTest, AServiceOfAnotherNamespaceIsWaitedForAndItsGrantDecidesWhatIsServed) {
  nlohmann::json spec = Spec("/chat");
  nlohmann::json& endpoint = spec["endpointConfigurations"]["production"][0]["endpoint"];
  endpoint = {{"name", "vllm"}, {"namespace", "models"}, {"port", 8000}};
  const std::string reference = "models/service/vllm";
  world_.OnApi(Api("chat", 1, spec));
  EXPECT_TRUE(world_.References().contains({"default", reference}));
  EXPECT_EQ(world_.secret_count(), 0U) << "it is no Secret";
  EXPECT_FALSE(Serves(kChatKey)) << "nothing has said yet whether it is granted";

  const auto served = [&] { return world_.StatusOf(kChat)->gateways.at(0).served_hash; };
  const auto sent = [&] {
    return Build().snapshots.at(kGateway)->resources.Find(kChatKey)->second->hash;
  };
  world_.OnDeleted(SecretKey(reference));
  const uint64_t refused = sent();
  EXPECT_EQ(served(), refused);
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(world_.StatusOf(kChat)->resolved_refs.reason, "RefNotPermitted");
  EXPECT_NE(world_.StatusOf(kChat)->resolved_refs.message.find("models/vllm"), std::string::npos);

  world_.OnSecret(Secret(reference, "", {}));
  const uint64_t granted = sent();
  EXPECT_NE(granted, refused);
  EXPECT_EQ(served(), granted);
  EXPECT_EQ(world_.StatusOf(kChat)->resolved_refs.status, ConditionStatus::kTrue);

  world_.OnDeleted(SecretKey(reference));
  EXPECT_EQ(sent(), refused);
  world_.OnDeleted(ApiKey("chat"));
  Build();
  EXPECT_TRUE(world_.References().empty());
}

TEST_F(WorldTest, StopsWaitingForASecretThatNobodyAnswersFor) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  EXPECT_FALSE(Serves(kChatKey));

  now_ += kSecretGrace;

  EXPECT_TRUE(Serves(kChatKey));
  EXPECT_EQ(world_.StatusOf(kChat)->resolved_refs.status, ConditionStatus::kFalse);
}

TEST_F(WorldTest, TakesADeletedSecretOutOfTheSnapshot) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  EXPECT_TRUE(Serves(kKeysKey));

  world_.OnDeleted(SecretKey("keys"));

  EXPECT_FALSE(Serves(kKeysKey));
  EXPECT_TRUE(Serves(kChatKey));
}

TEST_F(WorldTest, SharesTheBodyOfASecretThatIsToldAgain) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys")));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  const BuildResult before = Build();

  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  EXPECT_FALSE(world_.has_changes());
  world_.OnSecret(Secret("keys", "2", {{"apiKey", "new value"}}));
  const BuildResult after = Build();

  EXPECT_NE(before.snapshots.at(kGateway)->resources.Find(kKeysKey)->second,
            after.snapshots.at(kGateway)->resources.Find(kKeysKey)->second);
  EXPECT_NE(before.snapshots.at(kGateway)->hash, after.snapshots.at(kGateway)->hash);
  EXPECT_EQ(before.snapshots.at(kGateway)->resources.Find(kChatKey)->second,
            after.snapshots.at(kGateway)->resources.Find(kChatKey)->second);
}

TEST_F(WorldTest, NeverPutsASecretIntoAStatus) {
  world_.OnApi(Api("chat", 1, Spec("/chat", "keys", "missing")));
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "hush"}, {"missing-not", "hush"}}));
  Build();

  const ApiStatus status = *world_.StatusOf(kChat);

  EXPECT_EQ(status.resolved_refs.reason, "SecretKeyNotFound");
  EXPECT_EQ((status.accepted.message + status.resolved_refs.message).find("hush"),
            std::string::npos);
}

TEST_F(WorldTest, ReportsOnlyApisThatChanged) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  world_.OnApi(Api("other", 1, Spec("/other")));
  EXPECT_EQ(Build().changed.size(), 2U);

  world_.OnApi(Api("other", 2, Spec("/other/elsewhere")));

  EXPECT_EQ(Build().changed, (std::vector<ObjectName>{{"default", "other"}}));
}

TEST_F(WorldTest, GivesLinesToTheFindingsOfTheCompiler) {
  source::ApiObject object = Api("chat", 1, Spec("/chat"));
  object.spec["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["endpoint"] =
      "https://elsewhere.example.com";
  object.bare_apk_conf = true;
  object.lines = {{"/name", 1}, {"/apiPolicies/request", 9}};

  world_.OnApi(object);
  Build();

  const ApiStatus status = *world_.StatusOf(kChat);
  ASSERT_EQ(status.warnings.size(), 1U);
  EXPECT_EQ(status.warnings[0].line, 9);
  EXPECT_EQ(status.warnings[0].reason, "UnlistedEndpoint");
}

constexpr char kEdge[] = "team/edge";

TEST_F(WorldTest, EveryGatewayHasASnapshotOfItsOwn) {
  world_.OnGateway(Gateway("edge", 1, {{"sandboxHosts", {"*.dev.example.com"}}}));
  world_.OnApi(ApiAt({kEdge}));
  world_.OnApi(Api("other", 1, Spec("/other")));

  EXPECT_TRUE(Serves(kChatKey, kEdge));
  EXPECT_FALSE(Serves(kChatKey));
  EXPECT_TRUE(Serves({ResourceKind::kApi, "default/other"}));
  EXPECT_FALSE(Serves({ResourceKind::kApi, "default/other"}, kEdge));
  EXPECT_TRUE(Serves({ResourceKind::kGateway, kEdge}, kEdge));
  const ApiStatus status = *world_.StatusOf(kChat);
  ASSERT_EQ(status.gateways.size(), 1U);
  EXPECT_EQ(status.gateways[0].gateway, kEdge);
  EXPECT_NE(status.gateways[0].served_hash, 0U);
}

TEST_F(WorldTest, AnApiOfTwoGatewaysIsCompiledOnceAndItsSecretGoesToBoth) {
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  source::ApiObject api = ApiAt({kEdge, kGateway});
  api.spec = Spec("/chat", "keys");
  api.spec["gateways"] = {kEdge, kGateway};
  world_.OnApi(api);
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));

  EXPECT_TRUE(Serves(kKeysKey, kEdge));
  EXPECT_TRUE(Serves(kKeysKey));
  EXPECT_EQ(world_.compile_count(), 1U);

  api.spec["gateways"] = {kEdge};
  api.metadata.generation = 2;
  world_.OnApi(api);
  EXPECT_TRUE(Serves(kKeysKey, kEdge));
  EXPECT_FALSE(Serves(kKeysKey));
  world_.OnDeleted(ApiKey("chat"));
  EXPECT_FALSE(Serves(kKeysKey, kEdge));
  EXPECT_EQ(world_.secret_count(), 0U);
}

TEST_F(WorldTest, SaysThatAGatewayIsMissingAndServesTheApiOnceItComes) {
  world_.OnApi(ApiAt({kEdge, kGateway}));
  EXPECT_TRUE(Serves(kChatKey));
  ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(status.accepted.reason, "GatewayNotFound");
  EXPECT_NE(status.accepted.message.find("gateway team/edge: spec.gateways: "), std::string::npos)
      << status.accepted.message;
  EXPECT_EQ(status.gateways[0].accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.gateways[1].accepted.status, ConditionStatus::kFalse);

  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  const BuildResult result = Build();

  EXPECT_EQ(result.changed, std::vector<ObjectName>{kChat});
  EXPECT_TRUE(result.snapshots.at(kEdge)->resources.contains(kChatKey));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.status, ConditionStatus::kTrue);
}

TEST_F(WorldTest, AGatewayThatIsDeletedHasNoSnapshotAndItsApisSaySo) {
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_TRUE(Serves(kChatKey, kEdge));

  world_.OnDeleted({source::ObjectKind::kGateway, {"team", "edge"}});
  const BuildResult result = Build();

  EXPECT_EQ(result.snapshots.count(kEdge), 0U);
  EXPECT_EQ(result.changed, std::vector<ObjectName>{kChat});
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.reason, "GatewayNotFound");
  EXPECT_EQ(world_.StatusOf(kChat)->served_generation, 0);
}

TEST_F(WorldTest, ARotaGatewayTakesThePlaceOfTheCommandLinesWhileItIsThere) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  const BuildResult before = Build();
  source::GatewayObject object = Gateway("default", 1, {{"sandboxHosts", {"a.example.com"}}});
  object.name = {"default", "default"};

  world_.OnGateway(object);

  const BuildResult with_object = Build();
  EXPECT_NE(with_object.snapshots.at(kGateway)->hash, before.snapshots.at(kGateway)->hash);
  EXPECT_TRUE(with_object.snapshots.at(kGateway)->resources.contains(kChatKey));
  EXPECT_TRUE(world_.GatewayStatuses().at(0).is_object);
  world_.OnDeleted({source::ObjectKind::kGateway, object.name});
  EXPECT_EQ(Build().snapshots.at(kGateway)->hash, before.snapshots.at(kGateway)->hash);
}

TEST_F(WorldTest, AVersionThatIsRefusedDoesNotMoveTheApi) {
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_TRUE(Serves(kChatKey, kEdge));
  source::ApiObject wrong = ApiAt({kGateway}, 2);
  wrong.spec["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["weight"] = 0;

  world_.OnApi(wrong);

  EXPECT_TRUE(Serves(kChatKey, kEdge));
  EXPECT_FALSE(Serves(kChatKey));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.status, ConditionStatus::kFalse);
}

TEST_F(WorldTest, AGatewayMayTakeApisOfItsOwnNamespaceOnly) {
  world_.OnGateway(Gateway("edge", 1, {{"allowedNamespaces", {{"from", "Same"}}}}));
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_FALSE(Serves(kChatKey, kEdge));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.reason, "NamespaceNotAllowed");

  world_.OnGateway(Gateway("edge", 2, {{"allowedNamespaces", {{"from", "All"}}}}));

  EXPECT_TRUE(Serves(kChatKey, kEdge));
}

const Condition& ResolvedRefsOf(const std::vector<GatewayStatus>& statuses,
                                const std::string& gateway) {
  return std::find_if(statuses.begin(), statuses.end(),
                      [&](const auto& status) { return status.gateway == gateway; })
      ->resolved_refs;
}

TEST_F(WorldTest, TheCertificateOfAListenerGoesToItsGatewayAndItsStatusSaysWhatIsWrong) {
  const auto authority = rota::testing::MakeAuthority("ca");
  const auto pair = rota::testing::MakeCertificate(authority, "edge", "", {"edge.test"});
  const ResourceKey key{ResourceKind::kSecret, "team/edge-tls"};
  const auto secret = [&](const std::string& version, const std::string& chain) {
    source::SecretObject object =
        Secret("edge-tls", version, {{"tls.crt", chain}, {"tls.key", pair.key}});
    object.name.ns = "team";
    return object;
  };
  const nlohmann::json listener = {{"name", "public"}, {"certificateRef", {{"name", "edge-tls"}}}};
  world_.OnGateway(Gateway("edge", 1, {{"listeners", {listener}}}));
  EXPECT_EQ(world_.References().at({"team", "edge-tls"}),
            (std::set<std::string>{"tls.crt", "tls.key"}));
  Condition refs = ResolvedRefsOf(world_.GatewayStatuses(), kEdge);
  EXPECT_EQ(refs.status, ConditionStatus::kUnknown);
  EXPECT_NE(refs.message.find("team/edge-tls is being read"), std::string::npos) << refs.message;
  world_.OnDeleted({source::ObjectKind::kSecret, {"team", "edge-tls"}});
  EXPECT_FALSE(Serves(key, kEdge));
  refs = ResolvedRefsOf(world_.GatewayStatuses(), kEdge);
  EXPECT_EQ(refs.status, ConditionStatus::kFalse);
  EXPECT_EQ(refs.reason, "InvalidCertificateRef");
  EXPECT_NE(refs.message.find("create secret tls edge-tls"), std::string::npos) << refs.message;

  world_.OnSecret(secret("1", pair.certificate));
  EXPECT_TRUE(Serves(key, kEdge));
  EXPECT_FALSE(Serves(key));
  EXPECT_EQ(ResolvedRefsOf(world_.GatewayStatuses(), kEdge).status, ConditionStatus::kTrue);

  world_.OnSecret(secret("2", authority.certificate));
  Build();
  refs = ResolvedRefsOf(world_.GatewayStatuses(), kEdge);
  EXPECT_NE(refs.message.find("not that of the certificate"), std::string::npos) << refs.message;
  EXPECT_EQ(refs.message.find("PRIVATE"), std::string::npos);

  world_.OnGateway(Gateway("edge", 2, nlohmann::json::object()));
  EXPECT_FALSE(Serves(key, kEdge));
  EXPECT_EQ(world_.secret_count(), 0U);
  world_.OnGateway(Gateway("edge", 3, {{"listeners", {listener}}}));
  EXPECT_EQ(world_.secret_count(), 1U);
  world_.OnDeleted({source::ObjectKind::kGateway, {"team", "edge"}});
  EXPECT_EQ(world_.secret_count(), 0U);
}

// The version of the API "chat" that a gateway serves.
uint64_t HashAt(const BuildResult& result, const std::string& gateway) {
  const auto* found = result.snapshots.at(gateway)->resources.Find(kChatKey);
  return found == nullptr ? 0 : found->second->hash;
}

// The version of an API that says itself how often it is tried.
uint64_t HashWithAttempts(int attempts, const std::string& secret = "") {
  nlohmann::json spec = Spec("/chat", secret);
  spec["apiPolicies"]["request"][0]["parameters"]["retry"] = {{"attempts", attempts}};
  World world{compile::GatewaySettings{}};
  world.OnApi(Api("chat", 1, std::move(spec)));
  if (!secret.empty()) {
    world.OnSecret(Secret(secret, "1", {{"apiKey", "value"}}));
  }
  return HashAt(world.Build(MonotonicTime{std::chrono::hours(1)}), kGateway);
}

source::GatewayObject GatewayWithAttempts(int attempts, int64_t generation = 1) {
  return Gateway("edge", generation, {{"defaults", {{"retry", {{"attempts", attempts}}}}}});
}

TEST_F(WorldTest, AnApiInheritsTheDefaultsOfEachOfItsGateways) {
  world_.OnGateway(GatewayWithAttempts(3));
  world_.OnApi(ApiAt({kEdge, kGateway}));
  const BuildResult result = Build();

  EXPECT_EQ(HashAt(result, kEdge), HashWithAttempts(3));
  EXPECT_EQ(HashAt(result, kGateway), HashWithAttempts(1));
  EXPECT_EQ(world_.compile_count(), 1U);
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kTrue);
  EXPECT_NE(status.gateways[0].served_hash, status.gateways[1].served_hash);
}

TEST_F(WorldTest, ChangedDefaultsReachTheApisOfTheGatewayAndNobodyElse) {
  world_.OnGateway(GatewayWithAttempts(3));
  world_.OnApi(ApiAt({kEdge, kGateway}));
  const BuildResult before = Build();

  world_.OnGateway(GatewayWithAttempts(4, 2));
  const BuildResult after = Build();
  EXPECT_EQ(HashAt(after, kEdge), HashWithAttempts(4));
  EXPECT_EQ(after.snapshots.at(kGateway)->hash, before.snapshots.at(kGateway)->hash);

  world_.OnGateway(Gateway("edge", 3, nlohmann::json::object()));
  EXPECT_EQ(HashAt(Build(), kEdge), HashWithAttempts(1));
}

TEST_F(WorldTest, AVersionThatAnInvalidOneFallsBackToInheritsAsWell) {
  world_.OnGateway(GatewayWithAttempts(3));
  source::ApiObject api = ApiAt({kEdge});
  api.spec = Spec("/chat", "keys");
  api.spec["gateways"] = {kEdge};
  world_.OnApi(api);
  world_.OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  EXPECT_TRUE(Serves(kKeysKey, kEdge));
  api.metadata.generation = 2;
  api.spec["operations"][0]["verb"] = "FETCH";
  world_.OnApi(api);
  const uint64_t before = HashAt(Build(), kEdge);

  world_.OnGateway(GatewayWithAttempts(5, 2));

  const uint64_t inherited = HashAt(Build(), kEdge);
  EXPECT_NE(inherited, before);
  EXPECT_EQ(inherited, HashWithAttempts(5, "keys"));
  EXPECT_TRUE(Serves(kKeysKey, kEdge));
  world_.OnDeleted(ApiKey("chat"));
  EXPECT_FALSE(Serves(kKeysKey, kEdge));
  EXPECT_EQ(world_.secret_count(), 0U);
}

// An API at these gateways whose requests are signed as the data plane's role.
source::ApiObject AmbientApi(const std::vector<std::string>& gateways, int64_t generation) {
  nlohmann::json spec = Spec("/chat");
  nlohmann::json& endpoint = spec["endpointConfigurations"]["production"][0];
  endpoint["provider"] = "bedrock";
  endpoint["endpointSecurity"] = {{"enabled", true},
                                  {"securityType", {{"ambientIdentity", "AWS"}}}};
  spec["gateways"] = gateways;
  return Api("chat", generation, std::move(spec));
}

source::GatewayObject GatewayWithIdentityFor(const std::vector<std::string>& namespaces,
                                             int64_t generation) {
  return Gateway("edge", generation, {{"ambientIdentityNamespaces", namespaces}});
}

TEST_F(WorldTest, AnAmbientIdentityIsForNamespacesThatTheGatewayLists) {
  world_.OnGateway(GatewayWithIdentityFor({"other"}, 1));
  world_.OnApi(AmbientApi({kEdge, kGateway}, 1));
  EXPECT_FALSE(Serves(kChatKey, kEdge));
  EXPECT_FALSE(Serves(kChatKey, kGateway)) << "the command line lists nobody";
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(status.accepted.reason, "AmbientIdentityNotAllowed");
  ASSERT_EQ(status.gateways.size(), 2U);
  EXPECT_NE(status.gateways[0].accepted.message.find("--ambient-identity-namespace"),
            std::string::npos);
  EXPECT_NE(status.gateways[1].accepted.message.find("spec.ambientIdentityNamespaces"),
            std::string::npos);

  world_.OnGateway(GatewayWithIdentityFor({"other", "default"}, 2));
  EXPECT_TRUE(Serves(kChatKey, kEdge));
  EXPECT_FALSE(Serves(kChatKey, kGateway));

  world_.OnGateway(GatewayWithIdentityFor({}, 3));
  EXPECT_FALSE(Serves(kChatKey, kEdge)) << "what is taken from a namespace is gone at once";
}

TEST_F(WorldTest, AVersionThatAsksForAnIdentityInVainChangesNothing) {
  world_.OnGateway(GatewayWithIdentityFor({}, 1));
  world_.OnApi(ApiAt({kEdge}, 1));
  const uint64_t before = HashAt(Build(), kEdge);

  world_.OnApi(AmbientApi({kEdge}, 2));

  EXPECT_EQ(HashAt(Build(), kEdge), before);
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.reason, "AmbientIdentityNotAllowed");
  EXPECT_EQ(status.served_generation, 1);
}

TEST_F(WorldTest, TheCommandLineListsNamespacesToo) {
  compile::GatewaySettings settings;
  settings.ambient_identity_namespaces = {"default"};
  World world{settings};
  world.OnApi(AmbientApi({}, 1));

  EXPECT_TRUE(world.Build(now_).snapshots.at(kGateway)->resources.contains(kChatKey));
  EXPECT_EQ(world.StatusOf(kChat)->accepted.status, ConditionStatus::kTrue);
}

// A gateway that takes the APIs of namespaces with the label team=a.
source::GatewayObject SelectingGateway(int64_t generation = 1) {
  return Gateway("edge", generation,
                 {{"allowedNamespaces",
                   {{"from", "Selector"}, {"selector", {{"matchLabels", {{"team", "a"}}}}}}}});
}

TEST_F(WorldTest, AGatewayMayTakeApisOfNamespacesWithCertainLabels) {
  EXPECT_FALSE(world_.wants_namespaces());
  world_.OnGateway(SelectingGateway());
  EXPECT_TRUE(world_.wants_namespaces());
  world_.OnNamespacesKnown();
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_FALSE(Serves(kChatKey, kEdge));
  EXPECT_NE(world_.StatusOf(kChat)->accepted.message.find("list and watch namespaces"),
            std::string::npos);

  world_.OnNamespace(Namespace("default", {{"team", "a"}}));
  EXPECT_TRUE(Serves(kChatKey, kEdge));
  world_.OnNamespace(Namespace("default", {{"team", "b"}}));
  EXPECT_FALSE(Serves(kChatKey, kEdge));
  EXPECT_EQ(world_.StatusOf(kChat)->accepted.reason, "NamespaceNotAllowed");
  EXPECT_NE(world_.StatusOf(kChat)->accepted.message.find("do not match 'team=a'"),
            std::string::npos);
  world_.OnNamespace(Namespace("default", {{"team", "a"}}));
  EXPECT_TRUE(Serves(kChatKey, kEdge));
  world_.OnDeleted({source::ObjectKind::kNamespace, {"", "default"}});
  EXPECT_FALSE(Serves(kChatKey, kEdge));
}

TEST_F(WorldTest, TheNameOfANamespaceIsKnownWithoutTheNamespace) {
  world_.OnGateway(
      Gateway("edge", 1,
              {{"allowedNamespaces",
                {{"from", "Selector"},
                 {"selector", {{"matchLabels", {{"kubernetes.io/metadata.name", "default"}}}}}}}}));
  world_.OnNamespacesKnown();
  world_.OnApi(ApiAt({kEdge}));

  EXPECT_TRUE(Serves(kChatKey, kEdge));
}

TEST_F(WorldTest, AnApiStaysWhereItIsUntilTheLabelsAreKnown) {
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_TRUE(Serves(kChatKey, kEdge));

  world_.OnGateway(SelectingGateway(2));
  EXPECT_TRUE(Serves(kChatKey, kEdge));
  world_.OnNamespacesKnown();

  EXPECT_FALSE(Serves(kChatKey, kEdge));
}

TEST_F(WorldTest, LabelsThatNobodyAsksForChangeNothing) {
  world_.OnApi(Api("chat", 1, Spec("/chat")));
  Build();

  world_.OnNamespace(Namespace("default", {{"team", "a"}}));

  EXPECT_FALSE(world_.has_changes());
}

TEST_F(WorldTest, HowManyApisAnObjectsRemovalWouldTakeAway) {
  const source::ObjectKey edge{source::ObjectKind::kGateway, {"team", "edge"}};
  world_.OnApi(ApiAt({kEdge}));
  EXPECT_EQ(world_.ReachOf(ApiKey("chat")), 0U) << "its only gateway does not exist";
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  world_.OnApi(Api("other", 1, Spec("/other")));

  EXPECT_EQ(world_.ReachOf(ApiKey("chat")), 1U);
  EXPECT_EQ(world_.ReachOf(ApiKey("unknown")), 0U);
  EXPECT_EQ(world_.ReachOf(edge), 1U);
  EXPECT_EQ(world_.ReachOf({source::ObjectKind::kGateway, {"default", "default"}}), 0U);
}

TEST_F(WorldTest, AnInvalidGatewayGoesOnAsItWas) {
  world_.OnGateway(Gateway("edge", 1, {{"sandboxHosts", {"a.example.com"}}}));
  world_.OnApi(ApiAt({kEdge}));
  const BuildResult before = Build();

  world_.OnGateway(Gateway("edge", 2, {{"sandboxHosts", {"A.example.com"}}}));

  EXPECT_EQ(Build().snapshots.at(kEdge)->hash, before.snapshots.at(kEdge)->hash);
  const std::vector<GatewayStatus> statuses = world_.GatewayStatuses();
  ASSERT_EQ(statuses.size(), 2U);
  EXPECT_EQ(statuses[0].gateway, kGateway);
  EXPECT_FALSE(statuses[0].is_object);
  EXPECT_TRUE(statuses[0].is_default);
  EXPECT_EQ(statuses[1].accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(statuses[1].attached_apis, 1U);
  EXPECT_NE(statuses[1].accepted.message.find("spec.sandboxHosts[0]"), std::string::npos);
}

TEST_F(WorldTest, TwoApisOfOnePathMeetOnlyWhereBothAre) {
  world_.OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  world_.OnApi(Api("a", 1, Spec("/chat")));
  world_.OnApi(ApiAt({kEdge, kGateway}));

  EXPECT_TRUE(Serves(kChatKey, kEdge));
  EXPECT_FALSE(Serves(kChatKey));
  const ApiStatus status = *world_.StatusOf(kChat);
  EXPECT_EQ(status.accepted.reason, "PathConflict");
  EXPECT_EQ(status.gateways[1].accepted.status, ConditionStatus::kTrue);
}

}  // namespace
}  // namespace rota::reconcile
