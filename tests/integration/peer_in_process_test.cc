// Replicas that exchange suspensions, and their data planes, threads and all, without gRPC.

#include "tests/integration/peer_in_process.h"

#include <array>
#include <atomic>
#include <barrier>
#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/sync_fleet.h"

namespace rota::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::SizeIs;

// A controller with its data planes; all of it can go and come back.
struct Replica {
  Replica(Clock& clock, const std::string& name) : controller(clock) {
    serve::PeerOptions options;
    options.replica = name;
    options.first_retry = milliseconds(1);
    options.longest_retry = milliseconds(50);
    exchange.emplace(std::move(options), controller.service, clock);
    controller.Publish({{"ns/a", 1}});
    road.SetService(0, &controller.service);
  }
  size_t active(const Clock& clock) const {
    return controller.gateway.hub.Active(clock.Now()).size();
  }

  TestController controller;
  std::optional<serve::PeerExchange> exchange;
  InProcessNetwork road{1};  // to the data planes
};

class PeerInProcessTest : public ::testing::Test {
 protected:
  ~PeerInProcessTest() override {
    planes_.clear();
    for (const auto& replica : replicas_) {
      if (replica != nullptr) {
        replica->exchange->Stop();
      }
    }
    network_.reset();
  }
  void Start(size_t replicas) {
    network_.emplace(replicas);
    replicas_.resize(replicas);
    for (size_t i = 0; i < replicas; ++i) {
      Begin(i);
    }
  }
  void Begin(size_t index) {
    replicas_[index] = std::make_unique<Replica>(clock_, "replica-" + std::to_string(lives_++));
    network_->SetExchange(index, &*replicas_[index]->exchange);
    replicas_[index]->exchange->Start(network_->MakeDialler(index));
  }
  void End(size_t index) {
    network_->SetExchange(index, nullptr);
    replicas_[index]->exchange->Stop();
    for (size_t other = 0; other < replicas_.size(); ++other) {
      network_->SetRoad(index, other, false);
    }
    ASSERT_TRUE(Await([&] { return replicas_[index]->exchange->Peers().empty(); }));
    retired_.push_back(std::move(replicas_[index]));  // streams may still speak
    for (size_t other = 0; other < replicas_.size(); ++other) {
      network_->SetRoad(index, other, true);
    }
  }
  // Until every replica is connected to every other one.
  bool AwaitMesh() {
    return Await([&] {
      return std::all_of(replicas_.begin(), replicas_.end(), [&](const auto& replica) {
        return replica->exchange->Peers().size() == replicas_.size() - 1;
      });
    });
  }
  TestDataPlane& AddDataPlane(const std::string& node, size_t replica) {
    sync::SyncClientOptions options;
    options.first_retry = milliseconds(1);
    options.longest_retry = milliseconds(20);
    options.remind_within = milliseconds(50);
    TestDataPlane& plane = *planes_.emplace_back(std::make_unique<TestDataPlane>(
        node, replicas_[replica]->road.MakeTransport(), clock_, options));
    EXPECT_TRUE(Await([&] { return plane.state().connected; }));
    return plane;
  }

  RealClock clock_;
  int lives_ = 0;
  std::vector<std::unique_ptr<Replica>> retired_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::optional<PeerNetwork> network_;
  std::vector<std::unique_ptr<TestDataPlane>> planes_;
};

TEST_F(PeerInProcessTest, ASuspensionReachesTheDataPlanesOfEveryReplicaAndGoesNoFurther) {
  Start(3);
  ASSERT_TRUE(AwaitMesh());
  TestDataPlane& a = AddDataPlane("a", 0);
  TestDataPlane& b = AddDataPlane("b", 1);
  TestDataPlane& c = AddDataPlane("c", 2);

  a.Suspend(1, seconds(60));

  ASSERT_TRUE(Await([&] { return b.IsSuspended("t1") && c.IsSuspended("t1"); }));
  b.Lift("t1");
  ASSERT_TRUE(Await([&] { return !a.IsSuspended("t1") && !c.IsSuspended("t1"); }));
  // Two streams between each two replicas, and each replica passes on what was news to it: at most
  // 2 x (2 + 2 x 1) times for each of the two statements.
  uint64_t sent = 0;
  for (const auto& replica : replicas_) {
    sent += replica->exchange->stats().statements_sent;
    EXPECT_LE(replica->exchange->stats().statements_new, 2u);
  }
  EXPECT_LE(sent, 16u);
}

TEST_F(PeerInProcessTest, AReplicaRecognisesItselfAndDialsItselfOnce) {
  Start(1);
  ASSERT_TRUE(Await([&] { return network_->dials() == 1; }));
  TestDataPlane& a = AddDataPlane("a", 0);
  a.Suspend(1, seconds(60));
  ASSERT_TRUE(Await([&] { return replicas_[0]->active(clock_) == 1; }));

  EXPECT_THAT(replicas_[0]->exchange->Peers(), SizeIs(0));
  EXPECT_EQ(replicas_[0]->exchange->stats().statements_sent, 0u);
  EXPECT_EQ(network_->dials(), 1u);
}

