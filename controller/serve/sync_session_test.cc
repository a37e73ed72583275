#include "controller/serve/sync_session.h"

#include "controller/serve/test_snapshots.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const compile::ResourceKey kA{compile::ResourceKind::kApi, "ns/a"};

v1::ClientMessage Hello(const std::string& node = "node-1") {
  v1::ClientMessage message;
  message.mutable_hello()->set_node(node);
  message.mutable_hello()->set_gateway("default/rota");
  return message;
}

void Have(v1::ClientMessage& hello, const std::string& name, uint64_t hash) {
  v1::ResourceVersion& version = *hello.mutable_hello()->add_inventory();
  version.mutable_id()->set_kind(v1::API);
  version.mutable_id()->set_name(name);
  version.set_hash(hash);
}

v1::ClientMessage Ack(uint64_t transaction, const std::string& hash = "") {
  v1::ClientMessage message;
  message.mutable_ack()->set_transaction(transaction);
  message.mutable_ack()->set_applied_snapshot_hash(hash);
  return message;
}

void Reject(v1::ClientMessage& ack, const std::string& name, uint64_t rejected, uint64_t kept) {
  v1::Rejection& rejection = *ack.mutable_ack()->add_rejected();
  rejection.mutable_id()->set_kind(v1::API);
  rejection.mutable_id()->set_name(name);
  rejection.set_rejected_hash(rejected);
  rejection.set_kept_hash(kept);
  rejection.set_code(v1::Rejection::INVALID);
  rejection.set_message("weight out of range");
}

// A scripted data plane in front of one session.
class SyncSessionTest : public ::testing::Test {
 protected:
  SyncSessionTest() { snapshots_.Publish(MakeSnapshot({{"ns/a", 1}, {"ns/b", 1}})); }
  void Open(const v1::ClientMessage& hello, PeerIdentity peer = {}) {
    session_.emplace(1, std::move(peer), SyncSession::Shared{options_, gateways_, gate_},
                     clock_.Now());
    ASSERT_TRUE(Receive(hello).ok());
    ASSERT_TRUE(session_->NextMessage(clock_.Now())->has_welcome());
    const auto suspensions = session_->NextMessage(clock_.Now());
    ASSERT_TRUE(suspensions->has_suspensions());
    ASSERT_TRUE(suspensions->suspensions().full());
  }
  absl::Status Receive(const v1::ClientMessage& message) {
    effects_ = {};
    return session_->OnMessage(message, clock_.Now(), effects_);
  }
  // The next message, which has to be a chunk.
  v1::Chunk NextChunk() {
    const auto message = session_->NextMessage(clock_.Now());
    EXPECT_TRUE(message.has_value() && message->has_chunk());
    return message.has_value() ? message->chunk() : v1::Chunk();
  }
  bool Silent() { return !session_->NextMessage(clock_.Now()).has_value(); }

  FakeClock clock_;
  SessionOptions options_;
  GatewayRegistry gateways_;
  ServedGateway& gateway_ = *gateways_.Obtain("default/rota");
  Published<compile::Snapshot>& snapshots_ = gateway_.snapshots;
  SuspensionHub& hub_ = gateway_.hub;
  std::vector<uint64_t> granted_;
  TransferGate gate_{1, seconds(10), [this](uint64_t stream) { granted_.push_back(stream); }};
  std::optional<SyncSession> session_;
  SessionEffects effects_;
};

TEST_F(SyncSessionTest, ANewDataPlaneGetsEverythingAsAFullTransaction) {
  Open(Hello());

  const v1::Chunk chunk = NextChunk();

  EXPECT_EQ(chunk.transaction(), 1u);
  EXPECT_THAT(chunk.upserts(), SizeIs(2));
  EXPECT_TRUE(chunk.commit().full());
  EXPECT_EQ(chunk.commit().resource_count(), 2u);
  EXPECT_EQ(chunk.commit().snapshot_hash(), snapshots_.Get()->hash);
  EXPECT_TRUE(Silent());
}

