#include "controller/serve/sync_service.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <thread>

#include "controller/serve/test_snapshots.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A transport that keeps what is written; the test says when a write is done.
class FakeStream final : public ServerStream {
 public:
  void StartWrite(v1::ServerMessage message) override {
    std::lock_guard guard(mutex_);
    EXPECT_FALSE(writing_) << "two writes at once";
    EXPECT_FALSE(finished_.has_value()) << "a write after the end";
    writing_ = true;
    written_.push_back(std::move(message));
    changed_.notify_all();
  }
  void Finish(const absl::Status& status) override {
    std::lock_guard guard(mutex_);
    EXPECT_FALSE(writing_) << "the end during a write";
    EXPECT_FALSE(finished_.has_value()) << "two ends";
    finished_ = status;
    changed_.notify_all();
  }
  void Cancel() override {
    std::lock_guard guard(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  void Done(SyncService::Connection& connection, bool ok = true) {
    {
      std::lock_guard guard(mutex_);
      EXPECT_TRUE(writing_);
      writing_ = false;
    }
    connection.OnWriteDone(ok);
  }
  // Lets writes pass until there is nothing more to say; returns what was said.
  std::vector<v1::ServerMessage> Drain(SyncService::Connection& connection) {
    while (writing()) {
      Done(connection);
    }
    std::lock_guard guard(mutex_);
    return std::exchange(written_, {});
  }
  bool writing() {
    std::lock_guard guard(mutex_);
    return writing_;
  }
  // The timer's thread does things of its own: looks again and again, with a deadline.
  template <typename Predicate>
  bool Await(Predicate predicate) {
    RealClock real;
    const MonotonicTime deadline = real.Now() + seconds(10);
    std::unique_lock lock(mutex_);
    while (!predicate(*this) && real.Now() < deadline) {
      changed_.wait_for(lock, std::chrono::milliseconds(1));
    }
    return predicate(*this);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;
  std::vector<v1::ServerMessage> written_;
  std::optional<absl::Status> finished_;
  bool cancelled_ = false;
};

constexpr char kGateway[] = "default/rota";

v1::ClientMessage Hello(const std::string& node, const std::string& gateway = kGateway) {
  v1::ClientMessage message;
  message.mutable_hello()->set_node(node);
  message.mutable_hello()->set_gateway(gateway);
  return message;
}

v1::ClientMessage SuspensionReport(const std::string& target, uint64_t epoch, bool lifted = false) {
  v1::ClientMessage message;
  v1::Suspension& item = *message.mutable_report()->add_items();
  item.set_target(target);
  item.set_epoch(epoch);
  item.set_reason(v1::QUOTA);
  item.mutable_remaining()->set_seconds(60);
  item.set_lifted(lifted);
  return message;
}

class SyncServiceTest : public ::testing::Test {
 protected:
  struct Peer {
    FakeStream stream;
    std::shared_ptr<SyncService::Connection> connection;
  };
  ~SyncServiceTest() override {
    for (const auto& peer : peers_) {
      peer->connection->OnDone();
    }
  }
  Peer& Open(const std::string& node, const std::string& gateway = kGateway) {
    auto peer = std::make_unique<Peer>();
    auto connection = service_.Accept(peer->stream, {});
    EXPECT_TRUE(connection.ok()) << connection.status();
    peer->connection = *connection;
    peer->connection->OnMessage(Hello(node, gateway));
    return *peers_.emplace_back(std::move(peer));
  }
  static ServiceOptions Options() {
    ServiceOptions options;
    options.new_streams_burst = 5;
    return options;
  }

  FakeClock clock_;
  std::atomic<int> fleet_changes_{0};
  SyncService service_{Options(), clock_};
  const bool published_ = service_.Publish(kGateway, MakeSnapshot({{"ns/a", 1}}));
  std::vector<std::unique_ptr<Peer>> peers_;
};

TEST_F(SyncServiceTest, RefusesStreamsUntilASnapshotIsPublished) {
  SyncService service({}, clock_);
  FakeStream stream;
  EXPECT_EQ(service.Accept(stream, {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service.stats().streams_refused, 1u);
}

TEST_F(SyncServiceTest, RefusesABurstOfNewStreamsAndRecovers) {
  for (int i = 0; i < 5; ++i) {
    Open("node-" + std::to_string(i));
  }
  FakeStream stream;
  EXPECT_EQ(service_.Accept(stream, {}).status().code(), absl::StatusCode::kResourceExhausted);

  clock_.Advance(seconds(1));

  Open("node-5");
}

TEST_F(SyncServiceTest, EveryDataPlaneHasAPlaceWhileItsStreamLasts) {
  const auto place = [](Peer& peer) {
    return peer.stream.Drain(*peer.connection).at(0).welcome().rotation_phase();
  };
  EXPECT_EQ(place(Open("node-0")), 0u);
  Peer& second = Open("node-1");
  EXPECT_EQ(place(second), 1u);
  EXPECT_EQ(place(Open("node-2")), 2u);

  second.connection->OnDone();
  second.connection.reset();
  std::erase_if(peers_, [](const auto& peer) { return peer->connection == nullptr; });

  EXPECT_EQ(place(Open("node-3")), 1u);
  EXPECT_EQ(place(Open("node-4")), 3u);
}

TEST_F(SyncServiceTest, ASlowReaderHasOneWriteInFlightAndGetsTheNewestAfterIt) {
  Peer& peer = Open("node");
  peer.stream.Drain(*peer.connection);
  v1::ClientMessage ack;
  ack.mutable_ack()->set_transaction(1);
  peer.connection->OnMessage(ack);
  service_.Publish(kGateway, MakeSnapshot({{"ns/a", 2}}));
  EXPECT_TRUE(peer.stream.writing());
  for (uint64_t version = 3; version < 20; ++version) {
    service_.Publish(kGateway, MakeSnapshot({{"ns/a", version}}));
  }

  const auto first = peer.stream.Drain(*peer.connection);
  ack.mutable_ack()->set_transaction(2);
  peer.connection->OnMessage(ack);
  const auto second = peer.stream.Drain(*peer.connection);

  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].chunk().upserts(0).hash(), 2u);
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].chunk().upserts(0).hash(), 19u);
}

TEST_F(SyncServiceTest, LargeTransactionsGoToAFewAtATime) {
  ServiceOptions options;
  options.session.gated_bytes = 1;
  options.transfers = 1;
  SyncService service(options, clock_);
  service.Publish(kGateway, MakeSnapshot({{"ns/a", 1}}));
  FakeStream first;
  FakeStream second;
  const auto a = *service.Accept(first, {});
  const auto b = *service.Accept(second, {});
  const auto has_chunk = [](const std::vector<v1::ServerMessage>& messages) {
    return std::any_of(messages.begin(), messages.end(),
                       [](const v1::ServerMessage& message) { return message.has_chunk(); });
  };
  a->OnMessage(Hello("node-a"));
  first.Done(*a);  // Welcome; suspensions are under way
  first.Done(*a);  // the chunk is under way
  b->OnMessage(Hello("node-b"));
  second.Done(*b);
  second.Done(*b);
  EXPECT_FALSE(second.writing());

  EXPECT_TRUE(has_chunk(first.Drain(*a)));

  EXPECT_TRUE(second.Await([](FakeStream& stream) { return stream.written_.size() == 3; }));

  EXPECT_TRUE(has_chunk(second.Drain(*b)));
  a->OnDone();
  b->OnDone();
}

TEST_F(SyncServiceTest, ASuspensionGoesToEveryOtherDataPlaneAtOnce) {
  Peer& a = Open("node-a");
  Peer& b = Open("node-b");
  Peer& c = Open("node-c");
  for (Peer* peer : {&a, &b, &c}) {
    peer->stream.Drain(*peer->connection);
  }

  a.connection->OnMessage(SuspensionReport("t", 1));

  EXPECT_THAT(a.stream.Drain(*a.connection), SizeIs(0));
  for (Peer* peer : {&b, &c}) {
    const auto told = peer->stream.Drain(*peer->connection);
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0].suspensions().items(0).target(), "t");
    EXPECT_FALSE(told[0].suspensions().full());
  }
  const auto late = Open("node-d").stream.Drain(*peers_.back()->connection);
  ASSERT_GE(late.size(), 2u);
  EXPECT_TRUE(late[1].suspensions().full());
  EXPECT_EQ(late[1].suspensions().items(0).target(), "t");
}

