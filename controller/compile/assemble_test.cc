#include "controller/compile/assemble.h"

#include <random>

#include "gtest/gtest.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::ObjectName;

std::shared_ptr<const CompiledApi> MakeApi(const std::string& name, const std::string& base_path,
                                           bool default_version = false,
                                           const std::string& secret_ns = "") {
  resource::Api api;
  api.base_path = base_path;
  api.version = "v1";
  api.default_version = default_version;
  resource::Endpoint endpoint;
  endpoint.url = "https://api.openai.com/v1";
  endpoint.security = resource::ApiKeySecurity{"keys", resource::ApiKeySecurity::Place::kHeader,
                                               "Authorization", "apiKey", secret_ns};
  api.endpoint_configurations.production = {endpoint};
  api.operations.push_back({"/chat/completions", "POST", true, {}, std::nullopt, std::nullopt});
  return std::make_shared<CompiledApi>(CompileApi({"default", name}, "uid-" + name, api));
}

Age Old(const std::string& name, const std::string& time = "") { return {time, {"default", name}}; }

SecretVersion Version(const std::string& version, const SecretData& data) {
  SecretVersion result;
  for (const auto& [key, value] : data) {
    result.keys.insert(key);
  }
  result.body = SecretBody("uid", version, data);
  return result;
}

class AssembleTest : public testing::Test {
 protected:
  AssembleTest() { SetSecret("1", {{"apiKey", SecretString("value")}}); }

  void SetSecret(const std::string& version, const SecretData& data) {
    secrets_[ObjectName{"default", "keys"}] = Version(version, data);
  }
  Assembly Run() { return Assemble(apis_, secrets_, "default/default", gateway_); }

  std::map<Age, ApiVersions> apis_;
  std::map<ObjectName, SecretVersion> secrets_;
  std::shared_ptr<const ResourceBody> gateway_ = GatewayBody({});
};

const ResourceKey kSecretKey{ResourceKind::kSecret, "default/keys"};

TEST_F(AssembleTest, HoldsTheGatewayEachApiAndEachSecret) {
  apis_[Old("a")] = {MakeApi("a", "/a"), nullptr};

  const Assembly assembly = Run();

  EXPECT_EQ(assembly.snapshot->resources.size(), 3U);
  EXPECT_EQ(assembly.snapshot->hash.size(), 32U);
  EXPECT_TRUE(assembly.apis.at({"default", "a"}).unresolved.empty());
}

TEST_F(AssembleTest, SharesTheBodiesOfWhatHasNotChanged) {
  apis_[Old("a")] = {MakeApi("a", "/a"), nullptr};
  const Assembly before = Run();
  apis_[Old("b")] = {MakeApi("b", "/b"), nullptr};

  const Assembly after = Run();

  const ResourceKey key{ResourceKind::kApi, "default/a"};
  EXPECT_EQ(before.snapshot->resources.Find(key)->second,
            after.snapshot->resources.Find(key)->second);
  EXPECT_NE(before.snapshot->hash, after.snapshot->hash);
}

TEST_F(AssembleTest, LeavesThePathWithTheOlderApi) {
  apis_[Old("a", "2026-02-01T00:00:00Z")] = {MakeApi("a", "/x"), nullptr};
  apis_[Old("b", "2026-01-01T00:00:00Z")] = {MakeApi("b", "/x"), nullptr};

  const Assembly assembly = Run();

  EXPECT_NE(assembly.apis.at({"default", "b"}).served, nullptr);
  const ApiOutcome& newer = assembly.apis.at({"default", "a"});
  EXPECT_EQ(newer.served, nullptr);
  ASSERT_EQ(newer.accepted.size(), 1U);
  EXPECT_EQ(newer.accepted[0].reason, "PathConflict");
  EXPECT_NE(newer.accepted[0].message.find("default/b"), std::string::npos);
}

TEST_F(AssembleTest, ServesTheLastGoodVersionOfAnApiThatMovedToATakenPath) {
  const auto before = MakeApi("b", "/b");
  apis_[Old("a")] = {MakeApi("a", "/a"), nullptr};
  apis_[Old("b")] = {MakeApi("b", "/a"), before};

  const Assembly assembly = Run();

  EXPECT_EQ(assembly.apis.at({"default", "b"}).served, before);
  EXPECT_EQ(assembly.apis.at({"default", "b"}).accepted.size(), 1U);
}

TEST_F(AssembleTest, TwoDefaultVersionsOfOneBasePathAreAConflict) {
  apis_[Old("a")] = {MakeApi("a", "/a", true), nullptr};
  apis_[Old("b")] = {MakeApi("b", "/a/v1", true), nullptr};

  // "/a/v1" is the versioned path of one and the default path of the other.
  EXPECT_EQ(Run().apis.at({"default", "b"}).served, nullptr);
}

