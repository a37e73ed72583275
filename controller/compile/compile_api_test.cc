#include "controller/compile/compile_api.h"

#include <functional>

#include "controller/compile/operation_kind.h"
#include "gtest/gtest.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;

resource::Api TwoModels() {
  resource::Api api;
  api.name = "chat";
  api.base_path = "/chat";
  api.version = "v1";
  resource::Endpoint endpoint;
  endpoint.url = "https://api.openai.com/v1";
  endpoint.security = resource::ApiKeySecurity{"keys", resource::ApiKeySecurity::Place::kHeader,
                                               "Authorization", "apiKey"};
  api.endpoint_configurations.production = {endpoint};
  api.operations.push_back({"/chat/completions", "POST", true, {}, std::nullopt, std::nullopt});
  resource::ModelBasedRoundRobin policy;
  policy.production = {{"a", endpoint.url, 7, 1, ""}, {"b", endpoint.url, 3, 1, ""}};
  api.round_robin = policy;
  return api;
}

CompiledApi Compile(const resource::Api& api, const std::string& uid = "uid") {
  return CompileApi({"default", "chat"}, uid, api);
}

pb::Api Decode(const CompiledApi& compiled) {
  pb::Api api;
  EXPECT_NE(compiled.body, nullptr);
  if (compiled.body != nullptr) {
    EXPECT_TRUE(api.ParseFromString(compiled.body->bytes));
  }
  return api;
}

std::vector<std::string> TargetIds(const CompiledApi& compiled) {
  const pb::Api api = Decode(compiled);
  std::vector<std::string> ids;
  for (const pb::Target& target : api.rotations(0).targets()) {
    ids.push_back(target.id());
  }
  return ids;
}

// The ids of TwoModels() after a change, for comparison with those before.
std::vector<std::string> IdsAfter(const std::function<void(resource::Api&)>& change) {
  resource::Api api = TwoModels();
  change(api);
  return TargetIds(Compile(api));
}

TEST(CompileApiTest, GivesTheSameBytesForTheSameInput) {
  const CompiledApi first = Compile(TwoModels());
  const CompiledApi second = Compile(TwoModels());

  EXPECT_EQ(first.body->bytes, second.body->bytes);
  EXPECT_EQ(first.body->hash, second.body->hash);
}

TEST(CompileApiTest, ChangesTheHashWithAnyField) {
  resource::Api changed = TwoModels();
  changed.round_robin->production[1].weight = 4;

  EXPECT_NE(Compile(changed).body->hash, Compile(TwoModels()).body->hash);
}

TEST(CompileApiTest, KeepsTargetIdsWhenOnlyWeightsTiersOrOtherTargetsChange) {
  const std::vector<std::string> before = TargetIds(Compile(TwoModels()));

  EXPECT_EQ(before, IdsAfter([](resource::Api& api) {
              api.round_robin->production[0].weight = 1;
              api.round_robin->production[1].tier = 2;
            }));
  const std::vector<std::string> reversed = IdsAfter([](resource::Api& api) {
    std::swap(api.round_robin->production[0], api.round_robin->production[1]);
  });
  EXPECT_EQ(reversed, (std::vector<std::string>{before[1], before[0]}));
  // A name of the endpoint is for people.
  EXPECT_EQ(before, IdsAfter([](resource::Api& api) {
              api.endpoint_configurations.production[0].name = "main";
            }));
}

TEST(CompileApiTest, GivesOtherTargetIdsForAnotherModelEndpointSecretProviderOrApi) {
  const std::vector<std::string> before = TargetIds(Compile(TwoModels()));
  const auto expect_other = [&](const std::vector<std::string>& after) {
    ASSERT_EQ(after.size(), 2U);
    EXPECT_NE(after[0], before[0]);
  };

  expect_other(IdsAfter([](resource::Api& api) { api.round_robin->production[0].model = "c"; }));
  expect_other(IdsAfter([](resource::Api& api) {
    api.round_robin->production[0].endpoint = "https://other.example.com";
  }));
  expect_other(IdsAfter([](resource::Api& api) {
    std::get<resource::ApiKeySecurity>(api.endpoint_configurations.production[0].security)
        .secret_name = "others";
  }));
  expect_other(
      IdsAfter([](resource::Api& api) { api.round_robin->production[0].provider = "anthropic"; }));
  expect_other(TargetIds(Compile(TwoModels(), "another-uid")));
}

TEST(CompileApiTest, NeverSharesIdsBetweenEnvironments) {
  resource::Api api = TwoModels();
  api.endpoint_configurations.sandbox = api.endpoint_configurations.production;
  api.round_robin->sandbox = api.round_robin->production;

  const pb::Api out = Decode(Compile(api));

  ASSERT_EQ(out.rotations_size(), 2);
  EXPECT_EQ(out.endpoints_size(), 1);
  EXPECT_NE(out.rotations(0).id(), out.rotations(1).id());
  EXPECT_NE(out.rotations(0).targets(0).id(), out.rotations(1).targets(0).id());
}