TEST_F(SyncSessionTest, ADataPlaneThatIsCurrentGetsAnEmptyTransaction) {
  v1::ClientMessage hello = Hello();
  Have(hello, "ns/a", 1);
  Have(hello, "ns/b", 1);
  hello.mutable_hello()->set_snapshot_hash(snapshots_.Get()->hash);
  Open(hello);

  const v1::Chunk chunk = NextChunk();

  EXPECT_THAT(chunk.upserts(), IsEmpty());
  EXPECT_THAT(chunk.removals(), IsEmpty());
  EXPECT_TRUE(chunk.has_commit());
  EXPECT_FALSE(chunk.commit().full());
}

TEST_F(SyncSessionTest, AReconnectMovesOnlyWhatDiffers) {
  v1::ClientMessage hello = Hello();
  Have(hello, "ns/a", 1);
  Have(hello, "ns/b", 77);
  Have(hello, "ns/gone", 5);
  Open(hello);

  const v1::Chunk chunk = NextChunk();

  ASSERT_THAT(chunk.upserts(), SizeIs(1));
  EXPECT_EQ(chunk.upserts(0).id().name(), "ns/b");
  ASSERT_THAT(chunk.removals(), SizeIs(1));
  EXPECT_EQ(chunk.removals(0).name(), "ns/gone");
}

class LaggingReplicaTest : public SyncSessionTest {
 protected:
  static std::shared_ptr<const compile::Snapshot> Built(uint64_t version,
                                                        const std::string& resource_version) {
    auto snapshot = std::make_shared<compile::Snapshot>(*MakeSnapshot({{"ns/a", version}}));
    snapshot->built_from.Raise("API", resource_version);
    return snapshot;
  }
  // A data plane that has version 2, built from 1700; this replica has seen 1600.
  void OpenAhead() {
    snapshots_.Publish(Built(1, "1600"));
    v1::ClientMessage hello = Hello();
    Have(hello, "ns/a", 2);
    hello.mutable_hello()->set_snapshot_hash(Built(2, "1700")->hash);
    v1::KindWatermark& seen = *hello.mutable_hello()->add_seen();
    seen.set_kind("API");
    seen.set_resource_version("1700");
    Open(hello);
  }
};

TEST_F(LaggingReplicaTest, ADataPlaneKeepsWhatIsNewerUntilTheReplicaHasCaughtUp) {
  OpenAhead();
  EXPECT_TRUE(Silent());
  EXPECT_LE(session_->NextDeadline(), clock_.Now() + options_.lag_patience);

  snapshots_.Publish(Built(3, "1800"));

  const v1::Chunk chunk = NextChunk();
  EXPECT_THAT(chunk.upserts(), SizeIs(1));
  EXPECT_EQ(chunk.commit().built_from(0).resource_version(), "1800");
  EXPECT_FALSE(session_->served_stale());
}

TEST_F(LaggingReplicaTest, AReplicaThatDoesNotCatchUpServesWhatItHasInTheEnd) {
  OpenAhead();
  EXPECT_TRUE(Silent());

  clock_.Advance(options_.lag_patience);

  EXPECT_THAT(NextChunk().upserts(), SizeIs(1));
  EXPECT_TRUE(session_->served_stale());
}

TEST_F(LaggingReplicaTest, NobodyWaitsForWhatIsTheSame) {
  snapshots_.Publish(Built(2, "1600"));
  v1::ClientMessage hello = Hello();
  Have(hello, "ns/a", 2);
  hello.mutable_hello()->set_snapshot_hash(snapshots_.Get()->hash);
  v1::KindWatermark& seen = *hello.mutable_hello()->add_seen();
  seen.set_kind("API");
  seen.set_resource_version("1700");
  Open(hello);

  EXPECT_THAT(NextChunk().upserts(), IsEmpty());
}

