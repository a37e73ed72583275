#include "controller/resource/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "controller/resource/decode_gateway.h"
#include "controller/resource/document.h"
#include "controller/resource/testdata_test.h"
#include "tests/support/paths.h"

namespace rota::resource {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Json = nlohmann::json;

// A valid specification to change.
Json Valid() {
  return Json::parse(R"({
    "name": "chat", "basePath": "/chat", "version": "1.0",
    "endpointConfigurations": {
      "production": [{"endpoint": "https://api.openai.com/v1", "name": "main"}],
      "sandbox": [{"endpoint": "https://sandbox.example.com/v1"}]},
    "operations": [{"target": "/chat/completions", "verb": "POST"}],
    "apiPolicies": {"request": [{"policyName": "ModelBasedRoundRobin", "parameters": {
      "onQuotaExceedSuspendDuration": 60,
      "productionModels": [{"model": "gpt-4o", "endpoint": "main", "weight": 2},
                           {"model": "o1", "endpoint": "https://API.openai.com/v1/"}],
      "sandboxModels": [{"model": "gpt-4o-mini", "endpoint": "https://sandbox.example.com/v1"}]}}]}
  })");
}

Json& Parameters(Json& spec) { return spec["apiPolicies"]["request"][0]["parameters"]; }

Diagnostics Findings(const Json& spec) { return DecodeApi(spec).diagnostics; }

// The only finding of `spec`.
Diagnostic Finding(const Json& spec) {
  const Diagnostics diagnostics = Findings(spec);
  EXPECT_THAT(diagnostics, SizeIs(1)) << ToText(diagnostics);
  return diagnostics.empty() ? Diagnostic{} : diagnostics.front();
}

// Decodes the first API of a file.
DecodedApi DecodeText(const std::string& text) {
  const ParsedFile file = ParseFile(text);
  EXPECT_THAT(file.problems, IsEmpty()) << file.problems.front().message;
  if (file.apis.size() != 1) {
    ADD_FAILURE() << "not one API in\n" << text;
    return {};
  }
  const ApiManifest& api = file.apis[0];
  DecodeOptions options;
  options.path_prefix = api.bare_apk_conf ? "" : "spec.";
  options.lines = &api.lines;
  options.ns = api.name.ns;
  return DecodeApi(api.spec, options);
}

std::filesystem::path SharedFile(const std::string& name) {
  const char* const variable = std::getenv("ROTA_SHARED_DIR");
  const std::filesystem::path root =
      variable != nullptr ? variable : test::SourceDir() + "/../shared";
  return root / name;
}

TEST(DecodeTest, WhatIsNotSaidIsLeftToDefaults) {
  const DecodedApi decoded = DecodeApi(Valid());
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  EXPECT_THAT(decoded.diagnostics, IsEmpty());
  const Api& api = *decoded.api;
  EXPECT_EQ(api.type, "REST");
  EXPECT_FALSE(api.default_version);
  EXPECT_TRUE(api.operations.at(0).secured);
  ASSERT_TRUE(api.round_robin);
  const ModelBasedRoundRobin& policy = *api.round_robin;
  RotationSettings said;
  said.quota_suspension = std::chrono::seconds(60);
  EXPECT_EQ(policy.settings, said);
  ASSERT_THAT(policy.production, SizeIs(2));
  EXPECT_EQ(policy.production[0].endpoint, "main");
  EXPECT_EQ(policy.production[0].weight, 2U);
  EXPECT_EQ(policy.production[1].endpoint, "https://api.openai.com/v1");
  EXPECT_EQ(policy.production[1].weight, 1U);
  EXPECT_EQ(policy.production[1].tier, 1U);
}