TEST_F(AssembleTest, ASecretOfAnotherNamespaceIsNotToBeHadUnderItsOwnName) {
  const auto api = MakeApi("a", "/a", false, "vault");
  const ObjectName reference{"default", "vault/keys"};
  ASSERT_EQ(api->secrets.size(), 1U);
  EXPECT_EQ(api->secrets[0].secret, reference);
  apis_[Old("a")] = {api, nullptr};
  const SecretVersion secret = Version("1", {{"apiKey", SecretString("value")}});
  secrets_ = {{ObjectName{"vault", "keys"}, secret}};

  const Assembly refused = Run();
  secrets_[reference] = secret;
  const Assembly granted = Run();

  const ApiOutcome& outcome = refused.apis.at({"default", "a"});
  ASSERT_EQ(outcome.unresolved.size(), 1U);
  EXPECT_EQ(outcome.unresolved[0].reason, "RefNotPermitted");
  EXPECT_NE(outcome.unresolved[0].message.find("ReferenceGrant of namespace vault"),
            std::string::npos);
  EXPECT_TRUE(granted.apis.at({"default", "a"}).unresolved.empty());
  EXPECT_TRUE(granted.snapshot->resources.contains({ResourceKind::kSecret, "default/vault/keys"}));
}

// Two models: one of OpenAI, one at a Service of namespace models that has no credential.
std::shared_ptr<const CompiledApi> MakeApiWithService() {
  resource::Api api;
  api.base_path = "/a";
  api.version = "v1";
  resource::Endpoint openai;
  openai.url = "https://api.openai.com/v1";
  resource::Endpoint service;
  service.url = "http://vllm.models.svc:8000";
  api.endpoint_configurations.production = {openai, service};
  resource::ModelBasedRoundRobin policy;
  policy.production = {{"gpt-4o", openai.url, 1, 1, ""}, {"llama", service.url, 1, 1, ""}};
  api.round_robin = policy;
  api.operations.push_back({"/chat/completions", "POST", true, {}, std::nullopt, std::nullopt});
  return std::make_shared<CompiledApi>(CompileApi({"default", "a"}, "uid-a", api));
}

TEST_F(AssembleTest, OfAnApiWithAServiceThatIsNotGrantedTheRestIsServed) {
  const auto api = MakeApiWithService();
  const ObjectName reference{"default", "models/service/vllm"};
  ASSERT_EQ(api->secrets.size(), 1U);
  EXPECT_EQ(api->secrets[0].secret, reference);
  EXPECT_EQ(api->secrets[0].field, "spec.endpointConfigurations.production[1].endpoint");
  Assembler assembler("default/default", gateway_);
  assembler.SetApi(Old("a"), {api, nullptr});

  const Assembly refused = assembler.Build();
  assembler.SetSecret(reference, {});
  const Assembly granted = assembler.Build();
  assembler.RemoveSecret(reference);
  const Assembly revoked = assembler.Build();

  const ObjectName name{"default", "a"};
  const ResourceKey key{ResourceKind::kApi, "default/a"};
  EXPECT_EQ(granted.snapshot->resources.Find(key)->second, api->body);
  EXPECT_TRUE(granted.apis.at(name).unresolved.empty());
  EXPECT_EQ(granted.snapshot->resources.size(), 2U) << "the grant itself is not sent";
  for (const Assembly* without : {&refused, &revoked}) {
    const ApiOutcome& outcome = without->apis.at(name);
    EXPECT_EQ(outcome.served, api);
    EXPECT_EQ(without->snapshot->resources.Find(key)->second, outcome.body);
    EXPECT_NE(without->snapshot->hash, granted.snapshot->hash);
    pb::Api sent;
    pb::Api whole;
    ASSERT_TRUE(sent.ParseFromString(outcome.body->bytes));
    ASSERT_TRUE(whole.ParseFromString(api->body->bytes));
    EXPECT_FALSE(sent.endpoints(0).has_credential());
    EXPECT_EQ(sent.endpoints(1).credential().value().secret(), "default/models/service/vllm");
    EXPECT_FALSE(without->snapshot->resources.contains(
        {ResourceKind::kSecret, "default/models/service/vllm"}));
    sent.mutable_endpoints(1)->clear_credential();
    EXPECT_EQ(sent.SerializeAsString(), whole.SerializeAsString()) << "identities stay";
    ASSERT_EQ(outcome.unresolved.size(), 1U);
    EXPECT_EQ(outcome.unresolved[0].reason, "RefNotPermitted");
    EXPECT_EQ(outcome.unresolved[0].message,
              "Service models/vllm needs a ReferenceGrant of namespace models from {group: "
              "gateway.rota.dev, kind: API, namespace: default} to {group: \"\", kind: Service, "
              "name: vllm}; make one there (none counts where APIs are read from files), or put "
              "the API into that namespace");
  }
}