TEST_F(SyncSessionTest, OneTransactionWaitsForItsAckAndWhatComesMeanwhileCoalesces) {
  Open(Hello());
  NextChunk();
  for (uint64_t version = 2; version < 10; ++version) {
    snapshots_.Publish(MakeSnapshot({{"ns/a", version}, {"ns/b", 1}}));
    EXPECT_TRUE(Silent());
  }

  ASSERT_TRUE(Receive(Ack(1)).ok());
  const v1::Chunk chunk = NextChunk();

  EXPECT_EQ(chunk.transaction(), 2u);
  ASSERT_THAT(chunk.upserts(), SizeIs(1));
  EXPECT_EQ(chunk.upserts(0).hash(), 9u);
  ASSERT_TRUE(Receive(Ack(2)).ok());
  EXPECT_TRUE(Silent());
}

TEST_F(SyncSessionTest, ASlowReaderGetsThePinnedSnapshotChunkByChunk) {
  options_.chunk_bytes = 1000;
  std::vector<TestResource> resources;
  for (int i = 0; i < 20; ++i) {
    resources.push_back({"ns/" + std::to_string(i), 1, compile::ResourceKind::kApi, 600});
  }
  snapshots_.Publish(MakeSnapshot(resources));
  const std::string hash = snapshots_.Get()->hash;
  Open(Hello());
  EXPECT_FALSE(NextChunk().has_commit());

  snapshots_.Publish(MakeSnapshot({{"ns/other", 1}}));

  v1::Chunk chunk;
  int more = 0;
  do {
    chunk = NextChunk();
    ++more;
  } while (!chunk.has_commit() && more < 100);
  EXPECT_EQ(more, 19);
  EXPECT_EQ(chunk.commit().snapshot_hash(), hash);
}

TEST_F(SyncSessionTest, SuspensionsOvertakeChunks) {
  options_.chunk_bytes = 10;
  Open(Hello());
  EXPECT_FALSE(NextChunk().has_commit());

  session_->AddSuspensions({{"t", "node-2", v1::QUOTA, 1, clock_.Now() + seconds(60), false}});

  const auto message = session_->NextMessage(clock_.Now());
  ASSERT_TRUE(message->has_suspensions());
  EXPECT_EQ(message->suspensions().items(0).target(), "t");
  EXPECT_EQ(message->suspensions().items(0).remaining().seconds(), 60);
  EXPECT_TRUE(NextChunk().has_commit());
}

TEST_F(SyncSessionTest, ALargeTransactionWaitsForItsTurnAndSuspensionsDoNot) {
  options_.gated_bytes = 1;
  ASSERT_TRUE(gate_.Enter(77, clock_.Now()));  // another stream is sending
  Open(Hello());
  EXPECT_TRUE(Silent());
  EXPECT_EQ(session_->NextDeadline(), clock_.Now() + seconds(2));
  session_->AddSuspensions({{"t", "node-2", v1::QUOTA, 1, clock_.Now() + seconds(60), false}});
  EXPECT_TRUE(session_->NextMessage(clock_.Now())->has_suspensions());

  gate_.Leave(77, clock_.Now());

  EXPECT_THAT(granted_, ::testing::ElementsAre(1));
  EXPECT_TRUE(NextChunk().has_commit());
  EXPECT_FALSE(gate_.Enter(78, clock_.Now()));
  EXPECT_TRUE(Silent());  // the commit has been written: its place is free
  EXPECT_THAT(granted_, ::testing::ElementsAre(1, 78));
}

TEST_F(SyncSessionTest, PendingSuspensionsCoalesceInAnyOrder) {
  Open(Hello());
  NextChunk();
  const MonotonicTime end = clock_.Now() + seconds(60);
  session_->AddSuspensions({{"t", "node-2", v1::QUOTA, 2, end + seconds(5), true}});
  session_->AddSuspensions({{"t", "node-2", v1::QUOTA, 2, end + seconds(5), false}});
  session_->AddSuspensions({{"t", "node-2", v1::QUOTA, 1, end, false}});
  session_->AddSuspensions({{"t", "node-3", v1::QUOTA, 9, end, false}});

  const auto message = session_->NextMessage(clock_.Now());

  ASSERT_THAT(message->suspensions().items(), SizeIs(2));
  EXPECT_TRUE(message->suspensions().items(0).lifted());
  EXPECT_EQ(message->suspensions().items(0).epoch(), 2u);
  EXPECT_EQ(message->suspensions().items(1).origin(), "node-3");
  EXPECT_TRUE(Silent());
}