TEST(DecodeTest, EveryParameterOfThePolicyArrives) {
  Json spec = Valid();
  Parameters(spec).update(Json::parse(R"({
    "onQuotaExceedSuspendDuration": "2m", "maxSuspendDuration": "1h30m", "onAllSuspended": "Wait",
    "waitTimeout": 5, "retry": {"attempts": 1, "nonIdempotent": true},
    "healthChecks": {"passive": {"enabled": false, "threshold": 7, "interval": "90s"}}})"));
  Parameters(spec)["productionModels"][0]["tier"] = 2;
  Parameters(spec)["productionModels"][0]["provider"] = "azure";
  const DecodedApi decoded = DecodeApi(spec);
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  const ModelBasedRoundRobin& policy = *decoded.api->round_robin;
  RotationSettings said;
  said.quota_suspension = std::chrono::minutes(2);
  said.max_suspension = std::chrono::minutes(90);
  said.all_suspended = OnAllSuspended::kWait;
  said.wait_timeout = std::chrono::seconds(5);
  said.attempts = 1;
  said.retry_non_idempotent = true;
  said.passive_health_checks = false;
  said.failure_threshold = 7;
  said.failure_suspension = std::chrono::seconds(90);
  EXPECT_EQ(policy.settings, said);
  EXPECT_EQ(policy.production[0].tier, 2U);
  EXPECT_EQ(policy.production[0].provider, "azure");
}

TEST(DecodeTest, WhatProvidersNeedToKnowArrives) {
  Json spec = Valid();
  spec["endpointConfigurations"]["production"][0]["providerOptions"] = Json::parse(
      R"({"region": "eu-west-1", "apiVersion": "2024-10-21", "deployment": "d", "format": "native",
          "maxTokens": 8192})");
  Parameters(spec)["productionModels"][0].update(Json::parse(
      R"({"defaults": {"temperature": 1.0, "stop": ["END"]}, "allowedModels": ["a"]})"));
  spec["operations"][0]["kind"] = "chat";
  const DecodedApi decoded = DecodeApi(spec);
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  const ProviderOptions& options =
      decoded.api->endpoint_configurations.production.at(0).provider_options;
  EXPECT_EQ(options.region, "eu-west-1");
  EXPECT_EQ(options.api_version, "2024-10-21");
  EXPECT_EQ(options.deployment, "d");
  EXPECT_EQ(options.format, "native");
  EXPECT_EQ(options.max_tokens, 8192U);
  const ModelTarget& target = decoded.api->round_robin->production.at(0);
  EXPECT_EQ(target.defaults, R"({"stop":["END"],"temperature":1.0})");
  EXPECT_EQ(target.allowed_models, std::vector<std::string>{"a"});
  EXPECT_EQ(decoded.api->operations.at(0).kind, "chat");
}

TEST(DecodeTest, EndpointsCarryCredentialCertificateAndTimeouts) {
  Json spec = Valid();
  spec["endpointConfigurations"]["production"][0].update(Json::parse(R"({
    "provider": "openai",
    "endpointSecurity": {"enabled": true, "securityType": {"secretName": "s", "in": "Query",
                         "apiKeyNameKey": "key", "apiKeyValueKey": "k"}},
    "certificate": {"secretName": "ca", "secretKey": "ca.crt"},
    "resiliency": {"timeout": {"connectTimeout": "500ms", "maxRouteTimeoutSeconds": 20}}})"));
  spec["endpointConfigurations"]["sandbox"][0]["endpointSecurity"] = Json::parse(
      R"({"enabled": true, "securityType": {"secretName": "s", "userNameKey": "u", "passwordKey": "p"}})");
  const DecodedApi decoded = DecodeApi(spec);
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  const Endpoint& production = decoded.api->endpoint_configurations.production.at(0);
  EXPECT_EQ(production.url, "https://api.openai.com/v1");
  EXPECT_EQ(production.security,
            EndpointSecurity(ApiKeySecurity{"s", ApiKeySecurity::Place::kQuery, "key", "k"}));
  EXPECT_EQ(production.certificate, (CertificateRef{"ca", "ca.crt"}));
  EXPECT_EQ(production.connect_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(production.first_byte_timeout, std::chrono::seconds(20));
  EXPECT_EQ(decoded.api->endpoint_configurations.sandbox.at(0).security,
            EndpointSecurity(BasicSecurity{"s", "u", "p"}));
}

TEST(DecodeTest, EachFormMayNameASecretOfAnotherNamespace) {
  Json spec = Valid();
  Json& security = spec["endpointConfigurations"]["production"][0]["endpointSecurity"];
  const auto decoded = [&](const char* type) {
    security = {{"enabled", true}, {"securityType", Json::parse(type)}};
    return DecodeApi(spec).api->endpoint_configurations.production.at(0).security;
  };
  EXPECT_EQ(
      decoded(R"({"secretName": "s", "secretNamespace": "vault", "apiKeyNameKey": "key",
                        "apiKeyValueKey": "k"})"),
      EndpointSecurity(ApiKeySecurity{"s", ApiKeySecurity::Place::kHeader, "key", "k", "vault"}));
  EXPECT_EQ(decoded(R"({"secretName": "s", "secretNamespace": "vault", "userNameKey": "u",
                        "passwordKey": "p"})"),
            EndpointSecurity(BasicSecurity{"s", "u", "p", "vault"}));
  EXPECT_EQ(decoded(R"({"secretName": "s", "secretNamespace": "vault", "accessKeyRef": "id",
                        "secretKeyRef": "key"})"),
            EndpointSecurity(AwsSecurity{"s", "id", "key", "", "", "bedrock", "vault"}));

  security["securityType"]["secretNamespace"] = "Vault_1";
  EXPECT_THAT(Finding(spec).field, HasSubstr("securityType.secretNamespace"));
}

