#include "controller/serve/peer_status.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::SizeIs;

std::shared_ptr<const compile::Snapshot> SnapshotOf(const std::string& hash) {
  auto snapshot = std::make_shared<compile::Snapshot>();
  snapshot->hash = hash;
  return snapshot;
}

NodeReport Node(const std::string& name, const std::string& snapshot_hash) {
  NodeReport node;
  node.node = name;
  if (!snapshot_hash.empty()) {
    node.acknowledged = SnapshotOf(snapshot_hash);
  }
  return node;
}

ResourceProblem Problem(uint64_t hash, const std::string& message) {
  ResourceProblem problem;
  problem.rejected_hash = hash;
  problem.code = v1::Rejection::INVALID;
  problem.field = "spec.apiPolicies";
  problem.message = message;
  return problem;
}

TEST(PeerStatusTest, TellsWhichSnapshotsTheDataPlanesHaveTheMostFrequentFirst) {
  const v1::PeerStatus::Gateway status =
      DescribeFleet({Node("a", "old"), Node("b", "zz-new"), Node("c", "zz-new"), Node("d", "")});

  EXPECT_EQ(status.data_planes(), 4u);
  ASSERT_THAT(status.acknowledged(), SizeIs(2));
  EXPECT_EQ(status.acknowledged(0).snapshot_hash(), "zz-new");
  EXPECT_EQ(status.acknowledged(0).data_planes(), 2u);
  EXPECT_EQ(status.acknowledged(1).snapshot_hash(), "old");
}

TEST(PeerStatusTest, TellsOnceWhatManyDataPlanesObjectTo) {
  NodeReport first = Node("a", "h");
  first.rejected[{compile::ResourceKind::kApi, "team/chat"}] = Problem(7, "too new");
  first.refused[{compile::ResourceKind::kApi, "team/chat"}] = Problem(6, "not enforced");
  first.rejected[{compile::ResourceKind::kSecret, "team/key"}] = Problem(5, "is no API");
  NodeReport second = first;
  second.node = "b";

  const v1::PeerStatus::Gateway status = DescribeFleet({first, second});

  ASSERT_THAT(status.findings(), SizeIs(2));
  EXPECT_TRUE(status.findings(0).is_in_use());  // of the older version
  EXPECT_EQ(status.findings(0).hash(), 6u);
  const v1::PeerFinding& rejected = status.findings(1);
  EXPECT_FALSE(rejected.is_in_use());
  EXPECT_EQ(rejected.api(), "team/chat");
  EXPECT_EQ(rejected.hash(), 7u);
  EXPECT_EQ(rejected.code(), v1::Rejection::INVALID);
  EXPECT_EQ(rejected.field(), "spec.apiPolicies");
  EXPECT_EQ(rejected.message(), "too new");
}

TEST(PeerStatusTest, WhatIsWrongWithTheGatewayComesFirst) {
  NodeReport node = Node("a", "h");
  node.refused[{compile::ResourceKind::kApi, "team/a"}] = Problem(7, "of the API");
  node.refused[{compile::ResourceKind::kGateway, "team/edge"}] = Problem(8, "of the gateway");

  const v1::PeerStatus::Gateway status = DescribeFleet({node});

  ASSERT_THAT(status.findings(), SizeIs(2));
  EXPECT_TRUE(status.findings(0).is_about_gateway());
  EXPECT_EQ(status.findings(0).api(), "team/edge");
  EXPECT_EQ(status.findings(0).message(), "of the gateway");
  EXPECT_FALSE(status.findings(1).is_about_gateway());
}

