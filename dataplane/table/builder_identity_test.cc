// Credentials that are this process's own.

#include <string>
#include <vector>

#include "common/clock.h"
#include "common/hash.h"
#include "dataplane/table/builder.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;

// One target that signs as the role of this process, and one without a credential.
constexpr char kBedrock[] = R"pb(
  uid: "u"
  base_path: "/b"
  version: "1"
  endpoints {
    url: "https://bedrock-runtime.eu-west-1.amazonaws.com"
    name: "bedrock"
    provider: "bedrock"
    credential { place: AWS_SIGNATURE service: "bedrock" identity: AWS }
  }
  endpoints { url: "https://free.example.com" name: "free" provider: "openai" }
  rotations {
    id: "r"
    environment: PRODUCTION
    targets { id: "signed" model: "nova" endpoint: 0 weight: 1 }
    targets { id: "plain" model: "llama" endpoint: 1 weight: 1 }
  }
  operations {
    verb: "POST"
    target: "/chat/completions"
    kind: CHAT
    production { rotation: 1 }
  }
)pb";

constexpr char kAzure[] = R"pb(
  base_path: "/a"
  version: "1"
  endpoints {
    url: "https://my.openai.azure.com"
    provider: "azure"
    credential { place: HEADER name: "Authorization" identity: AZURE }
  }
  operations {
    verb: "GET"
    target: "/*"
    production {}
  }
)pb";

Identity Keys(const std::string& key) {
  auto content = std::make_shared<DecodedSecret>();
  content->hash = Hash64(key);
  content->values.emplace(kAccessKeyId, SecretString("id-" + key));
  content->values.emplace(kSecretAccessKey, SecretString("secret-" + key));
  content->values.emplace(kSessionToken, SecretString("session-" + key));
  return {absl::OkStatus(), std::move(content)};
}

Identity Token(const std::string& token) {
  auto content = std::make_shared<DecodedSecret>();
  content->hash = Hash64(token);
  content->values.emplace(kAccessToken, SecretString(token));
  return {absl::OkStatus(), std::move(content)};
}

Identity Pending() { return {absl::UnavailableError("being fetched"), nullptr}; }

class BuilderIdentityTest : public testing::Test {
 protected:
  void PutApi(const std::string& name, const std::string& text) {
    v1::Api api;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &api)) << text;
    v1::Resource resource;
    resource.mutable_id()->set_kind(v1::API);
    resource.mutable_id()->set_name(name);
    resource.set_body(api.SerializeAsString());
    resource.set_hash(Hash64(resource.body()));
    wanted_[{v1::API, name}] = std::make_shared<const v1::Resource>(std::move(resource));
  }
  BuildResult Commit(BuildResult result) {
    builder_.Commit(result);
    return result;
  }
  BuildResult Build() { return Commit(builder_.Build(wanted_, "hash")); }
  BuildResult Set(const Identity& identity, const char* name = kAwsIdentity) {
    return Commit(builder_.BuildWithIdentity(name, identity));
  }
  static const BoundRotation& RotationOf(const BuildResult& result) {
    return *result.table->Find("gw", "POST", "/b/1/chat/completions").route->rotation;
  }
  // Which targets get the next requests.
  std::vector<size_t> Picks(const BuildResult& result) {
    std::vector<size_t> picks;
    for (int i = 0; i < 4; ++i) {
      picks.push_back(RotationOf(result).rotation->PickFirst(clock_.Now()).pick->target);
    }
    return picks;
  }
  static BuilderOptions Options(std::vector<std::string>& wanted) {
    BuilderOptions options;
    options.allow_unauthenticated = true;
    options.want_identity = [&wanted](const std::string& name) { wanted.push_back(name); };
    return options;
  }

  FakeClock clock_;
  rotation::Registry registry_{"node"};
  std::vector<std::string> asked_for_;
  Builder builder_{Options(asked_for_), registry_};
  ResourceMap wanted_;
};

TEST_F(BuilderIdentityTest, SaysWhichIdentityAnApiUses) {
  Build();
  EXPECT_THAT(asked_for_, IsEmpty());

  PutApi("ns/b", kBedrock);
  Build();

  EXPECT_THAT(asked_for_, Each(kAwsIdentity));
  EXPECT_THAT(asked_for_, Contains(kAwsIdentity));
}

TEST_F(BuilderIdentityTest, ATargetComesAndGoesWithItsIdentity) {
  Set(Pending());
  PutApi("ns/b", kBedrock);
  const BuildResult pending = Build();
  EXPECT_THAT(pending.refused, IsEmpty()) << "the configuration is good";
  EXPECT_TRUE(RotationOf(pending).targets[0].endpoint->credential_missing);
  EXPECT_THAT(Picks(pending), Each(1U));

  const BuildResult there = Set(Keys("one"));
  const Endpoint& endpoint = *RotationOf(there).targets[0].endpoint;
  EXPECT_FALSE(endpoint.credential_missing);
  EXPECT_EQ(endpoint.identity, kAwsIdentity);
  EXPECT_EQ(endpoint.credential.place, Credential::Place::kAwsSignature);
  EXPECT_EQ(endpoint.credential.value.Reveal(), "secret-one");
  EXPECT_EQ(endpoint.credential.aws.access_key_id.Reveal(), "id-one");
  EXPECT_EQ(endpoint.credential.aws.session_token.Reveal(), "session-one");
  EXPECT_EQ(endpoint.credential.aws.region, "eu-west-1");
  EXPECT_EQ(there.table->snapshot_hash(), "hash");
  EXPECT_THAT(Picks(there), Contains(0U));

  EXPECT_THAT(Picks(Set(Pending())), Each(1U));
}