TEST(DecodeTest, AProviderSaysWhereItIsAndWhichHeaderItWants) {
  Json spec = Valid();
  Json& endpoint = spec["endpointConfigurations"]["production"][0];
  endpoint.erase("endpoint");
  endpoint.update(Json::parse(R"({"provider": "Mistral", "endpointSecurity": {"enabled": true,
      "securityType": {"secretName": "s", "apiKeyValueKey": "k"}}})"));
  const DecodedApi decoded = DecodeApi(spec);
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  const Endpoint& production = decoded.api->endpoint_configurations.production.at(0);
  EXPECT_EQ(production.url, "https://api.mistral.ai/v1");
  EXPECT_EQ(production.security,
            EndpointSecurity(ApiKeySecurity{"s", ApiKeySecurity::Place::kHeader, "", "k"}));

  endpoint["provider"] = "vllm";
  EXPECT_THAT(Finding(spec).field, HasSubstr("production[0].endpoint"));
  endpoint["provider"] = "mistral";
  endpoint["endpointSecurity"]["securityType"]["in"] = "Query";
  EXPECT_THAT(Finding(spec).field, HasSubstr("securityType.apiKeyNameKey"));
}

TEST(DecodeTest, TheAwsFormNamesKeysOfASecret) {
  Json spec = Valid();
  Json& security = spec["endpointConfigurations"]["production"][0]["endpointSecurity"];
  security = Json::parse(R"({"enabled": true, "securityType": {"secretName": "s",
      "accessKeyRef": "id", "secretKeyRef": "key"}})");
  const auto decoded = [&spec] {
    return DecodeApi(spec).api->endpoint_configurations.production.at(0).security;
  };
  EXPECT_EQ(decoded(), EndpointSecurity(AwsSecurity{"s", "id", "key", "", "", "bedrock"}));
  security["securityType"].update(Json::parse(
      R"({"sessionTokenRef": "token", "regionRef": "region", "service": "bedrock-agent"})"));
  EXPECT_EQ(decoded(),
            EndpointSecurity(AwsSecurity{"s", "id", "key", "token", "region", "bedrock-agent"}));

  security["securityType"]["apiKeyNameKey"] = "Authorization";
  EXPECT_THAT(Finding(spec).message, HasSubstr("keep one of them"));
  security["securityType"].erase("apiKeyNameKey");
  security["securityType"].erase("secretKeyRef");
  EXPECT_THAT(Finding(spec).field, HasSubstr("securityType.secretKeyRef"));
}

