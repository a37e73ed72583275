#include "dataplane/sync/sync_client.h"

#include <atomic>
#include <filesystem>

#include "common/file.h"
#include "dataplane/sync/scripted_controller.h"
#include "dataplane/sync/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SyncClientTest : public ::testing::Test {
 protected:
  SyncClientTest() {
    directory_ = ::testing::TempDir() + "/sync-client-" +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    options_.node = "node-1";
    options_.random = [] { return 0.5; };
  }
  ~SyncClientTest() override {
    client_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Start(size_t addresses = 1) {
    SyncCallbacks callbacks;
    callbacks.apply = [this](const ResourceMap& wanted, const ChangedKeys&, const std::string&) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !hold_; });
      applied_.push_back(wanted);
      ApplyResult result;
      for (const TestResource& resource : reject_) {
        const auto found = wanted.find({resource.kind, resource.name});
        if (found != wanted.end() && found->second->hash() == resource.hash) {
          result.rejected.push_back(MakeRejection(resource));
        }
      }
      changed_.notify_all();
      return result;
    };
    callbacks.apply_remote = [this](const std::vector<rotation::Suspension>& items, MonotonicTime) {
      std::lock_guard guard(mutex_);
      remote_.insert(remote_.end(), items.begin(), items.end());
      changed_.notify_all();
    };
    callbacks.own_suspensions = [this](MonotonicTime) {
      std::lock_guard guard(mutex_);
      return own_;
    };
    callbacks.known_suspensions = [this](MonotonicTime) {
      std::lock_guard guard(mutex_);
      return known_;
    };
    callbacks.set_phase = [this](uint64_t phase) { phase_ = phase; };
    client_ = std::make_unique<SyncClient>(
        options_, std::make_unique<ScriptedTransport>(controllers_, addresses),
        std::move(callbacks), clock_);
    client_->Start();
  }

  // Hello and Welcome.
  std::shared_ptr<ScriptedStream> Welcome() {
    const auto stream = controllers_->AwaitStream();
    hello_ = stream->Await().hello();
    stream->SendWelcome();
    return stream;
  }
  v1::Ack AwaitAck(ScriptedStream& stream) {
    const v1::ClientMessage message = stream.Await();
    EXPECT_TRUE(message.has_ack()) << message.ShortDebugString();
    return message.ack();
  }
  template <typename Predicate>
  bool Await(Predicate predicate) {
    RealClock real;
    const MonotonicTime deadline = real.Now() + seconds(10);
    while (!predicate()) {
      if (real.Now() > deadline) {
        return false;
      }
      std::this_thread::yield();
    }
    return true;
  }
  size_t applied_count() {
    std::lock_guard guard(mutex_);
    return applied_.size();
  }
  rotation::Suspension Suspension(const std::string& target, uint64_t epoch, int length) {
    return {target, rotation::Reason::kQuota, clock_.Now() + seconds(length), epoch, "node-1"};
  }

  FakeClock clock_;
  SyncClientOptions options_;
  std::string directory_;
  const std::shared_ptr<ScriptedControllers> controllers_ = std::make_shared<ScriptedControllers>();
  std::mutex mutex_;
  std::condition_variable changed_;
  bool hold_ = false;
  std::vector<ResourceMap> applied_;
  std::vector<rotation::Suspension> remote_;
  std::vector<rotation::Suspension> own_;
  std::vector<rotation::Suspension> known_;
  std::vector<TestResource> reject_;
  std::atomic<uint64_t> phase_{0};
  v1::Hello hello_;
  std::unique_ptr<SyncClient> client_;
};

