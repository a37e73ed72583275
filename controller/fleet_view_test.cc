#include "controller/fleet_view.h"

#include "controller/reconcile/gateway_status.h"
#include "gtest/gtest.h"

namespace rota::controller {
namespace {

namespace v1 = rota::sync::v1;

constexpr char kApi[] = "team/chat";
constexpr char kGateway[] = "team/edge";

std::shared_ptr<const compile::Snapshot> SnapshotWith(uint64_t api_hash) {
  auto snapshot = std::make_shared<compile::Snapshot>();
  auto body = std::make_shared<compile::ResourceBody>();
  body->hash = api_hash;
  snapshot->resources.Set({compile::ResourceKind::kApi, kApi}, body);
  snapshot->hash = "hash " + std::to_string(api_hash);
  return snapshot;
}

using GatewayStatus = v1::PeerStatus::Gateway;

serve::PeerReport Peer(GatewayStatus gateway) {
  gateway.set_name(kGateway);
  v1::PeerStatus status;
  status.add_gateways()->set_name("team/another");
  status.mutable_gateways(0)->set_data_planes(5);
  *status.add_gateways() = std::move(gateway);
  serve::PeerReport peer;
  peer.replica = "other";
  peer.status = std::make_shared<const v1::PeerStatus>(std::move(status));
  return peer;
}

GatewayStatus With(const std::vector<uint64_t>& api_hashes) {
  GatewayStatus status;
  status.set_data_planes(static_cast<uint32_t>(api_hashes.size()));
  for (const uint64_t hash : api_hashes) {
    status.add_acknowledged()->set_snapshot_hash("hash " + std::to_string(hash));
    status.mutable_acknowledged(status.acknowledged_size() - 1)->set_data_planes(1);
  }
  return status;
}

class FleetViewTest : public ::testing::Test {
 protected:
  // What Programmed says about version 7 of the API when all data planes are at another replica.
  reconcile::Condition Programmed(const GatewayStatus& status) {
    return reconcile::ComputeProgrammed(
        reconcile::Summarise(ToFleetView(kGateway, {}, {Peer(status)}, snapshots_), kApi, 7), 1,
        true);
  }