// {hash of a snapshot: number of data planes} at the only other replica, as `replica` has been
// told.
std::map<std::string, size_t> Elsewhere(const Replica& replica) {
  std::map<std::string, size_t> snapshots;
  for (const serve::PeerReport& peer : replica.exchange->Peers()) {
    for (const auto& gateway : peer.status->gateways()) {
      for (const auto& acknowledged : gateway.acknowledged()) {
        snapshots[acknowledged.snapshot_hash()] = acknowledged.data_planes();
      }
    }
  }
  return snapshots;
}

TEST_F(PeerInProcessTest, WhatDataPlanesHaveIsKnownToReplicasThatHaveNone) {
  Start(2);
  const auto told = std::make_shared<std::atomic<int>>(0);
  replicas_[0]->exchange->SetFleetListener([told] { ++*told; });
  ASSERT_TRUE(AwaitMesh());
  AddDataPlane("a", 1);
  AddDataPlane("b", 1);
  const auto hash = [&] { return replicas_[1]->controller.gateway.snapshots.Get()->hash; };
  ASSERT_TRUE(Await([&] {
    return Elsewhere(*replicas_[0]) == std::map<std::string, size_t>{{hash(), 2}};
  }));

  const int before = *told;
  replicas_[1]->controller.Publish({{"ns/a", 2}});

  ASSERT_TRUE(Await([&] {
    return Elsewhere(*replicas_[0]) == std::map<std::string, size_t>{{hash(), 2}};
  }));
  EXPECT_TRUE(Await([&] { return *told > before; }));  // after what is told can be read
  planes_.clear();
  ASSERT_TRUE(Await([&] { return Elsewhere(*replicas_[0]).empty(); }));
  const serve::PeerReport peer = replicas_[0]->exchange->Peers()[0];
  EXPECT_EQ(peer.data_planes.at(replicas_[1]->controller.gateway.name), 0u);
}

TEST_F(PeerInProcessTest, AReplicaThatComesLaterOrAgainIsToldEverythingLiftsToo) {
  Start(2);
  ASSERT_TRUE(AwaitMesh());
  TestDataPlane& a = AddDataPlane("a", 0);
  a.Suspend(0, seconds(60));
  a.Suspend(1, seconds(60));
  a.Lift("t1");
  ASSERT_TRUE(Await([&] { return replicas_[1]->active(clock_) == 1; }));

  End(1);
  Begin(1);

  ASSERT_TRUE(Await([&] { return replicas_[1]->active(clock_) == 1; }));
  TestDataPlane& late = AddDataPlane("late", 1);
  ASSERT_TRUE(Await([&] { return late.IsSuspended("t0"); }));
  const auto known = replicas_[1]->controller.gateway.hub.Known(clock_.Now());
  ASSERT_THAT(known, SizeIs(2));
  EXPECT_TRUE(known[1].lifted);
}

TEST_F(PeerInProcessTest, WhereTwoReplicasCannotTalkAThirdOnePassesOn) {
  Start(3);
  ASSERT_TRUE(AwaitMesh());
  network_->SetRoad(0, 1, false);
  TestDataPlane& a = AddDataPlane("a", 0);
  TestDataPlane& b = AddDataPlane("b", 1);

  a.Suspend(2, seconds(60));

  ASSERT_TRUE(Await([&] { return b.IsSuspended("t2"); }));
}

TEST_F(PeerInProcessTest, APartitionKeepsWhatIsKnownAndItsEndBringsTheRest) {
  Start(2);
  ASSERT_TRUE(AwaitMesh());
  TestDataPlane& a = AddDataPlane("a", 0);
  TestDataPlane& b = AddDataPlane("b", 1);
  a.Suspend(0, seconds(60));
  ASSERT_TRUE(Await([&] { return b.IsSuspended("t0"); }));

  network_->SetRoad(0, 1, false);
  ASSERT_TRUE(Await([&] { return replicas_[0]->exchange->Peers().empty(); }));
  a.Suspend(1, seconds(60));
  b.Suspend(2, seconds(60));
  ASSERT_TRUE(Await([&] { return replicas_[0]->active(clock_) == 2; }));
  EXPECT_FALSE(b.IsSuspended("t1"));
  EXPECT_TRUE(b.IsSuspended("t0"));

  network_->SetRoad(0, 1, true);
  ASSERT_TRUE(Await([&] { return a.IsSuspended("t2") && b.IsSuspended("t1"); }));
}