TEST_F(SyncClientTest, AppliesATransactionAtItsCommitAndAcknowledges) {
  Start();
  const auto stream = Welcome();
  EXPECT_EQ(hello_.node(), "node-1");
  EXPECT_EQ(hello_.gateway(), "default/rota");
  v1::Chunk first;
  first.set_transaction(1);
  *first.add_upserts() = MakeResource({"ns/a"});
  stream->SendChunk(first);
  stream->SendChunk(MakeChunk(1, {{"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true));

  const v1::Ack ack = AwaitAck(*stream);

  EXPECT_EQ(ack.transaction(), 1u);
  EXPECT_EQ(ack.applied_snapshot_hash(), MakeCommit({{"ns/a"}, {"ns/b"}}).snapshot_hash());
  EXPECT_EQ(applied_count(), 1u);
  EXPECT_EQ(phase_, 77u);
  const SyncState state = client_->state();
  EXPECT_TRUE(state.connected);
  EXPECT_TRUE(state.ready());
  EXPECT_EQ(state.source, ConfigSource::kController);
  EXPECT_EQ(state.server, "scripted");
  EXPECT_EQ(state.resources, 2u);
  EXPECT_EQ(state.snapshot_hash, ack.applied_snapshot_hash());
}

TEST_F(SyncClientTest, AReconnectInMidTransactionDropsWhatWasStagedAndSaysWhatIsInUse) {
  Start();
  auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  v1::Chunk half;
  half.set_transaction(2);
  *half.add_upserts() = MakeResource({"ns/b"});
  stream->SendChunk(half);
  stream->Close(absl::UnavailableError("gone"));
  clock_.AwaitWaiters(1);
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));
  clock_.Advance(milliseconds(100));

  stream = Welcome();

  ASSERT_THAT(hello_.inventory(), SizeIs(1));
  EXPECT_EQ(hello_.inventory(0).id().name(), "ns/a");
  EXPECT_EQ(hello_.snapshot_hash(), MakeCommit({{"ns/a"}}).snapshot_hash());
  stream->SendChunk(MakeChunk(1, {}, {{"ns/a"}}));
  AwaitAck(*stream);
  EXPECT_EQ(applied_count(), 1u) << "nothing has changed: nothing is built";
}

TEST_F(SyncClientTest, ADisconnectRemovesNothing) {
  Start();
  const auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  stream->Close(absl::UnavailableError("partition"));
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));

  clock_.Advance(std::chrono::hours(24));

  EXPECT_TRUE(client_->state().ready());
  EXPECT_EQ(client_->state().resources, 1u);
  EXPECT_THAT(client_->state().last_error, HasSubstr("partition"));
  EXPECT_EQ(applied_count(), 1u);
}

TEST_F(SyncClientTest, RejectedThenReconnectedCarriesTheKeptVersion) {
  reject_ = {{"ns/a", 2}};
  Start();
  auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  stream->SendChunk(MakeChunk(2, {{"ns/a", 2}}, {{"ns/a", 2}}));
  const v1::Ack ack = AwaitAck(*stream);
  ASSERT_THAT(ack.rejected(), SizeIs(1));
  EXPECT_EQ(ack.rejected(0).kept_hash(), 1u);
  EXPECT_EQ(client_->state().rejected, 1u);
  stream->Close(absl::UnavailableError("gone"));
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));
  clock_.Advance(milliseconds(100));

  stream = Welcome();

  EXPECT_EQ(hello_.inventory(0).hash(), 1u);
  EXPECT_EQ(hello_.snapshot_hash(), "");
  stream->SendChunk(MakeChunk(1, {{"ns/a", 3}}, {{"ns/a", 3}}));
  EXPECT_THAT(AwaitAck(*stream).rejected(), IsEmpty());
  EXPECT_EQ(client_->state().rejected, 0u);
}

TEST_F(SyncClientTest, BreakingTheProtocolCostsTheStreamAndNothingElse) {
  const std::vector<std::pair<std::string, v1::Chunk>> cases = {
      {"comes twice", MakeChunk(2, {{"ns/b"}, {"ns/b"}}, {})},
      {"follows transaction 1", MakeChunk(3, {}, {})},
      {"leads to 2 resources", MakeChunk(2, {{"ns/b"}}, {{"ns/b"}})},
      {"another snapshot", MakeChunk(2, {{"ns/b"}}, {{"ns/x"}, {"ns/b"}})},
  };
  options_.longest_retry = milliseconds(1);
  options_.first_retry = milliseconds(1);
  Start();
  auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  for (const auto& [words, chunk] : cases) {
    stream->SendChunk(chunk);
    stream->AwaitCancel();
    ASSERT_TRUE(Await([&] { return client_->state().last_error.find(words) != std::string::npos; }))
        << words << ": " << client_->state().last_error;
    clock_.Advance(milliseconds(1));
    stream = Welcome();
    stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
    AwaitAck(*stream);
  }
  EXPECT_EQ(client_->state().resources, 1u);
}

TEST_F(SyncClientTest, ASnapshotThatDoesNotAddUpIsAskedForInFull) {
  Start();
  auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  stream->SendChunk(MakeChunk(2, {}, {{"ns/a", 9}}));
  stream->AwaitCancel();
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));
  clock_.Advance(milliseconds(100));

  Welcome();

  EXPECT_THAT(hello_.inventory(), IsEmpty());
  EXPECT_EQ(hello_.snapshot_hash(), "");
}

