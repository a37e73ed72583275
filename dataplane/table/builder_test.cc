#include "dataplane/table/builder.h"

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "common/clock.h"
#include "common/hash.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

// Two models in production, one in sandbox, one key.
constexpr char kChat[] = R"pb(
  uid: "u1"
  base_path: "/chat"
  version: "1.0"
  default_version: true
  endpoints {
    url: "https://api.openai.com/v1"
    name: "openai"
    provider: "openai"
    credential {
      place: HEADER
      name: "Authorization"
      value { secret: "ns/key" key: "apiKey" }
    }
  }
  endpoints {
    url: "http://[::1]:8080/base/"
    connect_timeout { seconds: 2 }
  }
  rotations {
    id: "r-prod"
    environment: PRODUCTION
    quota_suspension { seconds: 60 }
    targets { id: "t1" model: "gpt-\"4\"" endpoint: 0 weight: 2 }
    targets { id: "t2" model: "llama" endpoint: 1 weight: 1 tier: 2 }
  }
  rotations {
    id: "r-sand"
    environment: SANDBOX
    attempts: 9
    on_all_suspended: WAIT
    targets { id: "t3" model: "mini" endpoint: 0 weight: 1 }
  }
  operations {
    verb: "POST"
    target: "/chat/completions"
    kind: CHAT
    production { rotation: 1 endpoint: 0 }
    sandbox { rotation: 2 endpoint: 0 }
  }
  operations {
    verb: "GET"
    target: "/files/*"
    production { endpoint: 1 }
  }
)pb";

std::vector<std::shared_ptr<const Api>> ApisOf(const std::shared_ptr<const RouteTable>& table) {
  return {table->apis().begin(), table->apis().end()};
}

class BuilderTest : public testing::Test {
 protected:
  void Put(v1::Kind kind, const std::string& name, const std::string& body) {
    v1::Resource resource;
    resource.mutable_id()->set_kind(kind);
    resource.mutable_id()->set_name(name);
    resource.set_hash(Hash64(body + name));
    resource.set_body(body);
    wanted_[{kind, name}] = std::make_shared<const v1::Resource>(std::move(resource));
  }
  template <typename Message>
  static Message Parse(const std::string& text) {
    Message message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
    return message;
  }
  void PutApi(const std::string& name, const std::string& text) {
    Put(v1::API, name, Parse<v1::Api>(text).SerializeAsString());
  }
  void PutSecret(const std::string& name, const std::string& key, const std::string& value) {
    v1::Secret secret;
    v1::Secret::Entry& entry = *secret.add_entries();
    entry.set_key(key);
    entry.set_value(value);
    Put(v1::SECRET, name, secret.SerializeAsString());
  }
  BuildResult BuildAndCommit(const std::string& hash = "hash") {
    BuildResult result = builder_.Build(wanted_, hash);
    builder_.Commit(result);
    return result;
  }
  static BuilderOptions Options() {
    BuilderOptions options;
    options.allow_unauthenticated = true;
    return options;
  }

  FakeClock clock_;
  rotation::Registry registry_{"node"};
  Builder builder_{Options(), registry_};
  ResourceMap wanted_;
};