TEST(DecodeTest, AnAmbientIdentityComesFromNoSecret) {
  Json spec = Valid();
  Json& type = spec["endpointConfigurations"]["production"][0]["endpointSecurity"];
  type = {{"enabled", true}, {"securityType", {{"ambientIdentity", "Azure"}}}};
  const DecodedApi decoded = DecodeApi(spec);
  ASSERT_TRUE(decoded.api.has_value());
  EXPECT_EQ(decoded.api->endpoint_configurations.production[0].security,
            EndpointSecurity(AmbientSecurity{AmbientSecurity::Cloud::kAzure}));

  type["securityType"]["secretName"] = "s";
  EXPECT_THAT(Finding(spec).field, HasSubstr("securityType.secretName"));
  type["securityType"] = {{"ambientIdentity", "AWS"}, {"accessKeyRef", "a"}, {"secretKeyRef", "b"}};
  EXPECT_THAT(Finding(spec).message, HasSubstr("keep one of them"));
  type["securityType"] = {{"ambientIdentity", "GCP"}};
  EXPECT_THAT(Finding(spec).field, HasSubstr("securityType.ambientIdentity"));
}

TEST(DecodeTest, DisabledSecurityMeansNoCredential) {
  Json spec = Valid();
  Json& security = spec["endpointConfigurations"]["production"][0]["endpointSecurity"];
  security = Json::parse(
      R"({"enabled": false, "securityType": {"secretName": "s", "apiKeyNameKey": "a", "apiKeyValueKey": "k"}})");
  const DecodedApi disabled = DecodeApi(spec);
  ASSERT_TRUE(disabled.api);
  EXPECT_THAT(disabled.diagnostics, IsEmpty());
  EXPECT_EQ(disabled.api->endpoint_configurations.production[0].security, EndpointSecurity());

  security.erase("enabled");
  EXPECT_THAT(Finding(spec).message, HasSubstr("`enabled` is false by default"));
}

TEST(DecodeTest, KubernetesServicesBecomeTheirUrl) {
  Json spec = Valid();
  spec["endpointConfigurations"]["production"][0]["endpoint"] =
      Json::parse(R"({"name": "vllm", "port": 443, "protocol": "https"})");
  DecodeOptions options;
  options.ns = "team-a";
  const DecodedApi decoded = DecodeApi(spec, options);
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  EXPECT_EQ(decoded.api->endpoint_configurations.production[0].url, "https://vllm.team-a.svc");
}

TEST(DecodeTest, AServiceOfAnotherNamespaceMayBeGrantedAndThePodsAddressMayNot) {
  Json spec = Valid();
  DecodeOptions options;
  options.ns = "team-a";
  Json& endpoint = spec["endpointConfigurations"]["production"][0]["endpoint"];
  const auto url = [&] {
    const DecodedApi decoded = DecodeApi(spec, options);
    return decoded.api ? decoded.api->endpoint_configurations.production[0].url
                       : ToText(decoded.diagnostics);
  };
  endpoint = Json::parse(R"({"name": "vllm", "namespace": "models", "port": 8000})");
  EXPECT_EQ(url(), "http://vllm.models.svc:8000");
  endpoint = "http://vllm-0.vllm.models.svc.cluster.local:8000/v1";
  EXPECT_EQ(url(), "http://vllm-0.vllm.models.svc.cluster.local:8000/v1");
  endpoint = "http://10-0-0-1.team-a.pod.cluster.local";
  EXPECT_EQ(url(), "http://10-0-0-1.team-a.pod.cluster.local");
  endpoint = "http://10-0-0-1.models.pod.cluster.local";
  EXPECT_THAT(url(), HasSubstr("the address of a pod of namespace 'models'"));
}

TEST(DecodeTest, PathsAndTrailingSlashesAreSettled) {
  Json spec = Valid();
  spec["basePath"] = "/a/b/";
  EXPECT_EQ(DecodeApi(spec).api->base_path, "/a/b");
  spec["basePath"] = "/";
  EXPECT_EQ(DecodeApi(spec).api->base_path, "");
  for (const char* bad : {"//", "/a//b", "/a/./b", "/a b", "/a?b", "/{a}", "a"}) {
    spec["basePath"] = bad;
    EXPECT_EQ(Finding(spec).field, "spec.basePath") << bad;
  }
}