TEST_F(SyncServiceTest, ALiftByHandReachesAllAndTheListener) {
  Peer& a = Open("node-a");
  a.stream.Drain(*a.connection);
  a.connection->OnMessage(SuspensionReport("t", 1));
  std::atomic<int> calls{0};
  service_.SetSuspensionListener([&] { ++calls; });

  service_.LiftSuspensions("t");

  const auto told = a.stream.Drain(*a.connection);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_TRUE(told[0].suspensions().items(0).lifted());
  EXPECT_EQ(calls, 1);
  service_.SetSuspensionListener(nullptr);
}

TEST_F(SyncServiceTest, TheSecondWitnessIsToldOfTheFirst) {
  Peer& a = Open("node-a");
  Peer& b = Open("node-b");
  for (Peer* peer : {&a, &b}) {
    peer->stream.Drain(*peer->connection);
  }
  v1::ClientMessage report = SuspensionReport("t", 1);
  report.mutable_report()->mutable_items(0)->set_reason(v1::AUTH);
  a.connection->OnMessage(report);
  EXPECT_THAT(b.stream.Drain(*b.connection), SizeIs(0));

  b.connection->OnMessage(report);

  for (Peer* peer : {&a, &b}) {
    const auto told = peer->stream.Drain(*peer->connection);
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_THAT(told[0].suspensions().items(), SizeIs(2));
  }
}