TEST_F(BuilderTest, ResolvesARequestDownToEndpointAndCredential) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1\n");
  const BuildResult result = BuildAndCommit();

  const Match match = result.table->Find("gw:80", "POST", "/chat/1.0/chat/completions");

  ASSERT_EQ(match.status, MatchStatus::kOk);
  EXPECT_EQ(match.environment, Environment::kProduction);
  EXPECT_EQ(match.api->id, "ns/chat");
  EXPECT_EQ(match.upstream_path, "/chat/completions");
  EXPECT_EQ(match.operation->kind, v1::CHAT);
  ASSERT_NE(match.route->rotation, nullptr);
  const BoundRotation& bound = *match.route->rotation;
  EXPECT_EQ(bound.quota_suspension, seconds(60));
  EXPECT_EQ(bound.max_suspension, seconds(3600));
  EXPECT_EQ(bound.failure_suspension, seconds(60));
  EXPECT_EQ(bound.attempts, 2u);
  ASSERT_EQ(bound.targets.size(), 2u);
  EXPECT_EQ(bound.targets[0].model_json, R"("gpt-\"4\"")");
  const Endpoint& first = *bound.targets[0].endpoint;
  EXPECT_EQ(first.authority, "api.openai.com");
  EXPECT_EQ(first.base_path, "/v1");
  EXPECT_EQ(first.port, 443);
  EXPECT_TRUE(first.tls);
  EXPECT_EQ(first.credential.name, "Authorization");
  EXPECT_EQ(first.credential.value.Reveal(), "Bearer sk-1");
  const Endpoint& second = *bound.targets[1].endpoint;
  EXPECT_EQ(second.authority, "[::1]:8080");
  EXPECT_EQ(second.host, "::1");
  EXPECT_EQ(second.base_path, "/base");
  EXPECT_EQ(second.name, "http://[::1]:8080/base/");
  EXPECT_EQ(second.connect_timeout, seconds(2));
  EXPECT_EQ(second.credential.place, Credential::Place::kNone);
  EXPECT_EQ(bound.rotation->spec().targets[1].tier, 2u);
  EXPECT_THAT(result.rejected, IsEmpty());
  EXPECT_THAT(result.refused, IsEmpty());
}

TEST_F(BuilderTest, MatchesVersionDefaultVersionAndEnvironment) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  const auto table = BuildAndCommit("snapshot").table;

  EXPECT_EQ(table->snapshot_hash(), "snapshot");
  EXPECT_EQ(BuildAndCommit("next").table->generation(), table->generation() + 1);
  EXPECT_EQ(table->Find("gw", "POST", "/chat/chat/completions/").upstream_path,
            "/chat/completions");
  const Match sandbox = table->Find("sandbox.gw", "POST", "/chat/1.0/chat/completions");
  ASSERT_EQ(sandbox.status, MatchStatus::kOk);
  EXPECT_EQ(sandbox.route->rotation->attempts, 5u);
  EXPECT_EQ(sandbox.route->rotation->on_all_suspended, OnAllSuspended::kWait);
  EXPECT_EQ(sandbox.route->rotation->wait_timeout, seconds(30));
  EXPECT_EQ(table->Find("gw", "GET", "/chat/1.0/files/a%20b/../c%20d/").upstream_path,
            "/files/c%20d/");
  EXPECT_EQ(table->Find("sandbox.gw", "GET", "/chat/1.0/files/a").status,
            MatchStatus::kNoEnvironment);
  const Match wrong_verb = table->Find("gw", "GET", "/chat/1.0/chat/completions");
  EXPECT_EQ(wrong_verb.status, MatchStatus::kMethodNotAllowed);
  EXPECT_EQ(wrong_verb.allow, "POST");
  EXPECT_EQ(wrong_verb.api->id, "ns/chat");
  for (const char* path : {"/", "/chat", "/chatter/1.0/chat/completions", "/chat/2.0/x", "/x"}) {
    EXPECT_EQ(table->Find("gw", "POST", path).status, MatchStatus::kNotFound) << path;
  }
  EXPECT_EQ(table->Find("gw", "POST", "/chat/1.0/%2e%2e/%2e%2e/%2e%2e/x").status,
            MatchStatus::kBadPath);
  EXPECT_EQ(table->Find("gw", "POST", "/chat%2f1.0/chat/completions").status,
            MatchStatus::kBadPath);
}

constexpr char kPlain[] = R"pb(
  endpoints { url: "http://a" }
  operations {
    verb: "GET"
    target: "/*"
    production {}
  }
)pb";

TEST_F(BuilderTest, TheLongestMountWins) {
  PutApi("ns/a", std::string(kPlain) + R"(base_path: "/x" version: "1.0" default_version: true)");
  PutApi("ns/b", std::string(kPlain) + R"(base_path: "/x" version: "2.0")");
  PutApi("ns/c", std::string(kPlain) + R"(base_path: "/x/1.0/y" version: "1")");
  const auto table = BuildAndCommit().table;

  EXPECT_EQ(table->Find("gw", "GET", "/x/1.0/q").api->id, "ns/a");
  EXPECT_EQ(table->Find("gw", "GET", "/x/q").upstream_path, "/q");
  EXPECT_EQ(table->Find("gw", "GET", "/x/2.0").api->id, "ns/b");
  EXPECT_EQ(table->Find("gw", "GET", "/x/2.0").upstream_path, "/");
  EXPECT_EQ(table->Find("gw", "GET", "/x/1.0/y/1/q").api->id, "ns/c");
}