TEST_F(SyncClientTest, BackOffDoublesWithFullJitterUpToTheCapAndARoundOfControllersIsTried) {
  Start(2);
  std::vector<size_t> addresses;
  // Jitter 0.5 of 100 ms, 200 ms, ...: and never more than 15 s.
  for (const int delay : {50, 100, 200, 400, 800, 1600, 3200, 6400, 7500, 7500}) {
    const auto stream = controllers_->AwaitStream();
    ASSERT_NE(stream, nullptr);
    addresses.push_back(stream->address());
    const MonotonicTime now = clock_.Now();
    stream->Close(absl::UnavailableError("refused"));
    ASSERT_TRUE(Await([this] { return client_->state().retry_at.has_value(); }));
    EXPECT_EQ(client_->state().retry_at, now + milliseconds(delay));
    EXPECT_EQ(client_->state().last_error, "refused");
    clock_.Advance(milliseconds(delay));
  }
  EXPECT_THAT(addresses, ElementsAre(1, 0, 1, 0, 1, 0, 1, 0, 1, 0));
}

TEST_F(SyncClientTest, AnUnansweredHelloAndASilentControllerAreGivenUp) {
  Start();
  auto stream = controllers_->AwaitStream();
  stream->Await();
  clock_.AwaitWaiters(1);
  clock_.Advance(seconds(10));
  stream->AwaitCancel();
  clock_.AwaitWaiters(1);
  clock_.Advance(milliseconds(100));
  stream = Welcome();
  ASSERT_TRUE(Await([this] { return client_->state().connected; }));
  for (int i = 0; i < 2; ++i) {
    clock_.AwaitWaiters(1);
    clock_.Advance(seconds(15));
    EXPECT_TRUE(stream->Await().has_heartbeat());
  }
  clock_.AwaitWaiters(1);
  clock_.Advance(seconds(15));
  stream->AwaitCancel();
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));
  EXPECT_THAT(client_->state().last_error, HasSubstr("silent"));
}

TEST_F(SyncClientTest, ReportsSuspensionsAtOnceWhileATransactionIsBeingApplied) {
  hold_ = true;
  Start();
  const auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));

  client_->ReportSuspension(Suspension("t", 1, 60));

  const v1::ClientMessage message = stream->Await();
  ASSERT_TRUE(message.has_report());
  EXPECT_EQ(message.report().items(0).target(), "t");
  EXPECT_EQ(message.report().items(0).remaining().seconds(), 60);
  // And those of others are applied meanwhile.
  v1::ServerMessage update;
  v1::Suspension& item = *update.mutable_suspensions()->add_items();
  item.set_target("u");
  item.set_origin("node-2");
  item.set_reason(v1::AUTH);
  item.set_epoch(9);
  item.mutable_remaining()->set_seconds(30);
  stream->Send(update);
  {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, seconds(10), [this] { return !remote_.empty(); }));
    EXPECT_EQ(remote_[0].target, "u");
    EXPECT_EQ(remote_[0].until, clock_.Now() + seconds(30));
    EXPECT_EQ(remote_[0].reason, rotation::Reason::kAuth);
    EXPECT_FALSE(remote_[0].lifted);
    EXPECT_TRUE(applied_.empty());
    hold_ = false;
    changed_.notify_all();
  }
  AwaitAck(*stream);
}

TEST_F(SyncClientTest, SuspensionsMadeWithoutAControllerAreToldOnceAndRepeatedAfterAReconnect) {
  Start();
  client_->ReportSuspension(Suspension("t", 1, 60));
  client_->ReportSuspension(Suspension("t", 2, 90));
  own_ = {Suspension("t", 2, 90)};
  auto stream = Welcome();
  v1::ClientMessage message = stream->Await();
  ASSERT_THAT(message.report().items(), SizeIs(1));
  EXPECT_EQ(message.report().items(0).epoch(), 2u);
  stream->Close(absl::UnavailableError("gone"));
  ASSERT_TRUE(Await([this] { return !client_->state().connected; }));
  clock_.Advance(milliseconds(100));

  stream = Welcome();

  message = stream->Await();
  ASSERT_THAT(message.report().items(), SizeIs(1));
  EXPECT_EQ(message.report().items(0).target(), "t");
}

