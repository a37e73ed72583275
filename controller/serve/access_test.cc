#include "controller/serve/access.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

PeerIdentity Account(const std::string& account, const std::string& pod = "") {
  PeerIdentity peer;
  peer.authenticated = true;
  peer.service_account = account;
  peer.pod = pod;
  return peer;
}

PeerIdentity Certificate(std::vector<std::string> uris) {
  PeerIdentity peer;
  peer.authenticated = true;
  peer.uris = std::move(uris);
  return peer;
}

std::string Refusal(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  return std::string(status.message());
}

TEST(AccessTest, WithoutARuleTheAccountOfTheGatewaysOwnNamespaceIsAllowed) {
  const AccessRules rules;
  EXPECT_TRUE(CheckDataPlane(rules, Account("team/rota-dataplane"), "team/main", "n").ok());
  EXPECT_THAT(Refusal(CheckDataPlane(rules, Account("other/rota-dataplane"), "team/main", "n")),
              AllOf(HasSubstr("other/rota-dataplane"), HasSubstr("team/main"),
                    HasSubstr("for team/rota-dataplane"), HasSubstr("--allow-service-account")));
  Refusal(CheckDataPlane(rules, Account("team/default"), "team/main", "n"));
}

TEST(AccessTest, ARuleOfAGatewayTakesThePlaceOfTheDefaultForThatGatewayAlone) {
  AccessRules rules;
  rules.data_planes["team/main"] = {"edge/proxy", "edge/canary"};
  EXPECT_TRUE(CheckDataPlane(rules, Account("edge/proxy"), "team/main", "n").ok());
  EXPECT_TRUE(CheckDataPlane(rules, Account("edge/canary"), "team/main", "n").ok());
  Refusal(CheckDataPlane(rules, Account("team/rota-dataplane"), "team/main", "n"));
  EXPECT_TRUE(CheckDataPlane(rules, Account("team/rota-dataplane"), "team/second", "n").ok());
  Refusal(CheckDataPlane(rules, Account("edge/proxy"), "team/second", "n"));
}

TEST(AccessTest, ATokenOfAPodIsGoodForThatPodsNameOnly) {
  const AccessRules rules;
  const PeerIdentity peer = Account("team/rota-dataplane", "proxy-7");
  EXPECT_TRUE(CheckDataPlane(rules, peer, "team/main", "proxy-7").ok());
  EXPECT_THAT(Refusal(CheckDataPlane(rules, peer, "team/main", "proxy-8")),
              AllOf(HasSubstr("'proxy-7'"), HasSubstr("'proxy-8'"), HasSubstr("--node")));
  Refusal(CheckDataPlane(rules, peer, "team/main", "proxy-7-1"));
}

TEST(AccessTest, ACertificateIsBoundByItsUrisAndFreeWithoutThem) {
  const AccessRules rules;
  EXPECT_TRUE(CheckDataPlane(rules, Certificate({}), "team/main", "any").ok());
  const PeerIdentity bound = Certificate({"urn:rota:node:a", "urn:rota:gateway:team/main"});
  EXPECT_TRUE(CheckDataPlane(rules, bound, "team/main", "a").ok());
  EXPECT_THAT(Refusal(CheckDataPlane(rules, bound, "team/main", "b")),
              HasSubstr("not for node 'b'"));
  EXPECT_THAT(Refusal(CheckDataPlane(rules, bound, "team/second", "a")),
              HasSubstr("not for gateway 'team/second'"));
}

TEST(AccessTest, ALongNameIsCutInTheMessage) {
  const std::string refusal = Refusal(CheckDataPlane({}, Account("team/rota-dataplane", "proxy"),
                                                     "team/main", std::string(100'000, 'x')));
  EXPECT_LT(refusal.size(), 1000u);
}

TEST(AccessTest, AReplicaHasTheControllersOwnAccount) {
  AccessRules rules;
  rules.controller = "rota-system/rota-controller";
  EXPECT_TRUE(CheckReplica(rules, Account("rota-system/rota-controller", "controller-0")).ok());
  EXPECT_THAT(Refusal(CheckReplica(rules, Account("team/rota-dataplane"))),
              HasSubstr("team/rota-dataplane"));
  // A controller that does not know its own account knows no other replica either.
  Refusal(CheckReplica({}, Account("rota-system/rota-controller")));
}

TEST(AccessTest, ACertificateOfADataPlaneIsNoReplicas) {
  EXPECT_TRUE(CheckReplica({}, Certificate({})).ok());
  EXPECT_THAT(Refusal(CheckReplica({}, Certificate({"urn:rota:node:a"}))),
              Not(HasSubstr("ServiceAccount")));
}

}  // namespace
}  // namespace rota::serve