TEST_F(BuilderTest, AMinorVersionAlsoAnswersOnItsMajorOne) {
  PutApi("ns/a", std::string(kPlain) + R"(base_path: "/x" version: "v1.2")");
  PutApi("ns/b", std::string(kPlain) + R"(base_path: "/x" version: "v1.10")");
  PutApi("ns/c", std::string(kPlain) + R"(base_path: "/x" version: "v2")");
  PutApi("ns/d", std::string(kPlain) + R"(base_path: "/x" version: "v2.1")");
  const BuildResult result = BuildAndCommit();

  EXPECT_EQ(result.table->Find("gw", "GET", "/x/v1/q").api->id, "ns/b");
  EXPECT_EQ(result.table->Find("gw", "GET", "/x/v1.2/q").api->id, "ns/a");
  EXPECT_EQ(result.table->Find("gw", "GET", "/x/v2/q").api->id, "ns/c");
  EXPECT_THAT(result.refused, IsEmpty());
}

TEST_F(BuilderTest, OfTwoApisWithOnePathTheFirstKeepsItAndTheOtherIsNamed) {
  PutApi("ns/a", std::string(kPlain) + R"(base_path: "/x" version: "1")");
  PutApi("ns/b", std::string(kPlain) + R"(base_path: "/x" version: "1")");
  const BuildResult result = BuildAndCommit();

  EXPECT_EQ(result.table->Find("gw", "GET", "/x/1/q").api->id, "ns/a");
  ASSERT_EQ(result.refused.size(), 1u);
  EXPECT_EQ(result.refused[0].id().name(), "ns/b");
  EXPECT_THAT(result.refused[0].message(), HasSubstr("API ns/a has the path /x/1"));
}

TEST_F(BuilderTest, WhatIsMissingOfAnotherNamespaceIsCalledByItsOwnName) {
  const auto message = [this](const std::string& secret) {
    PutApi("ns/chat", absl::StrReplaceAll(kChat, {{"ns/key", secret}}));
    const BuildResult missing = BuildAndCommit();
    return missing.refused.empty() ? "nothing" : missing.refused[0].message();
  };
  EXPECT_THAT(message("ns/models/service/vllm"),
              StartsWith("Service \"models/vllm\" is not granted to APIs of namespace \"ns\"; make "
                         "a ReferenceGrant in its namespace; "));
  EXPECT_THAT(message("ns/vault/keys"),
              StartsWith("Secret \"vault/keys\" does not exist, or is not granted to APIs of "
                         "namespace \"ns\"; make it, with the key \"apiKey\", and a "
                         "ReferenceGrant in its namespace; "));
}

TEST_F(BuilderTest, AMissingSecretTakesItsTargetsOffTheRota) {
  PutApi("ns/chat", kChat);
  const BuildResult missing = BuildAndCommit();

  ASSERT_EQ(missing.refused.size(), 1u);
  EXPECT_EQ(missing.refused[0].code(), v1::Rejection::SECRET_MISSING);
  EXPECT_EQ(missing.refused[0].field(), "endpoints[0].credential");
  EXPECT_THAT(missing.refused[0].message(), HasSubstr("Secret \"ns/key\" does not exist"));
  EXPECT_THAT(missing.refused[0].message(), HasSubstr("\"apiKey\""));
  const Match match = missing.table->Find("gw", "POST", "/chat/1.0/chat/completions");
  EXPECT_TRUE(match.route->rotation->targets[0].endpoint->credential_missing);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(match.route->rotation->rotation->PickFirst(clock_.Now()).pick->target, 1u);
  }

  PutSecret("ns/key", "other", "x");
  EXPECT_THAT(BuildAndCommit().refused[0].message(), HasSubstr("has no key \"apiKey\""));
  PutSecret("ns/key", "apiKey", "\r\n");
  EXPECT_THAT(BuildAndCommit().refused[0].message(), HasSubstr("is empty"));
  PutSecret("ns/key", "apiKey", "sk-topsecret\nX-Injected: 1");
  const BuildResult control = BuildAndCommit();
  EXPECT_THAT(control.refused[0].message(), HasSubstr("control bytes"));
  EXPECT_THAT(control.refused[0].message(), Not(HasSubstr("topsecret")));

  PutSecret("ns/key", "apiKey", "sk-2");
  EXPECT_THAT(BuildAndCommit().refused, IsEmpty());
  wanted_.erase({v1::SECRET, "ns/key"});
  EXPECT_EQ(BuildAndCommit().refused.size(), 1u);
}