TEST_F(AssembleTest, TheOwnNamespaceMayBeNamed) {
  EXPECT_EQ(MakeApi("a", "/a", false, "default")->secrets[0].secret,
            (ObjectName{"default", "keys"}));
}

TEST_F(AssembleTest, ServesAnApiWhoseSecretIsMissingAndNamesSecretAndKey) {
  apis_[Old("a")] = {MakeApi("a", "/a"), nullptr};
  secrets_.clear();

  const Assembly assembly = Run();

  const ApiOutcome& outcome = assembly.apis.at({"default", "a"});
  EXPECT_NE(outcome.served, nullptr);
  ASSERT_EQ(outcome.unresolved.size(), 1U);
  EXPECT_EQ(outcome.unresolved[0].reason, "SecretNotFound");
  EXPECT_NE(outcome.unresolved[0].message.find("default/keys"), std::string::npos);
  EXPECT_NE(outcome.unresolved[0].message.find("apiKey"), std::string::npos);
  EXPECT_FALSE(assembly.snapshot->resources.contains(kSecretKey));
}

TEST_F(AssembleTest, NamesAMissingKeyOfASecret) {
  apis_[Old("a")] = {MakeApi("a", "/a"), nullptr};
  SetSecret("1", {{"other", SecretString("value")}});

  const ApiOutcome outcome = Run().apis.at({"default", "a"});

  ASSERT_EQ(outcome.unresolved.size(), 1U);
  EXPECT_EQ(outcome.unresolved[0].reason, "SecretKeyNotFound");
}

TEST_F(AssembleTest, LeavesSecretsOutThatNoServedApiNeeds) {
  EXPECT_FALSE(Run().snapshot->resources.contains(kSecretKey));
}

// An Assembler that has seen any history gives what a new one with the same content gives.
TEST(AssemblerTest, AgreesWithANewOneAfterAnyHistory) {
  std::mt19937 random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  const auto make = [&](int i) -> std::shared_ptr<const CompiledApi> {
    if (pick(6) == 0) {
      return nullptr;
    }
    const char* paths[] = {"/a", "/b", "/a/v1", "/c"};
    return MakeApi("api-" + std::to_string(i), paths[pick(4)], pick(2) == 0);
  };
  const auto gateway = GatewayBody({});
  Assembler assembler("default/default", gateway);
  std::map<Age, ApiVersions> apis;
  std::map<ObjectName, SecretVersion> secrets;
  std::map<ObjectName, ApiOutcome> outcomes;
  for (int step = 0; step < 3000; ++step) {
    const int i = pick(6);
    const Age age = Old("api-" + std::to_string(i), std::to_string(i % 2));
    const ObjectName secret{"default", "keys"};
    const int action = pick(10);
    if (action < 6) {
      apis[age] = {make(i), make(i)};
      assembler.SetApi(age, apis[age]);
    } else if (action < 8) {
      apis.erase(age);
      outcomes.erase(age.name);
      assembler.RemoveApi(age);
    } else if (action == 8) {
      secrets[secret] =
          Version(std::to_string(step), {{pick(2) == 0 ? "apiKey" : "other", SecretString("v")}});
      assembler.SetSecret(secret, secrets[secret]);
    } else {
      secrets.erase(secret);
      assembler.RemoveSecret(secret);
    }
    if (pick(3) == 0) {
      continue;
    }

    Assembly now = assembler.Build();

    const Assembly expected = Assemble(apis, secrets, "default/default", gateway);
    ASSERT_TRUE(now.snapshot->resources == expected.snapshot->resources) << "step " << step;
    ASSERT_EQ(now.snapshot->hash, expected.snapshot->hash) << "step " << step;
    ASSERT_EQ(now.snapshot->hash, expected.snapshot->hash);
    for (auto& [name, outcome] : now.apis) {
      outcomes[name] = std::move(outcome);
    }
    ASSERT_EQ(outcomes.size(), expected.apis.size()) << "step " << step;
    for (const auto& [name, outcome] : expected.apis) {
      ASSERT_EQ(outcomes[name].served, outcome.served) << "step " << step;
      ASSERT_EQ(outcomes[name].accepted, outcome.accepted) << "step " << step;
      ASSERT_EQ(outcomes[name].unresolved, outcome.unresolved) << "step " << step;
    }
  }
}