TEST(PeerStatusTest, IsBoundedWhoeverSaysIt) {
  std::vector<NodeReport> nodes;
  v1::PeerStatus strange;
  v1::PeerStatus::Gateway& gateway = *strange.add_gateways();
  for (int i = 0; i < 1000; ++i) {
    nodes.push_back(Node("n" + std::to_string(i), "h" + std::to_string(i)));
    nodes.back().rejected[{compile::ResourceKind::kApi, "team/a" + std::to_string(i)}] =
        Problem(1, "no");
    gateway.add_acknowledged()->set_snapshot_hash(std::string(10'000, 'x'));
    gateway.add_findings()->set_message(std::string(10'000, 'x'));
  }

  nodes[0].refused[{compile::ResourceKind::kApi, std::string(5 << 20, 'a')}] = Problem(1, "no");
  nodes[0].refused[{compile::ResourceKind::kApi, "b"}] = Problem(1, std::string(5 << 20, 'x'));

  v1::PeerStatus own;
  *own.add_gateways() = DescribeFleet(nodes);
  v1::PeerStatus cut = Bounded(strange);

  EXPECT_EQ(own.gateways(0).data_planes(), 1000u);
  for (const v1::PeerStatus* status : {&own, &cut}) {
    EXPECT_THAT(status->gateways(0).acknowledged(), SizeIs(kMaxAcknowledgedSnapshots));
    EXPECT_THAT(status->gateways(0).findings(), SizeIs(kMaxPeerFindings));
    EXPECT_LT(status->ByteSizeLong(), 400'000u);
  }
  EXPECT_TRUE(IsSame(Bounded(own), own));
  EXPECT_FALSE(IsSame(own, cut));

  for (int i = 0; i < 1000; ++i) {
    strange.add_gateways()->set_name("team/gateway-" + std::to_string(i));
  }
  EXPECT_THAT(Bounded(strange).gateways(), SizeIs(compile::kMaxGateways));
}

TEST(PeerStatusTest, TextIsCutBetweenCharactersElseNobodyCouldReadTheMessage) {
  NodeReport node = Node("a", "h");
  node.refused[{compile::ResourceKind::kApi, "team/a"}] =
      Problem(1, std::string(1023, 'x') + "\u00e9");
  v1::PeerStatus::Gateway read;
  EXPECT_TRUE(read.ParseFromString(DescribeFleet({node}).SerializeAsString()));
  EXPECT_EQ(read.findings(0).message().size(), 1023u);
}

TEST(PeerStatusTest, WhatManyGatewaysHaveToSayFitsIntoOneMessage) {
  v1::PeerStatus status;
  for (size_t i = 0; i < compile::kMaxGateways; ++i) {
    v1::PeerStatus::Gateway& gateway = *status.add_gateways();
    gateway.set_data_planes(1);
    for (int finding = 0; finding < kMaxPeerFindings; ++finding) {
      gateway.add_findings()->set_message(std::string(1000, 'x'));
    }
  }

  status = Bounded(std::move(status));

  EXPECT_LT(status.ByteSizeLong(), 3'500'000u);
  for (const v1::PeerStatus::Gateway& gateway : status.gateways()) {
    EXPECT_EQ(gateway.data_planes(), 1u);
    EXPECT_GT(gateway.findings_size(), 40);
  }
}

TEST(PeerStatusTest, AGatewayThatIsNewIsCountedAtOnceAndDescribedLater) {
  GatewayRegistry gateways;
  gateways.Obtain("team/a");
  v1::PeerStatus before = WithCounts(gateways, {});
  ASSERT_THAT(before.gateways(), SizeIs(1));
  before.mutable_gateways(0)->add_acknowledged()->set_snapshot_hash("h");
  gateways.Obtain("team/b");

  const v1::PeerStatus both = WithCounts(gateways, before);

  ASSERT_THAT(both.gateways(), SizeIs(2));
  EXPECT_EQ(both.gateways(0).acknowledged(0).snapshot_hash(), "h");
  EXPECT_EQ(both.gateways(1).name(), "team/b");
  EXPECT_THAT(DescribeGateways(gateways).gateways(), SizeIs(2));
  gateways.Remove("team/a");
  EXPECT_EQ(WithCounts(gateways, both).gateways(0).name(), "team/b");
}

}  // namespace
}  // namespace rota::serve
