// Both ends of the sync protocol against each other, threads and all, without gRPC.

#include "tests/integration/sync_in_process.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/sync_fleet.h"

namespace rota::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::SizeIs;

const compile::ResourceKey kA{compile::ResourceKind::kApi, "ns/a"};

class SyncInProcessTest : public ::testing::Test {
 protected:
  // Controllers outlive the network, the network outlives the data planes.
  TestController& AddController() {
    serve::ServiceOptions options;
    options.new_streams_burst = 1000;
    return *controllers_.emplace_back(std::make_unique<TestController>(clock_, options));
  }
  void StartNetwork() {
    network_ = std::make_unique<InProcessNetwork>(controllers_.size());
    for (size_t i = 0; i < controllers_.size(); ++i) {
      network_->SetService(i, &controllers_[i]->service);
    }
  }
  TestDataPlane& AddDataPlane(const std::string& node) {
    sync::SyncClientOptions options;
    options.first_retry = milliseconds(1);
    options.longest_retry = milliseconds(20);
    return *planes_.emplace_back(
        std::make_unique<TestDataPlane>(node, network_->MakeTransport(), clock_, options));
  }

  RealClock clock_;
  std::vector<std::unique_ptr<TestController>> controllers_;
  std::unique_ptr<InProcessNetwork> network_;
  std::vector<std::unique_ptr<TestDataPlane>> planes_;
};

TEST_F(SyncInProcessTest, EveryDataPlaneFollowsEverySnapshot) {
  TestController& controller = AddController();
  controller.Publish({{"ns/a", 1}, {"ns/b", 1}});
  StartNetwork();
  for (int i = 0; i < 4; ++i) {
    AddDataPlane("node-" + std::to_string(i));
  }
  for (uint64_t version = 2; version <= 200; ++version) {
    controller.Publish({{"ns/a", version}, {"ns/b", 1}});
  }

  for (const auto& plane : planes_) {
    ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 200; }));
    EXPECT_EQ(plane->Version("ns/b"), 1u);
  }
  ASSERT_TRUE(Await([&] {
    const auto nodes = controller.gateway.fleet.Nodes();
    return nodes.size() == 4 && std::all_of(nodes.begin(), nodes.end(), [](const auto& node) {
             return node.AppliedHash(kA) == 200;
           });
  }));
}

TEST_F(SyncInProcessTest, ARejectionReachesTheFleetViewAndItsFixToo) {
  TestController& controller = AddController();
  controller.Publish({{"ns/a", 1}});
  StartNetwork();
  TestDataPlane& plane = AddDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));
  plane.Reject("ns/a", 2);
  const auto node = [&] { return controller.gateway.fleet.Nodes().at(0); };

  controller.Publish({{"ns/a", 2}});
  ASSERT_TRUE(Await([&] { return !node().rejected.empty(); }));
  EXPECT_EQ(node().rejected.at(kA).message, "rejected by the test");
  EXPECT_EQ(node().AppliedHash(kA), 1u);

  controller.Publish({{"ns/a", 3}});
  ASSERT_TRUE(Await([&] { return node().AppliedHash(kA) == 3; }));
  EXPECT_TRUE(node().rejected.empty());
  EXPECT_EQ(node().applied_snapshot_hash, controller.gateway.snapshots.Get()->hash);
}

TEST_F(SyncInProcessTest, AReconnectToAnotherReplicaMovesNothing) {
  TestController& first = AddController();
  TestController& second = AddController();
  first.Publish({{"ns/a", 1}, {"ns/b", 1}});
  second.Publish({{"ns/a", 1}, {"ns/b", 1}});
  EXPECT_EQ(first.gateway.snapshots.Get()->hash, second.gateway.snapshots.Get()->hash);
  StartNetwork();
  TestDataPlane& plane = AddDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane.applied() == 1; }));
  const auto acknowledged = [&] {
    return first.service.stats().acknowledgements + second.service.stats().acknowledgements;
  };
  ASSERT_TRUE(Await([&] { return acknowledged() == 1; }));

  network_->Cut();

  ASSERT_TRUE(Await([&] { return acknowledged() == 2; }));
  EXPECT_EQ(plane.applied(), 1);
  EXPECT_EQ(plane.state().streams, 2u);
}

TEST_F(SyncInProcessTest, APartitionKeepsEverythingAndChangesArriveAfterIt) {
  TestController& controller = AddController();
  controller.Publish({{"ns/a", 1}});
  StartNetwork();
  TestDataPlane& plane = AddDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));

  network_->SetService(0, nullptr);
  network_->Cut();
  ASSERT_TRUE(Await([&] { return !plane.state().connected && plane.state().streams > 3; }));
  controller.Publish({{"ns/a", 2}});
  EXPECT_EQ(plane.Version("ns/a"), 1u);
  EXPECT_TRUE(plane.state().ready());

  network_->SetService(0, &controller.service);
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 2; }));
}