TEST_F(SyncClientTest, AControllerIsRemindedOfWhatItLacksAndOfNothingElse) {
  own_ = {Suspension("own", 1, 60)};
  known_ = own_;
  for (const char* target : {"lost", "told", "overtaken", "lifted", "hearsay"}) {
    rotation::Suspension statement = Suspension(target, 5, 60);
    statement.origin = "node-2";
    known_.push_back(statement);
  }
  known_[4].lifted = true;
  known_[5].reason = rotation::Reason::kAuth;
  Start();
  const auto stream = Welcome();
  EXPECT_EQ(stream->Await().report().items(0).target(), "own");
  v1::ServerMessage update;
  for (const auto& [target, epoch] : {std::pair("told", 5), {"overtaken", 6}, {"lifted", 5}}) {
    v1::Suspension& item = *update.mutable_suspensions()->add_items();
    item.set_target(target);
    item.set_origin("node-2");
    item.set_epoch(static_cast<uint64_t>(epoch));
    item.mutable_remaining()->set_seconds(50);
  }
  stream->Send(update);
  ASSERT_TRUE(Await([this] {
    std::lock_guard guard(mutex_);
    return remote_.size() == 3;
  }));
  clock_.AwaitWaiters(1);
  EXPECT_FALSE(stream->HasWritten());

  clock_.Advance(milliseconds(500));

  const v1::ClientMessage message = stream->Await();
  ASSERT_THAT(message.report().items(), SizeIs(2));
  EXPECT_EQ(message.report().items(0).target(), "lifted");
  EXPECT_TRUE(message.report().items(0).lifted());
  EXPECT_EQ(message.report().items(1).target(), "lost");
  EXPECT_EQ(message.report().items(1).origin(), "node-2");
}

TEST_F(SyncClientTest, AMessageThatWasHeldUpDoesNotMoveTheEnd) {
  Start();
  const auto stream = controllers_->AwaitStream();
  stream->Await();
  v1::ServerMessage message;
  message.mutable_welcome()->set_server("scripted");
  message.mutable_sent_at()->set_seconds(0);
  stream->Send(message);
  ASSERT_TRUE(Await([this] { return client_->state().connected; }));
  const MonotonicTime end = clock_.Now() + seconds(2) + seconds(30);
  message.Clear();
  message.mutable_sent_at()->set_seconds(2);
  v1::Suspension& item = *message.mutable_suspensions()->add_items();
  item.set_target("t");
  item.set_origin("node-2");
  item.mutable_remaining()->set_seconds(30);
  clock_.Advance(seconds(9));

  stream->Send(message);

  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, seconds(10), [this] { return !remote_.empty(); }));
  EXPECT_EQ(remote_[0].until, end);
}

TEST_F(SyncClientTest, WhatWasHeldUpFromTheStartIsPutRightByTheFirstMessageInTime) {
  Start();
  const auto stream = controllers_->AwaitStream();
  stream->Await();
  const MonotonicTime opened = clock_.Now();
  clock_.Advance(seconds(3));  // all of it was on its way for so long
  v1::ServerMessage message;
  message.mutable_welcome()->set_server("scripted");
  message.mutable_sent_at()->set_seconds(0);
  stream->Send(message);
  message.Clear();
  message.mutable_sent_at()->set_seconds(0);
  v1::Suspension& item = *message.mutable_suspensions()->add_items();
  item.set_target("t");
  item.set_origin("node-2");
  item.mutable_remaining()->set_seconds(30);
  stream->Send(message);
  message.Clear();
  message.mutable_sent_at()->set_seconds(3);
  message.mutable_heartbeat();

  stream->Send(message);

  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, seconds(10), [this] { return remote_.size() == 2; }));
  EXPECT_EQ(remote_[0].until, opened + seconds(33));
  EXPECT_EQ(remote_[1].until, opened + seconds(30));
}

TEST_F(SyncClientTest, DrainMeansAnotherControllerWithinTheTimeGiven) {
  Start(2);
  const auto stream = Welcome();
  stream->SendChunk(MakeChunk(1, {}, {}, {}, true));
  AwaitAck(*stream);
  v1::ServerMessage drain;
  drain.mutable_drain()->mutable_within()->set_seconds(4);
  stream->Send(drain);
  clock_.AwaitWaiters(1);
  EXPECT_FALSE(controllers_->HasStream());

  ASSERT_TRUE(Await([this] {
    clock_.Advance(milliseconds(50));
    return controllers_->HasStream();
  }));

  stream->AwaitCancel();
  EXPECT_NE(controllers_->AwaitStream()->address(), stream->address());
}