TEST(DecodeTest, TargetsMayHoldParametersAndEndInAStar) {
  for (const char* good :
       {"/", "/a", "/a/", "/{a}", "/a/{b.c}/d", "/files/*", "/*", "/m:predict", "/a%20b"}) {
    Json spec = Valid();
    spec["operations"][0]["target"] = good;
    EXPECT_THAT(Findings(spec), IsEmpty()) << good;
  }
  for (const char* bad :
       {"a", "/a//b", "/..", "/*/a", "/a*", "/{}", "/{a", "/{a}b", "/a b", "/a?b", "/a#b"}) {
    Json spec = Valid();
    spec["operations"][0]["target"] = bad;
    EXPECT_EQ(Finding(spec).field, "spec.operations[0].target") << bad;
  }
}

TEST(DecodeTest, UnknownFieldsGetTheNearestName) {
  Json spec = Valid();
  spec["endpointConfigurations"]["production"][0]["endpointsecurity"] = 1;
  const Diagnostic near = Finding(spec);
  EXPECT_EQ(near.reason, "UnknownField");
  EXPECT_EQ(near.field, "spec.endpointConfigurations.production[0].endpointsecurity");
  EXPECT_EQ(near.message, "unknown field; did you mean endpointSecurity?");

  Json far = Valid();
  far["zzzzzzzz"] = 1;
  EXPECT_EQ(Finding(far).message, "unknown field; remove it");
}

TEST(DecodeTest, WrongTypesNameTheValueAndTheFix) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/version", "is the number 7; write text; put it in quotes"},
      {"/defaultVersion", "write true or false"},
      {"/aiProvider", "must be a map"},
      {"/endpointConfigurations", "must be a map"},
      {"/endpointConfigurations/production", "write a list"},
      {"/endpointConfigurations/production/0", "must be a map"},
      {"/operations/0", "must be a map"},
      {"/operations/0/scopes", "write a list"},
      {"/apiPolicies/request/0/parameters", "must be a map"},
      {"/apiPolicies/request/0/parameters/retry", "must be a map"},
      {"/authentication", "write a list"},
  };
  for (const auto& [pointer, expected] : cases) {
    Json spec = Valid();
    spec[Json::json_pointer(pointer)] = 7;
    const std::string text = ToText(Findings(spec));
    EXPECT_THAT(text, HasSubstr(expected)) << pointer;
    EXPECT_FALSE(DecodeApi(spec).api) << pointer;
  }
  EXPECT_THAT(Finding(Json(7)).message, HasSubstr("must be a map"));
}

TEST(DecodeTest, FieldsAreNamedWithTheirLines) {
  const DecodedApi bare = DecodeText(
      "name: chat\nbasePath: /chat\nversion: \"1\"\noperations:\n"
      "  - target: /a\n    verb: FETCH\nendpointConfigurations:\n"
      "  production:\n    - endpoint: https://a.example.com\n");
  ASSERT_THAT(bare.diagnostics, SizeIs(1)) << ToText(bare.diagnostics);
  EXPECT_EQ(bare.diagnostics[0].field, "operations[0].verb");
  EXPECT_EQ(bare.diagnostics[0].line, 6);
  const DecodedApi missing = DecodeText("name: chat\nbasePath: /chat\n");
  EXPECT_EQ(missing.diagnostics[0].line, 1);
}

TEST(DecodeTest, NullIsAbsent) {
  Json spec = Valid();
  spec["rateLimit"] = nullptr;
  spec["operations"][0]["scopes"] = nullptr;
  EXPECT_THAT(Findings(spec), IsEmpty());
  spec["basePath"] = nullptr;
  EXPECT_EQ(Finding(spec).reason, "MissingField");
}