TEST_F(SyncInProcessTest, TenThousandResourcesArriveWhole) {
  TestController& controller = AddController();
  std::vector<serve::TestResource> resources;
  for (int i = 0; i < 10'000; ++i) {
    resources.push_back({"ns/api-" + std::to_string(i), 1, compile::ResourceKind::kApi, 1000});
  }
  controller.Publish(resources);
  StartNetwork();
  TestDataPlane& plane = AddDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane.resources() == 10'000; }));
  resources[5000].version = 2;
  controller.Publish(resources);
  ASSERT_TRUE(Await([&] { return plane.Version("ns/api-5000") == 2; }));
  EXPECT_EQ(plane.applied(), 2);
}

TEST_F(SyncInProcessTest, ASuspensionSpreadsAndALiftToo) {
  TestController& controller = AddController();
  controller.Publish({{"ns/a", 1}});
  StartNetwork();
  TestDataPlane& a = AddDataPlane("a");
  TestDataPlane& b = AddDataPlane("b");
  TestDataPlane& c = AddDataPlane("c");
  ASSERT_TRUE(Await([&] { return controller.gateway.fleet.connected() == 3; }));

  a.Suspend(1, seconds(60));

  ASSERT_TRUE(Await([&] { return b.IsSuspended("t1") && c.IsSuspended("t1"); }));
  EXPECT_FALSE(b.IsSuspended("t0"));
  ASSERT_THAT(controller.gateway.hub.Active(clock_.Now()), SizeIs(1));
  b.Lift("t1");
  ASSERT_TRUE(
      Await([&] { return !a.IsSuspended("t1") && !b.IsSuspended("t1") && !c.IsSuspended("t1"); }));
  c.Suspend(2, seconds(60));
  ASSERT_TRUE(Await([&] { return a.IsSuspended("t2"); }));
  controller.service.LiftSuspensions("t2");
  ASSERT_TRUE(Await([&] { return !a.IsSuspended("t2") && !c.IsSuspended("t2"); }));
}

TEST_F(SyncInProcessTest, ADataPlaneThatComesLaterIsToldTheCurrentSuspensions) {
  TestController& controller = AddController();
  controller.Publish({{"ns/a", 1}});
  StartNetwork();
  AddDataPlane("a").Suspend(0, seconds(60));
  ASSERT_TRUE(Await([&] { return controller.gateway.hub.Active(clock_.Now()).size() == 1; }));
  TestDataPlane& late = AddDataPlane("late");
  ASSERT_TRUE(Await([&] { return late.IsSuspended("t0"); }));
}

TEST_F(SyncInProcessTest, AControllerThatKnowsNothingIsToldAgain) {
  TestController& first = AddController();
  first.Publish({{"ns/a", 1}});
  TestController fresh(clock_);
  fresh.Publish({{"ns/a", 1}});
  StartNetwork();
  TestDataPlane& a = AddDataPlane("a");
  a.Suspend(0, seconds(60));
  ASSERT_TRUE(Await([&] { return first.gateway.hub.Active(clock_.Now()).size() == 1; }));

  network_->SetService(0, &fresh.service);
  network_->Cut();

  EXPECT_TRUE(Await([&] { return fresh.gateway.hub.Active(clock_.Now()).size() == 1; }));
  planes_.clear();
  network_.reset();  // before `fresh`
}

TEST_F(SyncInProcessTest, SurvivesCutsChangesAndSuspensionsAllAtOnce) {
  TestController& first = AddController();
  TestController& second = AddController();
  const auto publish = [&](uint64_t version) {
    for (TestController* controller : {&first, &second}) {
      controller->Publish({{"ns/a", version}, {"ns/b", version / 3 + 1}});
    }
  };
  publish(1);
  StartNetwork();
  for (int i = 0; i < 3; ++i) {
    AddDataPlane("node-" + std::to_string(i));
  }
  for (uint64_t version = 2; version <= 60; ++version) {
    publish(version);
    planes_[version % 3]->Suspend(version % 2, seconds(static_cast<int64_t>(30 + version)));
    if (version % 10 == 0) {
      network_->Cut();
    }
    ASSERT_TRUE(Await([&] { return planes_[0]->Version("ns/a") + 5 > version; }));
  }
  for (const auto& plane : planes_) {
    ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 60; }));
    EXPECT_TRUE(plane->IsSuspended("t0"));
    EXPECT_TRUE(plane->IsSuspended("t1"));
  }
}

}  // namespace
}  // namespace rota::tests