TEST_F(SyncClientTest, StartsFromTheLastKnownGoodFileAfterThreeSecondsAndSaysWhatIsMissing) {
  options_.state_dir = directory_;
  Start();
  auto stream = Welcome();
  const std::vector<TestResource> snapshot = {{"ns/a"}, {"ns/key", 5, v1::SECRET}};
  stream->SendChunk(MakeChunk(1, snapshot, snapshot, {}, true));
  AwaitAck(*stream);
  client_.reset();
  applied_.clear();
  controllers_->streams.clear();
  const std::string file = *ReadFile(directory_ + "/" + kLastKnownGoodFile);
  EXPECT_EQ(file.find("ns/key@5"), std::string::npos);
  Start();
  controllers_->AwaitStream()->Close(absl::UnavailableError("refused"));
  ASSERT_TRUE(Await([this] { return client_->state().last_error == "refused"; }));
  EXPECT_FALSE(client_->state().ready());

  ASSERT_TRUE(Await([this] {
    clock_.Advance(milliseconds(100));
    return client_->state().ready();
  }));

  ASSERT_TRUE(Await([this] { return !client_->state().missing_secrets.empty(); }));
  SyncState state = client_->state();
  EXPECT_EQ(state.source, ConfigSource::kLastKnownGood);
  EXPECT_THAT(state.missing_secrets, ElementsAre("ns/key"));
  EXPECT_EQ(state.resources, 1u);
  ASSERT_TRUE(state.saved_at.has_value());
  // The controller is back: only the Secret is missing from the inventory. Streams that were opened
  // before the load said that there is nothing; the controller refuses them.
  do {
    ASSERT_TRUE(Await([this] {
      clock_.Advance(milliseconds(100));
      return controllers_->HasStream();
    }));
    stream = controllers_->AwaitStream();
    hello_ = stream->Await().hello();
    if (hello_.inventory().empty()) {
      stream->Close(absl::UnavailableError("refused"));
    }
  } while (hello_.inventory().empty());
  stream->SendWelcome();
  ASSERT_THAT(hello_.inventory(), SizeIs(1));
  EXPECT_EQ(hello_.snapshot_hash(), "");
  stream->SendChunk(MakeChunk(1, {{"ns/key", 5, v1::SECRET}}, snapshot));
  AwaitAck(*stream);
  state = client_->state();
  EXPECT_EQ(state.source, ConfigSource::kController);
  EXPECT_THAT(state.missing_secrets, IsEmpty());
}

TEST_F(SyncClientTest, WithAStateKeyTheFileHoldsEverything) {
  options_.state_dir = directory_;
  options_.state_key = *StateKey::Parse(std::string(64, '7'), "key");
  Start();
  auto stream = Welcome();
  const std::vector<TestResource> snapshot = {{"ns/a"}, {"ns/key", 5, v1::SECRET}};
  stream->SendChunk(MakeChunk(1, snapshot, snapshot, {}, true));
  AwaitAck(*stream);
  client_.reset();
  controllers_->streams.clear();
  Start();
  ASSERT_TRUE(Await([this] {
    clock_.Advance(milliseconds(100));
    return client_->state().ready();
  }));
  EXPECT_THAT(client_->state().missing_secrets, IsEmpty());
  EXPECT_EQ(client_->state().resources, 2u);
  EXPECT_EQ(client_->state().snapshot_hash, MakeCommit(snapshot).snapshot_hash());
}

TEST_F(SyncClientTest, ADamagedFileIsReportedAndTheClientGoesOnWithoutIt) {
  options_.state_dir = directory_;
  ASSERT_TRUE(
      WriteFileAtomically(directory_ + "/" + kLastKnownGoodFile, "rota-last-known-good 1\nrubbish")
          .ok());
  Start();
  ASSERT_TRUE(Await([this] {
    clock_.Advance(milliseconds(100));
    return !client_->state().last_known_good_problem.empty();
  }));
  EXPECT_THAT(client_->state().last_known_good_problem, HasSubstr("truncated"));
  EXPECT_FALSE(client_->state().ready());
  EXPECT_EQ(applied_count(), 0u);
}

TEST_F(SyncClientTest, AControllerThatAnswersInTimeIsPreferredToTheFile) {
  options_.state_dir = directory_;
  Start();
  const auto stream = Welcome();
  ASSERT_TRUE(Await([this] { return client_->state().connected; }));
  clock_.Advance(seconds(4));
  stream->SendChunk(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  AwaitAck(*stream);
  EXPECT_EQ(client_->state().source, ConfigSource::kController);
  EXPECT_EQ(applied_count(), 1u);
}

TEST_F(SyncClientTest, StopsPromptlyWhateverItIsDoing) {
  Start();
  controllers_->AwaitStream();
  client_.reset();
  Start();
  Welcome();
  client_.reset();
}

}  // namespace
}  // namespace rota::sync