TEST_F(SyncSessionTest, AReportThatWasHeldUpDoesNotMoveTheEnd) {
  v1::ClientMessage hello = Hello();
  hello.mutable_sent_at()->set_seconds(0);
  Open(hello);
  v1::ClientMessage report;
  v1::Suspension& item = *report.mutable_report()->add_items();
  item.set_target("t");
  item.mutable_remaining()->set_seconds(60);
  report.mutable_sent_at()->set_seconds(1);
  clock_.Advance(seconds(6));

  ASSERT_TRUE(Receive(report).ok());

  ASSERT_THAT(effects_.suspensions.news, SizeIs(1));
  EXPECT_EQ(effects_.suspensions.news[0].until, clock_.Now() + seconds(55));
  // The first message in time shows that Hello itself had been held up for a second.
  v1::ClientMessage heartbeat;
  heartbeat.mutable_heartbeat();
  heartbeat.mutable_sent_at()->set_seconds(7);
  ASSERT_TRUE(Receive(heartbeat).ok());
  ASSERT_THAT(effects_.suspensions.news, SizeIs(1));
  EXPECT_EQ(effects_.suspensions.news[0].until, clock_.Now() + seconds(54));
}

TEST_F(SyncSessionTest, RejectedBytesAreNotSentAgainUntilTheHashChanges) {
  Open(Hello());
  NextChunk();
  ASSERT_TRUE(Receive(Ack(1, snapshots_.Get()->hash)).ok());
  snapshots_.Publish(MakeSnapshot({{"ns/a", 2}, {"ns/b", 1}}));
  NextChunk();

  v1::ClientMessage ack = Ack(2, "other");
  Reject(ack, "ns/a", 2, 1);
  ASSERT_TRUE(Receive(ack).ok());

  EXPECT_TRUE(effects_.fleet_changed);
  EXPECT_EQ(session_->report().AppliedHash(kA), 1u);
  EXPECT_EQ(session_->report().rejected.at(kA).message, "weight out of range");
  EXPECT_TRUE(Silent());
  // Another resource changes: the rejected one stays where it is.
  snapshots_.Publish(MakeSnapshot({{"ns/a", 2}, {"ns/b", 5}}));
  const v1::Chunk other = NextChunk();
  ASSERT_THAT(other.upserts(), SizeIs(1));
  EXPECT_EQ(other.upserts(0).id().name(), "ns/b");
  ASSERT_TRUE(Receive(Ack(3)).ok());
  EXPECT_EQ(session_->report().AppliedHash(kA), 1u);
  // It is fixed.
  snapshots_.Publish(MakeSnapshot({{"ns/a", 3}, {"ns/b", 5}}));
  EXPECT_EQ(NextChunk().upserts(0).hash(), 3u);
  ASSERT_TRUE(Receive(Ack(4)).ok());
  EXPECT_EQ(session_->report().AppliedHash(kA), 3u);
  EXPECT_THAT(session_->report().rejected, IsEmpty());
}

TEST_F(SyncSessionTest, ARevertToTheKeptVersionIsSentToo) {
  Open(Hello());
  NextChunk();
  ASSERT_TRUE(Receive(Ack(1)).ok());
  snapshots_.Publish(MakeSnapshot({{"ns/a", 2}, {"ns/b", 1}}));
  NextChunk();
  v1::ClientMessage ack = Ack(2);
  Reject(ack, "ns/a", 2, 1);
  ASSERT_TRUE(Receive(ack).ok());

  snapshots_.Publish(MakeSnapshot({{"ns/a", 1}, {"ns/b", 1}}));

  EXPECT_EQ(NextChunk().upserts(0).hash(), 1u);
}

TEST_F(SyncSessionTest, ReconnectAfterARejectionOffersItAgain) {
  snapshots_.Publish(MakeSnapshot({{"ns/a", 2}, {"ns/b", 1}}));
  v1::ClientMessage hello = Hello();
  Have(hello, "ns/a", 1);  // kept, because 2 was rejected
  Have(hello, "ns/b", 1);
  Open(hello);
  const v1::Chunk chunk = NextChunk();
  ASSERT_THAT(chunk.upserts(), SizeIs(1));
  EXPECT_EQ(chunk.upserts(0).hash(), 2u);
}