  RecentSnapshots snapshots_;
};

TEST_F(FleetViewTest, DataPlanesOfAnotherReplicaConfirmWhatTheyHave) {
  snapshots_.Add(kGateway, SnapshotWith(6));
  snapshots_.Add(kGateway, SnapshotWith(7));

  EXPECT_EQ(Programmed(With({7})).reason, "Programmed");
  EXPECT_EQ(Programmed(With({6, 7})).reason, "Programmed");  // one of them lags behind
  EXPECT_EQ(Programmed(With({6})).reason, "Pending");
}

TEST_F(FleetViewTest, OfASnapshotThatIsNotKnownHereNothingIsConcluded) {
  snapshots_.Add(kGateway, SnapshotWith(7));
  GatewayStatus of_before;  // a replica that does not say yet what its data planes have
  of_before.set_data_planes(3);

  EXPECT_EQ(Programmed(With({8})).reason, "Pending");
  EXPECT_EQ(Programmed(of_before).reason, "Pending");
  EXPECT_EQ(Programmed(GatewayStatus()).reason, "NoDataPlane");
}

TEST_F(FleetViewTest, WhatADataPlaneOfAnotherReplicaRejectsIsNotProgrammed) {
  snapshots_.Add(kGateway, SnapshotWith(7));
  GatewayStatus status = With({7});
  v1::PeerFinding& finding = *status.add_findings();
  finding.set_api(kApi);
  finding.set_hash(7);
  finding.set_code(v1::Rejection::UNSUPPORTED);
  finding.set_message("newer than this data plane");

  EXPECT_EQ(Programmed(status).reason, "RejectedByDataPlane");
  finding.set_hash(6);  // about the version before, which is on its way out
  EXPECT_EQ(Programmed(status).reason, "Pending");
  finding.set_hash(7);
  finding.set_is_in_use(true);
  finding.set_code(v1::Rejection::AUTH_NOT_ENFORCED);
  EXPECT_EQ(Programmed(status).reason, "AuthNotEnforced");
}

TEST_F(FleetViewTest, WhichDataPlaneOfAReplicaHasWhichSnapshotIsNoNewsAboutDataPlanes) {
  snapshots_.Add(kGateway, SnapshotWith(6));
  snapshots_.Add(kGateway, SnapshotWith(7));
  const auto views = [&](const GatewayStatus& status) {
    return reconcile::FleetViews{{kGateway, ToFleetView(kGateway, {}, {Peer(status)}, snapshots_)}};
  };

  EXPECT_FALSE(reconcile::Compare(views(With({6, 7})), views(With({7, 7}))).nodes);
  EXPECT_TRUE(reconcile::Compare(views(GatewayStatus()), views(With({7}))).nodes);
}

TEST_F(FleetViewTest, TheStatusOfAGatewayCountsTheDataPlanesOfAllReplicas) {
  GatewayStatus elsewhere = With({6, 7});  // and one that has not said anything
  elsewhere.set_data_planes(3);
  serve::NodeReport here;
  here.node = "here";
  here.acknowledged = SnapshotWith(7);
  reconcile::GatewayStatus status;
  status.snapshot = "hash 7";

  reconcile::AddFleet(ToFleetView(kGateway, {here}, {Peer(elsewhere)}, snapshots_), status);

  EXPECT_EQ(status.connected, 4u);
  EXPECT_EQ(status.current, 2u);
  ASSERT_EQ(status.nodes.size(), 1u);
  EXPECT_EQ(status.nodes[0].name, "here");
  EXPECT_EQ(status.programmed.reason, "Programmed");
}

TEST_F(FleetViewTest, WhatADataPlaneCannotServeOfAGatewayIsInItsStatus) {
  serve::ResourceProblem problem;
  problem.code = v1::Rejection::INVALID;
  problem.field = "listeners";
  problem.message = "public: the key is not that of the certificate";
  serve::NodeReport here;
  here.acknowledged = SnapshotWith(7);
  const auto programmed = [&](const GatewayStatus& elsewhere) {
    reconcile::GatewayStatus status;
    status.snapshot = "hash 7";
    reconcile::AddFleet(ToFleetView(kGateway, {here}, {Peer(elsewhere)}, snapshots_), status);
    return status.programmed;
  };
  EXPECT_EQ(programmed(With({7})).status, reconcile::ConditionStatus::kTrue);

  here.refused[{compile::ResourceKind::kGateway, kGateway}] = problem;
  const reconcile::Condition refused = programmed(With({7}));
  EXPECT_EQ(refused.status, reconcile::ConditionStatus::kFalse);
  EXPECT_EQ(refused.reason, "Invalid");
  EXPECT_EQ(refused.message, "listeners: public: the key is not that of the certificate");

  here.refused.clear();
  GatewayStatus elsewhere = With({7});
  v1::PeerFinding& finding = *elsewhere.add_findings();
  finding.set_is_about_gateway(true);
  finding.set_api(kGateway);
  finding.set_message("hosts that it does not know");
  EXPECT_EQ(programmed(elsewhere).reason, "RejectedByDataPlane");
}

TEST_F(FleetViewTest, RemembersABoundedNumberOfSnapshots) {
  for (uint64_t hash = 0; hash <= RecentSnapshots::kRemembered; ++hash) {
    snapshots_.Add(kGateway, SnapshotWith(hash));
  }

  EXPECT_EQ(snapshots_.Find(kGateway, "hash 0"), nullptr);
  EXPECT_NE(snapshots_.Find(kGateway, "hash 1"), nullptr);
}

}  // namespace
}  // namespace rota::controller