TEST_F(SyncServiceTest, DataPlanesThatComeAtOnceAreAllCounted) {
  ServiceOptions options;
  options.new_streams_burst = 1e6;
  SyncService service(options, clock_);
  service.Publish(kGateway, MakeSnapshot({{"ns/a", 1}}));
  for (int round = 0; round < 1000; ++round) {
    std::array<FakeStream, 2> streams;
    std::array<std::shared_ptr<SyncService::Connection>, 2> connections;
    std::transform(streams.begin(), streams.end(), connections.begin(),
                   [&](FakeStream& stream) { return *service.Accept(stream, {}); });
    std::barrier start(2);
    const auto come = [&](size_t i) {
      start.arrive_and_wait();
      connections[i]->OnMessage(Hello("node-" + std::to_string(i)));
    };
    std::thread other([&] { come(1); });
    come(0);
    other.join();

    // One of two is not believed alone.
    v1::ClientMessage report = SuspensionReport("t" + std::to_string(round), 1);
    report.mutable_report()->mutable_items(0)->set_reason(v1::AUTH);
    const HubChanges changes = service.gateways().Find(kGateway)->hub.Merge(
        "node-0", report.report().items(), clock_.Now(), clock_.Now());
    EXPECT_THAT(changes.shared, SizeIs(0)) << "round " << round;
    for (const auto& connection : connections) {
      connection->OnDone();
    }
  }
}

TEST_F(SyncServiceTest, PeersHearWhatDataPlanesSayAndDataPlanesWhatPeersSay) {
  Peer& a = Open("node-a");
  a.stream.Drain(*a.connection);
  std::vector<SharedSuspension> heard;
  service_.SetPeerHooks({.told = [&](const std::string&, const auto& news) { heard = news; },
                         .connected = {},
                         .acknowledged = {}});

  a.connection->OnMessage(SuspensionReport("t", 1));
  ASSERT_THAT(heard, SizeIs(1));
  EXPECT_EQ(heard[0].origin, "node-a");
  heard.clear();
  SuspensionHub::Items items;
  *items.Add() = SuspensionReport("u", 4).report().items(0);
  items.Mutable(0)->set_origin("node-z");
  EXPECT_THAT(service_.MergeFromPeer(kGateway, items, clock_.Now()), SizeIs(1));
  EXPECT_THAT(service_.MergeFromPeer(kGateway, items, clock_.Now()), SizeIs(0));

  EXPECT_THAT(heard, SizeIs(0));
  const auto told = a.stream.Drain(*a.connection);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].suspensions().items(0).origin(), "node-z");
  service_.SetPeerHooks({});
}