TEST(DecodeTest, AmbiguousUrlsNeedANameAndANameSettlesThem) {
  Json spec = Valid();
  Json& production = spec["endpointConfigurations"]["production"];
  production.push_back(Json::parse(R"({"endpoint": "https://api.openai.com:443/v1", "name": "other",
    "endpointSecurity": {"enabled": true, "securityType":
      {"secretName": "s", "apiKeyNameKey": "a", "apiKeyValueKey": "k"}}})"));
  const Diagnostic ambiguous = Finding(spec);
  EXPECT_EQ(ambiguous.reason, "AmbiguousEndpoint");
  EXPECT_EQ(ambiguous.field, "spec.apiPolicies.request[0].parameters.productionModels[1].endpoint");
  Parameters(spec)["productionModels"][1]["endpoint"] = "other";
  EXPECT_THAT(Findings(spec), IsEmpty());
}

TEST(DecodeTest, UrlThatNobodyListsIsAccepted) {
  Json spec = Valid();
  Parameters(spec)["productionModels"][1]["endpoint"] = "https://elsewhere.example.com";
  EXPECT_THAT(Findings(spec), IsEmpty());
}

TEST(DecodeTest, SeveralEndpointsWithoutAPolicyAreReported) {
  Json spec = Valid();
  spec.erase("apiPolicies");
  EXPECT_THAT(Findings(spec), IsEmpty());
  spec["endpointConfigurations"]["production"].push_back({{"endpoint", "https://b.example.com"}});
  const Diagnostic finding = Finding(spec);
  EXPECT_EQ(finding.reason, "NotEnforced");
  EXPECT_EQ(finding.field, "spec.endpointConfigurations.production");

  spec["operations"][0]["operationPolicies"] = Valid()["apiPolicies"];
  EXPECT_THAT(Findings(spec), IsEmpty()) << "every operation has a policy of its own";
}

TEST(DecodeTest, WhatIsNotActedOnIsAWarningThatNamesTheField) {
  const DecodedApi decoded =
      DecodeText(ReadWhole(test::SourceDir() + "/crds/testdata/valid/not-enforced-yet.yaml"));
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  const std::string text = ToText(decoded.diagnostics);
  for (const char* field :
       {"spec.subscriptionValidation", "spec.organization", "spec.environment", "spec.rateLimit",
        "spec.corsConfiguration", "spec.additionalProperties", "spec.definitionPath",
        "spec.authentication[0]", "spec.authentication[1]", "spec.operations[0].scopes",
        "spec.operations[0].rateLimit", "spec.operations[0].operationPolicies.request[0]",
        "spec.operations[0].operationPolicies.response[0]",
        "spec.endpointConfigurations.production[0].aiRatelimit",
        "spec.endpointConfigurations.production[0].resiliency.retryPolicy",
        "spec.endpointConfigurations.production[0].resiliency.circuitBreaker",
        "spec.endpointConfigurations.production[0].resiliency.timeout."
        "downstreamRequestIdleTimeout"}) {
    EXPECT_THAT(text,
                HasSubstr(std::string("warning NotEnforced ") + field + ": not enforced yet"));
  }
}

TEST(DecodeTest, SwitchedOffFeaturesAreNotReported) {
  Json spec = Valid();
  spec["subscriptionValidation"] = false;
  spec["corsConfiguration"] = {{"corsConfigurationEnabled", false}};
  spec["operations"][0]["scopes"] = Json::array();
  spec["endpointConfigurations"]["production"][0]["aiRatelimit"] = {{"enabled", false}};
  spec["endpointConfigurations"]["production"][0]["resiliency"] = {{"retryPolicy", {{"count", 0}}}};
  EXPECT_THAT(Findings(spec), IsEmpty());
}

TEST(DecodeTest, FindingsAreBoundedAndAnErrorIsNeverLostBehindWarnings) {
  Json spec = Valid();
  for (int i = 0; i < 200; ++i) {
    spec["operations"].push_back(
        {{"target", "/t" + std::to_string(i)}, {"verb", "GET"}, {"scopes", {"s"}}});
  }
  spec["zzz"] = 1;
  const DecodedApi decoded = DecodeApi(spec);
  EXPECT_THAT(decoded.diagnostics, SizeIs(kMaxDiagnostics));
  EXPECT_FALSE(decoded.api);
  EXPECT_TRUE(HasErrors(decoded.diagnostics));
}