TEST(CompileApiTest, TriesEachTargetOnceButAtMostFiveTimes) {
  resource::Api api = TwoModels();
  EXPECT_EQ(Decode(Compile(api)).rotations(0).attempts(), 2U);

  for (int i = 0; i < 10; ++i) {
    api.round_robin->production.push_back(
        {"m" + std::to_string(i), "https://api.openai.com/v1", 1, 1, ""});
  }
  EXPECT_EQ(Decode(Compile(api)).rotations(0).attempts(), 5U);

  api.round_robin->settings.attempts = 1;
  EXPECT_EQ(Decode(Compile(api)).rotations(0).attempts(), 1U);
}

TEST(CompileApiTest, RejectsAnEndpointNameThatNobodyHasAndOffersThoseThatAreThere) {
  resource::Api api = TwoModels();
  api.endpoint_configurations.production[0].name = "main";
  api.round_robin->production[1].endpoint = "mian";

  const CompiledApi compiled = Compile(api);

  EXPECT_EQ(compiled.body, nullptr);
  ASSERT_EQ(compiled.diagnostics.size(), 1U);
  EXPECT_EQ(compiled.diagnostics[0].reason, "EndpointNotFound");
  EXPECT_EQ(
      compiled.diagnostics[0].field,
      "spec.apiPolicies.request.ModelBasedRoundRobin.parameters.productionModels[1].endpoint");
  EXPECT_NE(compiled.diagnostics[0].message.find("'mian'"), std::string::npos);
  EXPECT_NE(compiled.diagnostics[0].message.find("'main'"), std::string::npos);
}

TEST(CompileApiTest, RejectsAUrlThatIsListedWithTwoCredentials) {
  resource::Api api = TwoModels();
  resource::Endpoint second = api.endpoint_configurations.production[0];
  std::get<resource::ApiKeySecurity>(second.security).secret_name = "others";
  api.endpoint_configurations.production.push_back(second);

  const CompiledApi compiled = Compile(api);

  EXPECT_EQ(compiled.body, nullptr);
  ASSERT_FALSE(compiled.diagnostics.empty());
  EXPECT_EQ(compiled.diagnostics[0].reason, "AmbiguousEndpoint");
}

TEST(CompileApiTest, RejectsMoreTargetsThanARotationHolds) {
  resource::Api api = TwoModels();
  for (size_t i = 0; i < kMaxTargets; ++i) {
    api.round_robin->production.push_back(
        {"m" + std::to_string(i), "https://api.openai.com/v1", 1, 1, ""});
  }

  const CompiledApi compiled = Compile(api);

  EXPECT_EQ(compiled.body, nullptr);
  ASSERT_EQ(compiled.diagnostics.size(), 1U);
  EXPECT_EQ(compiled.diagnostics[0].reason, "TooMany");
}

TEST(CompileApiTest, RejectsARotationInWhichEveryWeightIsZero) {
  resource::Api api = TwoModels();
  api.round_robin->production[0].weight = 0;
  api.round_robin->production[1].weight = 0;

  EXPECT_EQ(Compile(api).body, nullptr);
}

TEST(CompileApiTest, RejectsAnApiThatDoesNotFitIntoOneMessage) {
  resource::Api api = TwoModels();
  for (int i = 0; i < 2000; ++i) {
    resource::Operation operation = api.operations[0];
    operation.target = "/" + std::string(600, 'x') + std::to_string(i);
    api.operations.push_back(operation);
  }

  const CompiledApi compiled = Compile(api);

  EXPECT_EQ(compiled.body, nullptr);
  ASSERT_FALSE(compiled.diagnostics.empty());
  EXPECT_EQ(compiled.diagnostics.back().reason, "TooLarge");
}

TEST(CompileApiTest, SwitchesPassiveHealthChecksOffWithAThresholdOfZero) {
  resource::Api api = TwoModels();
  api.round_robin->settings.passive_health_checks = false;

  EXPECT_EQ(Decode(Compile(api)).rotations(0).failure_threshold(), 0U);
}

TEST(CompileApiTest, ListsEachSecretKeyAndModelOnce) {
  resource::Api api = TwoModels();
  api.endpoint_configurations.sandbox = api.endpoint_configurations.production;
  api.round_robin->sandbox = api.round_robin->production;

  const CompiledApi compiled = Compile(api);

  ASSERT_EQ(compiled.secrets.size(), 1U);
  EXPECT_EQ(compiled.secrets[0].secret.ToString(), "default/keys");
  EXPECT_EQ(compiled.secrets[0].key, "apiKey");
  EXPECT_EQ(compiled.models, (std::vector<std::string>{"a", "b"}));
}