TEST_F(BuilderTest, BringsTheCertificatesOfTheListeners) {
  const std::string gateway = Parse<v1::Gateway>(R"pb(
                                listeners {
                                  name: "public"
                                  hostname: "*.example.com"
                                  certificate { secret: "ns/tls" key: "tls.crt" }
                                  key { secret: "ns/tls" key: "tls.key" }
                                })pb")
                                  .SerializeAsString();
  const auto put_secret = [this](const std::string& chain) {
    v1::Secret secret;
    for (const auto& [key, value] : {std::pair{"tls.crt", chain}, {"tls.key", "KEY\n"}}) {
      v1::Secret::Entry& entry = *secret.add_entries();
      entry.set_key(key);
      entry.set_value(value);
    }
    Put(v1::SECRET, "ns/tls", secret.SerializeAsString());
  };
  Put(v1::GATEWAY, "ns/edge", gateway);
  const BuildResult missing = BuildAndCommit();
  ASSERT_TRUE(missing.certificates.has_value());
  ASSERT_EQ(missing.certificates->size(), 1u);
  EXPECT_EQ(missing.certificates->at(0).version, 0u);
  ASSERT_EQ(missing.refused.size(), 1u);
  EXPECT_EQ(missing.refused[0].code(), v1::Rejection::SECRET_MISSING);
  EXPECT_EQ(missing.refused[0].id().kind(), v1::GATEWAY);
  EXPECT_EQ(missing.refused[0].field(), "listeners[0]");

  // What is missing is said again with every transaction, whatever it brings.
  PutApi("ns/a", R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
                    operations { verb: "GET" target: "/*" production {} })");
  const BuildResult again =
      builder_.Build(wanted_, "hash-2", std::set<ResourceKey>{{v1::API, "ns/a"}});
  builder_.Commit(again);
  EXPECT_FALSE(again.certificates.has_value());
  EXPECT_EQ(again.refused.size(), 1u);

  put_secret("CHAIN");
  const BuildResult result = BuildAndCommit();
  EXPECT_THAT(result.refused, IsEmpty());
  const ServerCertificate& certificate = result.certificates->at(0);
  EXPECT_EQ(certificate.listener, "public");
  EXPECT_EQ(certificate.hostname, "*.example.com");
  EXPECT_EQ(certificate.chain, "CHAIN");
  EXPECT_EQ(certificate.key.Reveal(), "KEY\n");
  put_secret("OTHER");
  EXPECT_NE(BuildAndCommit().certificates->at(0).version, certificate.version);
}