TEST_F(SyncServiceTest, AProtocolErrorEndsTheStreamWithItsReasonAfterTheWriteInFlight) {
  Peer& peer = Open("node");
  ASSERT_TRUE(peer.stream.writing());

  peer.connection->OnMessage(Hello("node"));

  EXPECT_FALSE(peer.stream.finished_.has_value());
  peer.stream.Done(*peer.connection);
  ASSERT_TRUE(peer.stream.finished_.has_value());
  EXPECT_EQ(peer.stream.finished_->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(service_.stats().protocol_errors, 1u);
}

TEST_F(SyncServiceTest, ASilentDataPlaneIsClosedAndCancelledWhenItDoesNotRead) {
  Peer& peer = Open("node");
  ASSERT_TRUE(peer.stream.writing());

  clock_.Advance(seconds(46));
  // The write in flight never ends: the status cannot be sent.
  ASSERT_TRUE(peer.stream.Await([&](FakeStream&) { return service_.stats().timeouts == 1; }));
  clock_.Advance(seconds(6));

  EXPECT_TRUE(peer.stream.Await([](FakeStream& stream) { return stream.cancelled_; }));
  peer.stream.Done(*peer.connection, false);
  EXPECT_EQ(peer.stream.finished_->code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SyncServiceTest, HeartbeatsComeWithoutAnyOtherEvent) {
  Peer& peer = Open("node");
  peer.stream.Drain(*peer.connection);
  clock_.Advance(seconds(16));
  EXPECT_TRUE(peer.stream.Await([](FakeStream& stream) { return !stream.written_.empty(); }));
  EXPECT_TRUE(peer.stream.Drain(*peer.connection)[0].has_heartbeat());
}

TEST_F(SyncServiceTest, DrainTellsAllAndRefusesNewStreams) {
  Peer& peer = Open("node");
  peer.stream.Drain(*peer.connection);
  service_.Drain(seconds(5));
  EXPECT_TRUE(peer.stream.Drain(*peer.connection)[0].has_drain());
  FakeStream stream;
  EXPECT_EQ(service_.Accept(stream, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SyncServiceTest, TheFleetShowsWhoIsConnectedAndWhatIsApplied) {
  service_.gateways().Find(kGateway)->fleet.AddListener([this] { ++fleet_changes_; });
  Peer& a = Open("node-a");
  EXPECT_EQ(service_.gateways().Find(kGateway)->fleet.connected(), 1u);
  EXPECT_EQ(service_.gateways().Find(kGateway)->fleet.Nodes()[0].acknowledged, nullptr);
  a.stream.Drain(*a.connection);
  v1::ClientMessage ack;
  ack.mutable_ack()->set_transaction(1);

  a.connection->OnMessage(ack);

  const auto nodes = service_.gateways().Find(kGateway)->fleet.Nodes();
  ASSERT_THAT(nodes, SizeIs(1));
  EXPECT_EQ(nodes[0].node, "node-a");
  EXPECT_EQ(nodes[0].AppliedHash({compile::ResourceKind::kApi, "ns/a"}), 1u);
  EXPECT_EQ(fleet_changes_, 2);
}

TEST_F(SyncServiceTest, EveryGatewayHasItsOwnConfigurationAndSuspensions) {
  service_.Publish("team/edge", MakeSnapshot({{"ns/b", 7}}));
  Peer& a = Open("node-a");
  Peer& b = Open("node-b", "team/edge");
  Peer& c = Open("node-c", "team/edge");
  const auto told_a = a.stream.Drain(*a.connection);
  const auto told_b = b.stream.Drain(*b.connection);
  c.stream.Drain(*c.connection);
  EXPECT_EQ(told_a.at(2).chunk().upserts(0).id().name(), "ns/a");
  EXPECT_EQ(told_b.at(2).chunk().upserts(0).id().name(), "ns/b");
  EXPECT_EQ(told_a.at(0).welcome().rotation_phase(), 0u);
  EXPECT_EQ(told_b.at(0).welcome().rotation_phase(), 0u);

  b.connection->OnMessage(SuspensionReport("t", 1));

  EXPECT_THAT(c.stream.Drain(*c.connection), SizeIs(1));
  EXPECT_THAT(a.stream.Drain(*a.connection), SizeIs(0));
  EXPECT_EQ(service_.gateways().Find(kGateway)->fleet.connected(), 1u);
  EXPECT_EQ(service_.gateways().Find("team/edge")->fleet.connected(), 2u);
}

TEST_F(SyncServiceTest, AnUnknownGatewayIsRefusedAndTheOnesThatExistAreNamed) {
  service_.Publish("team/edge", MakeSnapshot({}));

  Peer& peer = Open("node", "team/egde");

  ASSERT_TRUE(peer.stream.finished_.has_value());
  EXPECT_EQ(peer.stream.finished_->code(), absl::StatusCode::kNotFound);
  const std::string text(peer.stream.finished_->message());
  EXPECT_THAT(text, HasSubstr("no gateway 'team/egde'"));
  EXPECT_THAT(text, HasSubstr("'default/rota', 'team/edge'"));
}

TEST_F(SyncServiceTest, StreamsOfAGatewayThatIsRemovedEndAndTheOthersGoOn) {
  service_.Publish("team/edge", MakeSnapshot({{"ns/b", 7}}));
  Peer& a = Open("node-a");
  Peer& b = Open("node-b", "team/edge");
  a.stream.Drain(*a.connection);
  b.stream.Drain(*b.connection);

  service_.RemoveGateway("team/edge");

  ASSERT_TRUE(b.stream.finished_.has_value());
  EXPECT_EQ(b.stream.finished_->code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(b.stream.finished_->message()), HasSubstr("no longer served"));
  EXPECT_FALSE(a.stream.finished_.has_value());
  EXPECT_TRUE(Open("node-c", "team/edge").stream.finished_.has_value());
}

}  // namespace
}  // namespace rota::serve