TEST_F(PeerInProcessTest, AuthNeedsASecondWitnessInTheWholeFleet) {
  Start(2);
  ASSERT_TRUE(AwaitMesh());
  TestDataPlane& a = AddDataPlane("a", 0);
  TestDataPlane& b = AddDataPlane("b", 1);
  TestDataPlane& c = AddDataPlane("c", 1);
  ASSERT_TRUE(Await([&] {
    return replicas_[0]->exchange->Peers()[0].data_planes.at(TestController::kGateway) == 2;
  }));

  a.Suspend(1, seconds(60), rotation::Reason::kAuth);
  ASSERT_TRUE(Await([&] { return replicas_[1]->active(clock_) == 1; }));
  EXPECT_FALSE(c.IsSuspended("t1"));
  b.Suspend(1, seconds(60), rotation::Reason::kAuth);

  ASSERT_TRUE(Await([&] { return c.IsSuspended("t1"); }));
}

// A stream of which only the other end is heard.
class SilentStream final : public serve::PeerStream {
 public:
  void StartWrite(sync::v1::PeerMessage) override {}
  void Finish(const absl::Status&) override {}
  void Cancel() override {}
};

TEST_F(PeerInProcessTest, DataPlanesThatComeToTwoReplicasAtOnceAreAllCounted) {
  TestController controller(clock_);
  serve::PeerOptions options;
  options.replica = "self";
  serve::PeerExchange exchange(options, controller.service, clock_);
  std::array<SilentStream, 2> streams;
  std::array<std::shared_ptr<serve::PeerExchange::Connection>, 2> connections;
  for (size_t i = 0; i < 2; ++i) {
    connections[i] = *exchange.Accept(streams[i], {});
    sync::v1::PeerMessage hello;
    hello.mutable_hello()->set_replica("replica-" + std::to_string(i));
    connections[i]->OnMessage(hello);
  }
  const auto say = [&](size_t i, uint32_t data_planes) {
    sync::v1::PeerMessage message;
    auto& gateway = *message.mutable_status()->add_gateways();
    gateway.set_name(TestController::kGateway);
    gateway.set_data_planes(data_planes);
    connections[i]->OnMessage(message);
  };
  for (int round = 0; round < 1000; ++round) {
    say(0, 0);
    say(1, 0);
    std::barrier start(2);
    const auto come = [&](size_t i) {
      start.arrive_and_wait();
      say(i, 1);
    };
    std::thread other([&] { come(1); });
    come(0);
    other.join();

    // One of two is not believed alone.
    serve::SuspensionHub::Items items;
    sync::v1::Suspension& item = *items.Add();
    item.set_target("t" + std::to_string(round));
    item.set_epoch(1);
    item.set_reason(sync::v1::AUTH);
    item.mutable_remaining()->set_seconds(60);
    const auto changes = controller.gateway.hub.Merge("a", items, clock_.Now(), clock_.Now());
    EXPECT_THAT(changes.shared, SizeIs(0)) << "round " << round;
  }
  exchange.Stop();
  for (const auto& connection : connections) {
    connection->OnDone();
  }
}

TEST_F(PeerInProcessTest, AControllerThatKnowsNothingIsToldByThoseWhoOnlyHeardOfIt) {
  Start(1);
  {
    TestDataPlane& origin = AddDataPlane("origin", 0);
    TestDataPlane& witness = AddDataPlane("witness", 0);
    origin.Suspend(1, seconds(60));
    ASSERT_TRUE(Await([&] { return witness.IsSuspended("t1"); }));
  }
  planes_.erase(planes_.begin());  // the origin is gone for good
  TestController fresh(clock_);
  fresh.Publish({{"ns/a", 1}});
  replicas_[0]->road.SetService(0, &fresh.service);
  replicas_[0]->road.Cut();

  EXPECT_TRUE(Await([&] {
    const auto active = fresh.gateway.hub.Active(clock_.Now());
    return active.size() == 1 && active[0].origin == "origin";
  }));
  planes_.clear();
  retired_.push_back(std::move(replicas_[0]));
  retired_[0]->exchange->Stop();
  network_.reset();
  retired_.clear();  // before `fresh`
}

TEST_F(PeerInProcessTest, SurvivesReplicasThatComeAndGoWhileEverybodySpeaks) {
  Start(3);
  std::vector<TestDataPlane*> planes;
  for (size_t i = 0; i < 3; ++i) {
    planes.push_back(&AddDataPlane("node-" + std::to_string(i), i));
  }
  for (size_t round = 0; round < 40; ++round) {
    planes[round % 3]->Suspend(round % 3, seconds(static_cast<int64_t>(30 + round)));
    const size_t one = round % 3;
    const size_t other = (round + 1) % 3;
    network_->SetRoad(one, other, round % 2 == 0);
    if (round % 7 == 0) {
      planes[other]->Lift("t" + std::to_string(one));
    }
  }
  for (size_t one = 0; one < 3; ++one) {
    network_->SetRoad(one, (one + 1) % 3, true);
  }
  planes[0]->Suspend(0, seconds(600));
  planes[1]->Suspend(1, seconds(600));
  planes[2]->Suspend(2, seconds(600));

  for (const TestDataPlane* plane : planes) {
    for (const char* target : {"t0", "t1", "t2"}) {
      EXPECT_TRUE(Await([&] { return plane->IsSuspended(target); })) << target;
    }
  }
}

}  // namespace
}  // namespace rota::tests