TEST(DecodeTest, ListsAreBounded) {
  Json spec = Valid();
  for (size_t i = 0; i <= kMaxOperations; ++i) {
    spec["operations"].push_back({{"target", "/t" + std::to_string(i)}, {"verb", "GET"}});
  }
  EXPECT_EQ(Finding(spec).reason, "TooMany");
}

TEST(DecodeTest, MessagesStayValidUtf8WhateverTheInput) {
  Json spec = Valid();
  std::string long_text;
  for (int i = 0; i < 100; ++i) {
    long_text += "\xe2\x82\xac";
  }
  spec[long_text] = 1;
  spec["type"] = long_text;
  spec["operations"][0]["verb"] = long_text;
  for (const Diagnostic& diagnostic : Findings(spec)) {
    EXPECT_NO_THROW(Json(diagnostic.field + diagnostic.message).dump());
  }
}

TEST(FragmentTest, PolicyIsCheckedWithoutAnApi) {
  const Json good = {{"apiPolicies", Valid()["apiPolicies"]}};
  DecodeOptions options;
  options.path_prefix = "";
  EXPECT_THAT(CheckPolicyFragment(good, options), IsEmpty())
      << "names of endpoints are not checked";
  Json bad = good;
  bad["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["weight"] = -1;
  const Diagnostics diagnostics = CheckPolicyFragment(bad, options);
  ASSERT_THAT(diagnostics, SizeIs(1));
  EXPECT_EQ(diagnostics[0].field, "apiPolicies.request[0].parameters.productionModels[0].weight");
}

struct Verdict {
  bool is_accepted = false;
  Diagnostics diagnostics;
};

// Of a file that holds one API or one RotaGateway.
Verdict VerdictOf(const std::string& text) {
  const ParsedFile file = ParseFile(text);
  if (file.gateways.size() == 1 && file.apis.empty()) {
    DecodeOptions options;
    options.lines = &file.gateways[0].lines;
    DecodedGateway decoded = DecodeGateway(file.gateways[0].spec, options);
    return {decoded.gateway.has_value(), std::move(decoded.diagnostics)};
  }
  DecodedApi decoded = DecodeText(text);
  return {decoded.api.has_value(), std::move(decoded.diagnostics)};
}

TEST(TestdataTest, ValidFilesAreAccepted) {
  const auto files = TestdataFiles("valid");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const Verdict verdict = VerdictOf(ReadWhole(path));
    EXPECT_TRUE(verdict.is_accepted) << path << "\n" << ToText(verdict.diagnostics);
  }
}

TEST(TestdataTest, InvalidFilesAreRefusedForTheReasonTheyGive) {
  for (const char* folder : {"invalid", "controller-only"}) {
    const auto files = TestdataFiles(folder);
    ASSERT_FALSE(files.empty());
    for (const auto& path : files) {
      const std::string text = ReadWhole(path);
      const std::string expected = ExpectationOf(text);
      EXPECT_NE(expected, "") << path << " lacks its `# expect:` line";
      const Verdict verdict = VerdictOf(text);
      EXPECT_FALSE(verdict.is_accepted) << path;
      const std::string findings = ToText(verdict.diagnostics);
      EXPECT_THAT(findings, HasSubstr("error ")) << path;
      EXPECT_THAT(findings, HasSubstr(expected)) << path;
      EXPECT_THAT(findings, testing::Not(HasSubstr("hunter2"))) << path;
      for (const Diagnostic& diagnostic : verdict.diagnostics) {
        EXPECT_GT(diagnostic.line, 0) << path;
      }
    }
  }
}