TEST_F(SyncSessionTest, RefusalsAreReplacedByEveryAck) {
  Open(Hello());
  NextChunk();
  v1::ClientMessage ack = Ack(1, snapshots_.Get()->hash);
  v1::Rejection& refusal = *ack.mutable_ack()->add_refused();
  refusal.mutable_id()->set_kind(v1::API);
  refusal.mutable_id()->set_name("ns/a");
  refusal.set_code(v1::Rejection::AUTH_NOT_ENFORCED);
  ASSERT_TRUE(Receive(ack).ok());
  EXPECT_EQ(session_->report().refused.at(kA).code, v1::Rejection::AUTH_NOT_ENFORCED);
  EXPECT_EQ(session_->report().AppliedHash(kA), 1u);

  snapshots_.Publish(MakeSnapshot({{"ns/a", 2}}));
  NextChunk();
  ASSERT_TRUE(Receive(Ack(2)).ok());

  EXPECT_THAT(session_->report().refused, IsEmpty());
}

TEST_F(SyncSessionTest, ObjectionsToWhatIsNotInTheSnapshotLeaveNothing) {
  v1::ClientMessage hello = Hello();
  Have(hello, "ns/gone", 5);
  Open(hello);
  NextChunk();
  v1::ClientMessage ack = Ack(1);
  for (const std::string& name : {std::string(5 << 20, 'x'), std::string("ns/gone")}) {
    Reject(ack, name, 2, 1);
    *ack.mutable_ack()->add_refused() = ack.ack().rejected(ack.ack().rejected_size() - 1);
  }
  Reject(ack, "ns/a", 1, 0);
  ack.mutable_ack()->mutable_rejected(2)->set_message(std::string(1023, 'x') + "\u00e9");

  ASSERT_TRUE(Receive(ack).ok());

  EXPECT_THAT(session_->report().rejected, SizeIs(1));
  EXPECT_EQ(session_->report().rejected.at(kA).message, std::string(1023, 'x'));
  EXPECT_EQ(session_->report().AppliedHash(kA), 0u);
  EXPECT_THAT(session_->report().refused, IsEmpty());
}

TEST_F(SyncSessionTest, ProtocolErrorsSayWhatIsWrong) {
  session_.emplace(1, PeerIdentity{}, SyncSession::Shared{options_, gateways_, gate_},
                   clock_.Now());
  EXPECT_THAT(std::string(Receive(Ack(1)).message()), HasSubstr("must be Hello"));
  v1::ClientMessage wrong_gateway = Hello();
  wrong_gateway.mutable_hello()->set_gateway("other/gateway");
  EXPECT_EQ(Receive(wrong_gateway).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Receive(wrong_gateway).message()), HasSubstr("other/gateway"));
  EXPECT_THAT(std::string(Receive(Hello("")).message()), HasSubstr("Hello.node"));
  v1::ClientMessage twice = Hello();
  Have(twice, "ns/a", 1);
  Have(twice, "ns/a", 2);
  EXPECT_THAT(std::string(Receive(twice).message()), HasSubstr("'ns/a' twice"));
}

TEST_F(SyncSessionTest, ASecondHelloAndAcksOfNothingAreErrors) {
  Open(Hello());
  EXPECT_FALSE(Receive(Hello()).ok());
  EXPECT_THAT(std::string(Receive(Ack(1)).message()), HasSubstr("none is waiting"));
  NextChunk();
  EXPECT_THAT(std::string(Receive(Ack(7)).message()), HasSubstr("transaction 1 is waiting"));
  EXPECT_TRUE(Receive(Ack(1)).ok());
  EXPECT_FALSE(Receive(Ack(1)).ok());
}

TEST_F(SyncSessionTest, AnAckBeforeTheCommitIsAnError) {
  options_.chunk_bytes = 10;
  Open(Hello());
  EXPECT_FALSE(NextChunk().has_commit());
  EXPECT_FALSE(Receive(Ack(1)).ok());
}