TEST_F(BuilderIdentityTest, NewKeysAreUsedAndEndNoSuspension) {
  Set(Keys("one"));
  PutApi("ns/b", kBedrock);
  const BuildResult before = Build();

  const BuildResult after = Set(Keys("two"));

  EXPECT_EQ(RotationOf(after).targets[0].endpoint->credential.value.Reveal(), "secret-two");
  EXPECT_EQ(RotationOf(before).targets[0].endpoint->credential.value.Reveal(), "secret-one")
      << "of requests that have begun";
  EXPECT_EQ(RotationOf(after).rotation, RotationOf(before).rotation) << "position and all";
  EXPECT_THAT(after.changed_credentials, IsEmpty());
  EXPECT_THAT(Set(Pending()).changed_credentials, IsEmpty());
}

TEST_F(BuilderIdentityTest, SurvivesOtherTransactions) {
  Set(Keys("one"));
  PutApi("ns/b", kBedrock);
  Build();
  PutApi("ns/a", kAzure);

  const BuildResult one_api =
      Commit(builder_.Build(wanted_, "hash-2", std::set<ResourceKey>{{v1::API, "ns/a"}}));
  EXPECT_FALSE(RotationOf(one_api).targets[0].endpoint->credential_missing);
  EXPECT_FALSE(RotationOf(Build()).targets[0].endpoint->credential_missing);
}

TEST_F(BuilderIdentityTest, ATokenGoesIntoItsHeader) {
  PutApi("ns/a", kAzure);
  Build();

  const BuildResult result = Set(Token("eyJ0.e.s"), kAzureIdentity);

  const Endpoint& endpoint = *result.table->Find("gw", "GET", "/a/1/x").route->endpoint;
  EXPECT_EQ(endpoint.credential.name, "Authorization");
  EXPECT_EQ(endpoint.credential.value.Reveal(), "Bearer eyJ0.e.s");
}

TEST_F(BuilderIdentityTest, OneThatTheProcessDoesNotHaveIsAFault) {
  Set({absl::FailedPreconditionError("AWS_ROLE_ARN is not set"), nullptr});
  PutApi("ns/b", kBedrock);

  const BuildResult result = Build();

  ASSERT_EQ(result.refused.size(), 1U);
  EXPECT_EQ(result.refused[0].field(), "endpoints[0].credential");
  EXPECT_THAT(result.refused[0].message(), HasSubstr("AWS_ROLE_ARN is not set"));
  EXPECT_THAT(Picks(result), Each(1U));
}

TEST_F(BuilderIdentityTest, OneOfAnotherKindIsRefused) {
  for (const char* const credential :
       {"place: HEADER name: \"a\" identity: AWS", "place: AWS_SIGNATURE identity: AZURE",
        "place: BASIC identity: AZURE", "place: HEADER name: \"a\" identity: 99"}) {
    PutApi("ns/x", std::string(R"(base_path: "/x" version: "1" endpoints { url: "http://a"
                                  credential { )") +
                       credential +
                       R"( } } operations { verb: "GET" target: "/*" production {} })");
    const BuildResult result = Build();
    ASSERT_EQ(result.rejected.size(), 1U) << credential;
    EXPECT_EQ(result.rejected[0].code(), v1::Rejection::UNSUPPORTED);
    EXPECT_EQ(result.rejected[0].field(), "endpoints[0].credential.identity");
  }
}

// A Secret of a controller cannot take the place of an identity: it has another kind of name.
TEST_F(BuilderIdentityTest, NoSecretOfTheSnapshotIsTakenForOne) {
  Set(Pending());
  PutApi("ns/b", kBedrock);
  v1::Secret secret;
  for (const char* const key : {kAccessKeyId, kSecretAccessKey, kSessionToken}) {
    v1::Secret::Entry& entry = *secret.add_entries();
    entry.set_key(key);
    entry.set_value("planted");
  }
  v1::Resource resource;
  resource.mutable_id()->set_kind(v1::SECRET);
  resource.mutable_id()->set_name(kAwsIdentity);
  resource.set_body(secret.SerializeAsString());
  resource.set_hash(1);
  wanted_[{v1::SECRET, kAwsIdentity}] = std::make_shared<const v1::Resource>(std::move(resource));

  EXPECT_TRUE(RotationOf(Build()).targets[0].endpoint->credential_missing);
}

}  // namespace
}  // namespace rota::table