TEST(SeedTest, SeedApiIsAcceptedAsItIs) {
  const auto path = SharedFile("inputs/apk/chat-service.apk-conf.yaml");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is not there; set ROTA_SHARED_DIR";
  }
  const DecodedApi decoded = DecodeText(ReadWhole(path));
  ASSERT_TRUE(decoded.api) << ToText(decoded.diagnostics);
  EXPECT_THAT(decoded.diagnostics, IsEmpty()) << ToText(decoded.diagnostics);
  EXPECT_EQ(decoded.api->base_path, "/chat-service-prod-sand");
  EXPECT_EQ(decoded.api->version, "1.0");
  ASSERT_TRUE(decoded.api->round_robin);
  EXPECT_THAT(decoded.api->round_robin->production, SizeIs(3));
  EXPECT_THAT(decoded.api->round_robin->sandbox, SizeIs(3));
}

TEST(SeedTest, PolicyFragmentIsAFragmentWithoutFindings) {
  const auto path = SharedFile("inputs/apk/policy-only.apk-conf.yaml");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is not there; set ROTA_SHARED_DIR";
  }
  const ParsedFile file = ParseFile(ReadWhole(path));
  ASSERT_THAT(file.fragments, SizeIs(1));
  DecodeOptions options;
  options.path_prefix = "";
  EXPECT_THAT(CheckPolicyFragment(file.fragments[0].content, options), IsEmpty());
}

// Reads and decodes whatever the text holds; nothing but a crash (or a sanitizer) fails here.
void Digest(const std::string& text) {
  const ParsedFile file = ParseFile(text);
  for (const ApiManifest& api : file.apis) {
    DecodeOptions options;
    options.lines = &api.lines;
    const DecodedApi decoded = DecodeApi(api.spec, options);
    EXPECT_NE(decoded.api.has_value(), HasErrors(decoded.diagnostics));
    for (const Diagnostic& diagnostic : decoded.diagnostics) {
      EXPECT_FALSE(diagnostic.message.empty());
      EXPECT_NO_THROW(Json(diagnostic.field + diagnostic.message).dump());
    }
  }
  for (const DocumentProblem& problem : file.problems) {
    EXPECT_NO_THROW(Json(problem.message).dump());
  }
}

TEST(MutationTest, MutatedBytesNeverCrash) {
  const std::string original =
      ReadWhole(test::SourceDir() + "/crds/testdata/valid/not-enforced-yet.yaml");
  constexpr std::string_view kBytes = "{}[]:,-\"'&*!|>%@#?\n\t \\0a\x80\xff";
  std::mt19937 random(20'240'601);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random()) % limit; };
  for (int round = 0; round < 2000; ++round) {
    std::string text = original;
    for (size_t edits = 1 + below(6); edits > 0; --edits) {
      const size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = kBytes[below(kBytes.size())];
          break;
        case 1:
          text.insert(at, 1, kBytes[below(kBytes.size())]);
          break;
        case 2:
          text.erase(at, below(40));
          break;
        default:
          text.insert(at, text.substr(below(text.size()), below(80)));
          break;
      }
    }
    Digest(text);
  }
}

// Every value of the tree in turn becomes something else.
void MutateEach(Json& root, Json& value, const std::vector<Json>& replacements) {
  for (const Json& replacement : replacements) {
    Json saved = std::exchange(value, replacement);
    const DecodedApi decoded = DecodeApi(root);
    EXPECT_NE(decoded.api.has_value(), HasErrors(decoded.diagnostics));
    value = std::move(saved);
  }
  if (value.is_structured()) {
    for (Json& child : value) {
      MutateEach(root, child, replacements);
    }
  }
}

TEST(MutationTest, EveryValueReplacedByEveryTypeIsDecidedWithoutACrash) {
  Json spec = ParseFile(ReadWhole(test::SourceDir() + "/crds/testdata/valid/not-enforced-yet.yaml"))
                  .apis.at(0)
                  .spec;
  const std::vector<Json> replacements = {nullptr,
                                          true,
                                          0,
                                          -1,
                                          1e300,
                                          18446744073709551615U,
                                          "",
                                          "x",
                                          "\xe2\x80\x9c",
                                          "https://a",
                                          "/",
                                          Json::array(),
                                          Json::array({1}),
                                          Json::array({nullptr}),
                                          Json::object(),
                                          {{"x", 1}}};
  MutateEach(spec, spec, replacements);
}

}  // namespace
}  // namespace rota::resource