TEST_F(SyncSessionTest, ACertificateThatNamesANodeOrGatewayIsGoodForThatOnly) {
  const auto try_with = [&](const std::vector<std::string>& uris) {
    session_.emplace(1, PeerIdentity{"", true, uris, "", ""},
                     SyncSession::Shared{options_, gateways_, gate_}, clock_.Now());
    return Receive(Hello("node-1")).code();
  };
  EXPECT_EQ(try_with({"spiffe://cluster/ns/x/sa/y"}), absl::StatusCode::kOk);
  EXPECT_EQ(try_with({"urn:rota:node:node-1"}), absl::StatusCode::kOk);
  EXPECT_EQ(try_with({"urn:rota:node:node-2"}), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(try_with({"urn:rota:gateway:default/rota"}), absl::StatusCode::kOk);
  EXPECT_EQ(try_with({"urn:rota:gateway:other/rota"}), absl::StatusCode::kPermissionDenied);
}

TEST_F(SyncSessionTest, AReportOfWhatTheNodeHasHeardKeepsItsOrigin) {
  Open(Hello("node-1"));
  hub_.set_connected(2);
  v1::ClientMessage report;
  v1::Suspension& item = *report.mutable_report()->add_items();
  item.set_target("t");
  item.set_origin("somebody-else");
  item.set_epoch(1);
  item.set_reason(v1::QUOTA);
  item.mutable_remaining()->set_seconds(60);

  ASSERT_TRUE(Receive(report).ok());

  ASSERT_THAT(effects_.suspensions.shared, SizeIs(1));
  EXPECT_EQ(effects_.suspensions.shared[0].origin, "somebody-else");
}

TEST_F(SyncSessionTest, AReportOverTheLimitEndsTheStream) {
  options_.max_report_items = 2;
  Open(Hello());
  v1::ClientMessage report;
  for (int i = 0; i < 3; ++i) {
    report.mutable_report()->add_items()->set_target("t");
  }
  EXPECT_EQ(Receive(report).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SyncSessionTest, SendsAHeartbeatWhenThereIsNothingElseToSay) {
  Open(Hello());
  NextChunk();
  ASSERT_TRUE(Receive(Ack(1)).ok());
  EXPECT_EQ(session_->NextDeadline(), clock_.Now() + seconds(15));

  clock_.Advance(seconds(15));

  EXPECT_TRUE(session_->NextMessage(clock_.Now())->has_heartbeat());
  EXPECT_TRUE(Silent());
}

TEST_F(SyncSessionTest, SilenceEndsTheStreamAfterFortyFiveSeconds) {
  Open(Hello());
  clock_.Advance(seconds(44));
  EXPECT_TRUE(session_->CheckTimeouts(clock_.Now()).ok());
  clock_.Advance(seconds(1));
  EXPECT_EQ(session_->CheckTimeouts(clock_.Now()).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SyncSessionTest, AMissingAckIsCountedAndThenEndsTheStream) {
  Open(Hello());
  NextChunk();
  v1::ClientMessage heartbeat;
  heartbeat.mutable_heartbeat()->set_sequence(1);
  for (int i = 0; i < 19; ++i) {
    clock_.Advance(seconds(15));
    ASSERT_TRUE(Receive(heartbeat).ok());
    ASSERT_TRUE(session_->CheckTimeouts(clock_.Now()).ok());
  }
  EXPECT_EQ(session_->slow_acknowledgements(), 1u);
  clock_.Advance(seconds(15));
  ASSERT_TRUE(Receive(heartbeat).ok());
  EXPECT_THAT(std::string(session_->CheckTimeouts(clock_.Now()).message()),
              HasSubstr("transaction 1 was not acknowledged"));
}

TEST_F(SyncSessionTest, DrainIsToldBeforeAnythingElseOfConfiguration) {
  Open(Hello());
  session_->Drain(seconds(5));
  const auto message = session_->NextMessage(clock_.Now());
  ASSERT_TRUE(message->has_drain());
  EXPECT_EQ(message->drain().within().seconds(), 5);
}

}  // namespace
}  // namespace rota::serve