TEST_F(BuilderTest, RendersEveryKindOfCredential) {
  const auto credential = [this](const std::string& text, const std::string& value) {
    PutApi("ns/a", R"(base_path: "/x" version: "1" endpoints { url: "http://a" credential { )" +
                       text +
                       R"( value { secret: "ns/s" key: "k" } } }
                       operations { verb: "GET" target: "/*" production {} })");
    PutSecret("ns/s", "k", value);
    const BuildResult result = BuildAndCommit();
    EXPECT_THAT(result.rejected, IsEmpty());
    return result.table->Find("gw", "GET", "/x/1/").route->endpoint->credential;
  };

  EXPECT_EQ(credential(R"(place: HEADER name: "authorization")", "Basic abc").value.Reveal(),
            "Basic abc");
  EXPECT_EQ(credential(R"(place: HEADER name: "authorization")", "abc").value.Reveal(),
            "Bearer abc");
  EXPECT_EQ(credential(R"(place: HEADER name: "api-key")", "abc").value.Reveal(), "abc");
  const Credential query = credential(R"(place: QUERY name: "key")", "a b&c=d");
  EXPECT_EQ(query.place, Credential::Place::kQuery);
  EXPECT_EQ(query.value.Reveal(), "a%20b%26c%3Dd");
  const Credential basic =
      credential(R"(place: BASIC user_name { secret: "ns/s" key: "k" })", "user");
  EXPECT_EQ(basic.name, "Authorization");
  EXPECT_EQ(basic.value.Reveal(), "Basic dXNlcjp1c2Vy");
  const std::string key = R"( { secret: "ns/s" key: "k" } )";
  const Credential aws = credential("place: AWS_SIGNATURE service: \"bedrock\" user_name" + key +
                                        "session_token" + key + "region" + key,
                                    "eu-west-1");
  EXPECT_EQ(aws.place, Credential::Place::kAwsSignature);
  EXPECT_EQ(aws.value.Reveal(), "eu-west-1");
  EXPECT_EQ(aws.aws.access_key_id.Reveal(), "eu-west-1");
  EXPECT_EQ(aws.aws.session_token.Reveal(), "eu-west-1");
  EXPECT_EQ(aws.aws.region, "eu-west-1");
  EXPECT_EQ(aws.aws.service, "bedrock");
}