TEST(CompileApiTest, ASignatureNeedsItsKeysAndBedrock) {
  resource::Api api = TwoModels();
  resource::Endpoint& endpoint = api.endpoint_configurations.production[0];
  endpoint.provider = "bedrock";
  resource::AwsSecurity aws{"aws", "id", "key", "token", "", "bedrock"};
  endpoint.security = aws;

  const CompiledApi compiled = Compile(api);
  const pb::Credential credential = Decode(compiled).endpoints(0).credential();
  EXPECT_EQ(credential.place(), pb::Credential::AWS_SIGNATURE);
  EXPECT_EQ(credential.user_name().key(), "id");
  EXPECT_EQ(credential.value().secret(), "default/aws");
  EXPECT_EQ(credential.value().key(), "key");
  EXPECT_EQ(credential.session_token().key(), "token");
  EXPECT_FALSE(credential.has_region());
  EXPECT_EQ(credential.service(), "bedrock");
  EXPECT_EQ(compiled.secrets.size(), 3U);

  aws.secret_ns = "vault";
  endpoint.security = aws;
  const pb::Credential foreign = Decode(Compile(api)).endpoints(0).credential();
  EXPECT_EQ(foreign.user_name().secret(), "default/vault/aws");
  EXPECT_EQ(foreign.session_token().secret(), "default/vault/aws");

  endpoint.provider = "openai";
  const CompiledApi refused = Compile(api);
  ASSERT_FALSE(refused.diagnostics.empty());
  EXPECT_EQ(refused.diagnostics.front().reason, "Unsupported");
  EXPECT_EQ(refused.body, nullptr);
}

TEST(CompileApiTest, AnAmbientIdentityIsOfItsProviderAndOfNoSecret) {
  using Cloud = resource::AmbientSecurity::Cloud;
  resource::Api api = TwoModels();
  const std::vector<std::string> plain = TargetIds(Compile(api));
  EXPECT_EQ(Compile(api).ambient_identity_field, "");
  resource::Endpoint& endpoint = api.endpoint_configurations.production[0];
  endpoint.provider = "bedrock";
  endpoint.security = resource::AmbientSecurity{Cloud::kAws};

  const CompiledApi aws = Compile(api);
  pb::Credential credential = Decode(aws).endpoints(0).credential();
  EXPECT_EQ(credential.place(), pb::Credential::AWS_SIGNATURE);
  EXPECT_EQ(credential.identity(), pb::Credential::AWS);
  EXPECT_EQ(credential.service(), "bedrock");
  EXPECT_FALSE(credential.has_value());
  EXPECT_TRUE(aws.secrets.empty());
  EXPECT_EQ(aws.ambient_identity_field,
            "spec.endpointConfigurations.production[0].endpointSecurity.securityType."
            "ambientIdentity");
  endpoint.security = {};
  EXPECT_NE(TargetIds(aws), TargetIds(Compile(api))) << "another credential, another target";

  endpoint.security = resource::AmbientSecurity{Cloud::kAzure};
  EXPECT_EQ(Compile(api).diagnostics.front().reason, "Unsupported") << "Bedrock takes no token";
  endpoint.provider = "azure";
  credential = Decode(Compile(api)).endpoints(0).credential();
  EXPECT_EQ(credential.place(), pb::Credential::HEADER);
  EXPECT_EQ(credential.name(), "Authorization");
  EXPECT_EQ(credential.identity(), pb::Credential::AZURE);
}

TEST(CompileApiTest, ATokenNeverTravelsUnencrypted) {
  resource::Api api = TwoModels();
  resource::Endpoint& endpoint = api.endpoint_configurations.production[0];
  endpoint.url = "http://azure.example.com";
  endpoint.provider = "azure";
  endpoint.security = resource::AmbientSecurity{resource::AmbientSecurity::Cloud::kAzure};

  const CompiledApi compiled = Compile(api);

  EXPECT_EQ(compiled.body, nullptr);
  ASSERT_FALSE(compiled.diagnostics.empty());
  EXPECT_EQ(compiled.diagnostics.front().reason, "PlaintextCredential");
  EXPECT_EQ(compiled.diagnostics.front().severity, resource::Severity::kError);
}

TEST(OperationKindTest, KnowsInferenceByVerbAndPath) {
  EXPECT_EQ(OperationKindOf("POST", "/openai/deployments/{id}/chat/completions"), pb::CHAT);
  EXPECT_EQ(OperationKindOf("POST", "/v1/completions"), pb::COMPLETIONS);
  EXPECT_EQ(OperationKindOf("POST", "/embeddings/"), pb::EMBEDDINGS);
  EXPECT_EQ(OperationKindOf("GET", "/v1/models"), pb::MODELS);
  EXPECT_EQ(OperationKindOf("POST", "/models"), pb::PASSTHROUGH);
  EXPECT_EQ(OperationKindOf("GET", "/models/{id}"), pb::PASSTHROUGH);
  EXPECT_EQ(OperationKindOf("POST", "/v1/messages"), pb::MESSAGES);
  EXPECT_EQ(OperationKindOf("POST", "/threads/{id}/messages"), pb::PASSTHROUGH);
  EXPECT_EQ(OperationKindOf("POST", "/models/{model}:streamGenerateContent"), pb::CONVERSE);
  EXPECT_EQ(OperationKindOf("DELETE", "/chat/completions"), pb::PASSTHROUGH);
}

}  // namespace
}  // namespace rota::compile