TEST(AssemblerTest, IsNotChangedByWhatIsServedBecomingTheLastGoodVersion) {
  Assembler assembler("default/default", GatewayBody({}));
  const auto first = MakeApi("a", "/a");
  const auto second = MakeApi("a", "/a");
  const auto elsewhere = MakeApi("a", "/b");

  assembler.SetApi(Old("a"), {first, nullptr});
  assembler.Build();
  assembler.SetApi(Old("a"), {first, first});
  EXPECT_FALSE(assembler.has_changes());

  assembler.SetApi(Old("a"), {second, first});
  EXPECT_EQ(assembler.Build().apis.at({"default", "a"}).served, second);
  assembler.SetApi(Old("a"), {second, second});
  EXPECT_FALSE(assembler.has_changes());

  assembler.SetApi(Old("a"), {elsewhere, second});
  EXPECT_EQ(assembler.Build().apis.at({"default", "a"}).served, elsewhere);
  assembler.SetApi(Old("a"), {elsewhere, elsewhere});
  EXPECT_TRUE(assembler.has_changes()) << "the path of the version before is free now";
}

TEST(AssemblerTest, TheSecretsOfListenersTravelWithTheGatewayAndStayWhileAnApiNeedsThem) {
  GatewaySettings settings;
  settings.listeners = {{"public", "", "keys"}};
  Assembler assembler("default/default", GatewayBody({}));
  assembler.SetSecret({"default", "keys"}, Version("1", {{"apiKey", SecretString("value")}}));
  const auto has_secret = [&] {
    return assembler.Build().snapshot->resources.contains(kSecretKey);
  };
  EXPECT_FALSE(has_secret());

  assembler.SetGateway(GatewayBody(settings), SecretsOf(settings));
  EXPECT_TRUE(has_secret());
  assembler.SetApi(Old("a"), {MakeApi("a", "/a"), nullptr});
  EXPECT_TRUE(has_secret());
  assembler.SetGateway(GatewayBody({}));
  EXPECT_TRUE(has_secret());
  assembler.RemoveApi(Old("a"));
  EXPECT_FALSE(has_secret());

  assembler.SetGateway(GatewayBody(settings), SecretsOf(settings));
  assembler.SetApi(Old("a"), {MakeApi("a", "/a"), nullptr});
  EXPECT_TRUE(has_secret());
  assembler.RemoveApi(Old("a"));
  EXPECT_TRUE(has_secret());
  assembler.RemoveSecret({"default", "keys"});
  EXPECT_TRUE(assembler.has_changes());
  EXPECT_FALSE(has_secret());
}

TEST(GatewayBodyTest, ListenersReferToTlsSecretsOfTheGatewaysNamespace) {
  GatewaySettings settings;
  settings.name = "team/edge";
  settings.listeners = {{"public", "*.example.com", "cert"}};

  pb::Gateway gateway;
  ASSERT_TRUE(gateway.ParseFromString(GatewayBody(settings)->bytes));

  ASSERT_EQ(gateway.listeners_size(), 1);
  EXPECT_EQ(gateway.listeners(0).hostname(), "*.example.com");
  EXPECT_EQ(gateway.listeners(0).certificate().secret(), "team/cert");
  EXPECT_EQ(gateway.listeners(0).certificate().key(), "tls.crt");
  EXPECT_EQ(gateway.listeners(0).key().key(), "tls.key");
  ASSERT_EQ(SecretsOf(settings).size(), 2U);
  EXPECT_EQ(SecretsOf(settings)[0].secret, (ObjectName{"team", "cert"}));
}

TEST(SecretBodyTest, HashesTheVersionAndTheKeysButNeverTheValue) {
  const SecretData one = {{"apiKey", SecretString("one")}};
  const SecretData two = {{"apiKey", SecretString("two")}};
  const SecretData more = {{"apiKey", SecretString("one")}, {"other", SecretString("x")}};

  EXPECT_EQ(SecretBody("uid", "1", one)->hash, SecretBody("uid", "1", two)->hash);
  EXPECT_NE(SecretBody("uid", "1", one)->hash, SecretBody("uid", "2", one)->hash);
  EXPECT_NE(SecretBody("uid", "1", one)->hash, SecretBody("uid-2", "1", one)->hash);
  // Another set of keys is another body, which must reach the data planes.
  EXPECT_NE(SecretBody("uid", "1", one)->hash, SecretBody("uid", "1", more)->hash);
}

TEST(SecretBodyTest, HoldsTheValuesSortedByKey) {
  const SecretData data = {{"b", SecretString("2")}, {"a", SecretString(std::string("1\0", 2))}};

  pb::Secret secret;
  ASSERT_TRUE(secret.ParseFromString(SecretBody("uid", "1", data)->bytes));

  ASSERT_EQ(secret.entries_size(), 2);
  EXPECT_EQ(secret.entries(0).key(), "a");
  EXPECT_EQ(secret.entries(0).value(), std::string("1\0", 2));
}

}  // namespace
}  // namespace rota::compile