TEST_F(BuilderTest, TheRegionOfASignatureComesFromTheOptionsOrTheHost) {
  const auto build = [this](const std::string& endpoint) {
    PutApi("ns/a", R"(base_path: "/x" version: "1" endpoints { provider: "bedrock" credential {
                        place: AWS_SIGNATURE service: "bedrock"
                        user_name { secret: "ns/s" key: "k" } value { secret: "ns/s" key: "k" } } )" +
                       endpoint + R"( } operations { verb: "GET" target: "/*" production {} })");
    PutSecret("ns/s", "k", "v");
    return BuildAndCommit();
  };
  const auto region = [](const BuildResult& result) {
    return result.table->Find("gw", "GET", "/x/1/").route->endpoint->credential.aws.region;
  };

  EXPECT_EQ(region(build(R"(url: "https://bedrock-runtime.eu-west-1.amazonaws.com")")),
            "eu-west-1");
  EXPECT_EQ(region(build(R"(url: "https://bedrock-runtime.eu-west-1.amazonaws.com"
                            provider_options { region: "us-east-1" })")),
            "us-east-1");
  const BuildResult unknown = build(R"(url: "https://bedrock.example.com")");
  ASSERT_EQ(unknown.refused.size(), 1u);
  EXPECT_THAT(unknown.refused[0].message(), HasSubstr("providerOptions.region"));
}

TEST_F(BuilderTest, ABadResourceIsRejectedAndItsOldVersionStays) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  const BuildResult good = BuildAndCommit();
  const uint64_t good_hash = wanted_.at({v1::API, "ns/chat"})->hash();

  PutApi("ns/chat", std::string(kChat) + R"(operations { verb: "GET" target: "x" production {} })");
  PutApi("ns/new", R"(base_path: "/y" version: "")");
  const BuildResult bad = BuildAndCommit();

  ASSERT_EQ(bad.rejected.size(), 2u);
  EXPECT_EQ(bad.rejected[0].id().name(), "ns/chat");
  EXPECT_EQ(bad.rejected[0].kept_hash(), good_hash);
  EXPECT_EQ(bad.rejected[0].rejected_hash(), wanted_.at({v1::API, "ns/chat"})->hash());
  EXPECT_EQ(bad.rejected[0].field(), "operations[2].target");
  EXPECT_EQ(bad.rejected[1].kept_hash(), 0u);
  ASSERT_EQ(bad.table->apis().size(), 1u);
  EXPECT_EQ(ApisOf(bad.table)[0], ApisOf(good.table)[0]);

  PutApi("ns/chat", kChat);
  EXPECT_EQ(BuildAndCommit().rejected.size(), 1u);
}

TEST_F(BuilderTest, TheOldVersionOfABadResourceGetsANewCredential) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  BuildAndCommit();

  PutApi("ns/chat", R"(base_path: "no slash")");
  PutSecret("ns/key", "apiKey", "sk-2");
  const BuildResult result = BuildAndCommit();

  EXPECT_EQ(result.rejected.size(), 1u);
  EXPECT_THAT(result.changed_credentials, UnorderedElementsAre("t1", "t3"));
  const Match match = result.table->Find("gw", "POST", "/chat/1.0/chat/completions");
  EXPECT_EQ(match.route->endpoint->credential.value.Reveal(), "Bearer sk-2");
}

TEST_F(BuilderTest, BadSecretsAndGatewaysKeepTheirOldVersion) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  Put(v1::GATEWAY, "gw", Parse<v1::Gateway>(R"(sandbox_hosts: "*.dev")").SerializeAsString());
  const BuildResult good = BuildAndCommit();

  Put(v1::SECRET, "ns/key", "\xFF");
  Put(v1::GATEWAY, "gw", Parse<v1::Gateway>(R"(sandbox_hosts: "a b")").SerializeAsString());
  const BuildResult bad = BuildAndCommit();

  ASSERT_EQ(bad.rejected.size(), 2u);
  EXPECT_NE(bad.rejected[0].kept_hash(), 0u);
  EXPECT_THAT(bad.rejected[0].message(), HasSubstr("\"a b\""));
  EXPECT_NE(bad.rejected[1].kept_hash(), 0u);
  EXPECT_EQ(ApisOf(bad.table), ApisOf(good.table));
  EXPECT_EQ(bad.table->EnvironmentOf("x.dev"), Environment::kSandbox);
}

struct BadApi {
  const char* field;
  const char* text;
};

class BadApiTest : public BuilderTest, public testing::WithParamInterface<BadApi> {};

TEST_P(BadApiTest, IsRejectedWithTheFieldThatIsWrong) {
  PutApi("ns/a", GetParam().text);

  const BuildResult result = BuildAndCommit();

  ASSERT_EQ(result.rejected.size(), 1u);
  EXPECT_EQ(result.rejected[0].field(), GetParam().field);
  EXPECT_FALSE(result.rejected[0].message().empty());
  EXPECT_THAT(result.table->apis(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    All, BadApiTest,
    testing::Values(
        BadApi{"base_path", R"(base_path: "x" version: "1")"},
        BadApi{"base_path", R"(base_path: "/x/" version: "1")"},
        BadApi{"base_path", R"(base_path: "/x/../y" version: "..")"},
        BadApi{"base_path", R"(base_path: "/x%2fy" version: "1")"},
        BadApi{"version", R"(base_path: "/x" version: "1/2")"},
        BadApi{"endpoints[0].url", R"(base_path: "/x" version: "1" endpoints { url: "ftp://a" })"},
        BadApi{"endpoints[0].url",
               R"(base_path: "/x" version: "1" endpoints { url: "http://u:p@a" })"},
        BadApi{"endpoints[0].url",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a:0" })"},
        BadApi{"endpoints[0].url",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a/?q" })"},
        BadApi{"endpoints[0].connect_timeout",
               R"(base_path: "/x" version: "1"
                  endpoints { url: "http://a" connect_timeout { seconds: -1 } })"},
        BadApi{"endpoints[0].credential.name",
               R"(base_path: "/x" version: "1"
                  endpoints { url: "http://a" credential { place: HEADER name: "a b" } })"},
        BadApi{"endpoints[0].credential.place",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a" credential {} })"},
        BadApi{"rotations[0].id", R"(base_path: "/x" version: "1" rotations {})"},
        BadApi{"rotations[0].targets", R"(base_path: "/x" version: "1" rotations { id: "r" })"},
        BadApi{
            "rotations[0].targets[0].endpoint",
            R"(base_path: "/x" version: "1" rotations { id: "r" targets { id: "t" weight: 1 } })"},
        BadApi{"rotations[0].targets[1].id",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
                  rotations { id: "r" targets { id: "t" weight: 1 } targets { id: "t" } })"},
        BadApi{"rotations[0].targets",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
                  rotations { id: "r" targets { id: "t" } })"},
        BadApi{"rotations[0].targets[0].weight",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
                  rotations { id: "r" targets { id: "t" weight: 640001 } })"},
        BadApi{"rotations[0].on_all_suspended",
               R"(base_path: "/x" version: "1" rotations { id: "r" on_all_suspended: 7 })"},
        BadApi{"operations[0].verb",
               R"(base_path: "/x" version: "1" operations { verb: "G T" target: "/" })"},
        BadApi{"operations[1].target",
               R"(base_path: "/x" version: "1" operations { verb: "GET" target: "/a" }
                  operations { verb: "GET" target: "/a/" })"},
        BadApi{
            "operations[0].production.endpoint",
            R"(base_path: "/x" version: "1" operations { verb: "GET" target: "/" production {} })"},
        BadApi{"operations[0].sandbox.rotation",
               R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
                  operations { verb: "GET" target: "/" sandbox { rotation: 1 } })"}));

TEST_F(BuilderTest, BytesThatDoNotDecodeAreRejected) {
  Put(v1::API, "ns/a", "\xFF\xFF");
  Put(v1::SECRET, "ns/s", "\xFF\xFF");
  Put(v1::GATEWAY, "gw", "\xFF\xFF");
  Put(static_cast<v1::Kind>(9), "ns/z", "");
  const BuildResult result = BuildAndCommit();

  ASSERT_EQ(result.rejected.size(), 4u);
  EXPECT_EQ(result.rejected[0].code(), v1::Rejection::MALFORMED);
  EXPECT_EQ(result.rejected[3].code(), v1::Rejection::UNSUPPORTED);
  EXPECT_THAT(result.table->apis(), IsEmpty());
}

TEST_F(BuilderTest, GatewayHostsAndFlagsDecideTheEnvironment) {
  BuilderOptions options = Options();
  options.sandbox_hosts = {"flag.example.com"};
  Builder builder(options, registry_);
  EXPECT_EQ(builder.Build({}, "").table->EnvironmentOf("flag.example.com"), Environment::kSandbox);
  Put(v1::GATEWAY, "gw",
      Parse<v1::Gateway>(R"(sandbox_hosts: "*.dev" allow_local_upstreams: true)")
          .SerializeAsString());

  const auto table = builder.Build(wanted_, "").table;

  EXPECT_EQ(table->EnvironmentOf("a.dev:80"), Environment::kSandbox);
  EXPECT_EQ(table->EnvironmentOf("flag.example.com"), Environment::kSandbox);
  EXPECT_EQ(table->EnvironmentOf("a.com"), Environment::kProduction);
  EXPECT_TRUE(table->allow_local_upstreams());
}

TEST_F(BuilderTest, SecuredOperationsAreReportedUnlessTheyMayBeOpen) {
  const std::string secured = R"(base_path: "/x" version: "1" endpoints { url: "http://a" }
      operations { verb: "GET" target: "/" secured: true production {} }
      operations { verb: "PUT" target: "/" production {} })";
  PutApi("ns/a", secured);
  Builder strict(BuilderOptions{}, registry_);

  const BuildResult result = strict.Build(wanted_, "");

  ASSERT_EQ(result.refused.size(), 1u);
  EXPECT_EQ(result.refused[0].code(), v1::Rejection::AUTH_NOT_ENFORCED);
  EXPECT_THAT(result.refused[0].message(), HasSubstr("1 operations"));
  EXPECT_THAT(result.refused[0].message(), HasSubstr("--allow-unauthenticated"));
  EXPECT_TRUE(result.table->Find("gw", "GET", "/x/1/").operation->secured);
  EXPECT_THAT(BuildAndCommit().refused, IsEmpty());
}

TEST_F(BuilderTest, OnlyCredentialsThatReallyChangedAreReported) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  EXPECT_THAT(BuildAndCommit().changed_credentials, IsEmpty());

  PutSecret("ns/key", "apiKey", "sk-1\n");
  EXPECT_THAT(BuildAndCommit().changed_credentials, IsEmpty());
  PutSecret("ns/key", "apiKey", "sk-2");
  EXPECT_THAT(BuildAndCommit().changed_credentials, UnorderedElementsAre("t1", "t3"));
  EXPECT_THAT(BuildAndCommit().changed_credentials, IsEmpty());
  wanted_.erase({v1::SECRET, "ns/key"});
  EXPECT_THAT(BuildAndCommit().changed_credentials, UnorderedElementsAre("t1", "t3"));
}

// As after a start from the last known good file, which holds no credentials.
TEST_F(BuilderTest, ACredentialThatArrivesIsNoChangedOne) {
  PutApi("ns/chat", kChat);
  EXPECT_THAT(BuildAndCommit().changed_credentials, IsEmpty());
  PutSecret("ns/key", "apiKey", "sk-1");
  EXPECT_THAT(BuildAndCommit().changed_credentials, IsEmpty());
  PutSecret("ns/key", "apiKey", "sk-2");
  EXPECT_THAT(BuildAndCommit().changed_credentials, UnorderedElementsAre("t1", "t3"));
}

TEST_F(BuilderTest, AnUnchangedApiIsSharedAndKeepsPositionAndSuspensions) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  const BuildResult before = BuildAndCommit();
  const auto rotation = ApisOf(before.table)[0]->rotations[0]->rotation;
  rotation->Suspend(0, rotation::Reason::kQuota, clock_.Now(), clock_.Now() + seconds(9));

  PutApi("ns/other", std::string(kPlain) + R"(base_path: "/o" version: "1")");
  const BuildResult other = BuildAndCommit();
  EXPECT_EQ(ApisOf(other.table)[0], ApisOf(before.table)[0]);

  // Another weight: another rotation, the same suspension.
  std::string text = kChat;
  text.replace(text.find("weight: 2"), 9, "weight: 5");
  PutApi("ns/chat", text);
  const BuildResult changed = BuildAndCommit();
  const auto replaced = ApisOf(changed.table)[0]->rotations[0]->rotation;
  EXPECT_NE(replaced, rotation);
  EXPECT_TRUE(replaced->Inspect(clock_.Now())[0].suspension.has_value());

  // Another Secret: the endpoint is new, the rotation the same.
  PutSecret("ns/key", "apiKey", "sk-2");
  EXPECT_EQ(ApisOf(BuildAndCommit().table)[0]->rotations[0]->rotation, replaced);
}

TEST_F(BuilderTest, WhatIsGoneIsForgotten) {
  PutApi("ns/chat", kChat);
  PutSecret("ns/key", "apiKey", "sk-1");
  const BuildResult before = BuildAndCommit();
  ApisOf(before.table)[0]->rotations[0]->rotation->Suspend(0, rotation::Reason::kAuth, clock_.Now(),
                                                           clock_.Now() + seconds(9));
  EXPECT_EQ(registry_.Active(clock_.Now()).size(), 1u);

  wanted_.clear();
  EXPECT_THAT(BuildAndCommit().table->apis(), IsEmpty());

  EXPECT_THAT(registry_.Active(clock_.Now()), IsEmpty());
}

TEST_F(BuilderTest, SeriesComeFromConfiguration) {
  std::vector<SeriesLabels> labels;
  BuilderOptions options = Options();
  options.intern_series = [&labels](const SeriesLabels& series) {
    labels.push_back(series);
    return static_cast<SeriesId>(labels.size());
  };
  Builder builder(options, registry_);
  PutApi("ns/a", std::string(kPlain) + R"(base_path: "/x" version: "1")");

  const auto table = builder.Build(wanted_, "").table;

  EXPECT_THAT(labels, ElementsAre(SeriesLabels{"ns/a", "production", "", "http://a"},
                                  SeriesLabels{"ns/a", "production", "", ""}));
  const Match match = table->Find("gw", "GET", "/x/1/");
  EXPECT_EQ(match.route->endpoint_series, 1u);
  EXPECT_EQ(match.route->gateway_series, 2u);
}

}  // namespace
}  // namespace rota::table
