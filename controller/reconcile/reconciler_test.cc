#include "controller/reconcile/reconciler.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "common/published.h"
#include "controller/reconcile/status_board.h"
#include "controller/reconcile/test_objects.h"
#include "gtest/gtest.h"

namespace rota::reconcile {
namespace {

using namespace testing_objects;  // NOLINT: test helpers

// Wakes whoever waits for something to become true.
class Signal {
 public:
  void Notify() {
    std::lock_guard guard(mutex_);
    changed_.notify_all();
  }
  // False after 20 s.
  bool Await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A source that the test speaks for.
class FakeSource final : public source::Source {
 public:
  explicit FakeSource(Signal& signal) : signal_(signal) {}

  absl::Status Start(source::ObjectSink&) override { return start_status; }
  void Stop() override {}
  void SetSecretReferences(source::SecretReferences references) override {
    {
      std::lock_guard guard(mutex_);
      requests_.push_back(std::move(references));
    }
    signal_.Notify();
  }
  void Recheck() override {
    ++rechecks;
    signal_.Notify();
  }
  void WantNamespaces() override {
    wants_namespaces = true;
    signal_.Notify();
  }
  source::SourceHealth Health() const override { return {}; }

  std::vector<source::SecretReferences> requests() const {
    std::lock_guard guard(mutex_);
    return requests_;
  }

  absl::Status start_status;
  std::atomic<int> rechecks = 0;
  std::atomic<bool> wants_namespaces = false;

 private:
  Signal& signal_;
  mutable std::mutex mutex_;
  std::vector<source::SecretReferences> requests_;
};

class RecordingSink final : public StatusSink {
 public:
  explicit RecordingSink(Signal& signal) : signal_(signal) {}

  void OnStatus(const ApiStatus& status) override {
    {
      std::lock_guard guard(mutex_);
      statuses_.push_back(status);
    }
    signal_.Notify();
  }
  void OnApiDeleted(const ObjectName& name) override {
    {
      std::lock_guard guard(mutex_);
      deleted_.push_back(name);
    }
    signal_.Notify();
  }
  void OnGatewayStatus(const GatewayStatus& status) override {
    {
      std::lock_guard guard(mutex_);
      gateways_[status.gateway] = status;
    }
    signal_.Notify();
  }
  void OnGatewayDeleted(const std::string& gateway) override {
    {
      std::lock_guard guard(mutex_);
      gateways_.erase(gateway);
    }
    signal_.Notify();
  }
  void OnProblems(const std::vector<source::SourceProblem>& problems) override {
    {
      std::lock_guard guard(mutex_);
      problems_ = problems.size();
    }
    signal_.Notify();
  }

  std::vector<ApiStatus> statuses() const {
    std::lock_guard guard(mutex_);
    return statuses_;
  }
  std::map<std::string, GatewayStatus> gateways() const {
    std::lock_guard guard(mutex_);
    return gateways_;
  }
  std::vector<ObjectName> deleted() const {
    std::lock_guard guard(mutex_);
    return deleted_;
  }
  size_t problems() const {
    std::lock_guard guard(mutex_);
    return problems_;
  }

 private:
  Signal& signal_;
  mutable std::mutex mutex_;
  std::vector<ApiStatus> statuses_;
  std::map<std::string, GatewayStatus> gateways_;
  std::vector<ObjectName> deleted_;
  size_t problems_ = 0;
};

class ReconcilerTest : public testing::Test {
 protected:
  ReconcilerTest() : source_(signal_), sink_(signal_) {
    ReconcilerOptions options;
    options.clock = &clock_;
    options.publish = [this](const std::string& gateway, SnapshotPtr snapshot) {
      (gateway == kGateway ? published_ : published_elsewhere_).Publish(std::move(snapshot));
      signal_.Notify();
    };
    options.withdraw = [this](const std::string&) {
      ++withdrawn_;
      signal_.Notify();
    };
    options.fleet = [this] { return FleetViews{{kGateway, Fleet()}}; };
    options.sinks = {&sink_};
    reconciler_ = std::make_unique<Reconciler>(std::move(options));
  }
  ~ReconcilerTest() override { reconciler_->Stop(); }

  void Start() { ASSERT_TRUE(reconciler_->Start(source_).ok()); }
  void Sync() {
    reconciler_->OnSynced(source::ObjectKind::kApi);
    reconciler_->OnSynced(source::ObjectKind::kSecret);
  }
  // The one data plane serves everything that is published, once it is connected.
  FleetView Fleet() {
    ++looks_;
    std::lock_guard guard(fleet_mutex_);
    if (!is_connected_) {
      return {};
    }
    NodeReport node;
    node.node = "node";
    node.connected = true;
    node.refused = refused_;
    node.applied_hash = [this, snapshot = has_applied_ ? published_.Get() : nullptr](
                            const std::string& api) -> uint64_t {
      ++questions_;
      if (snapshot == nullptr) {
        return 0;
      }
      const auto* found = snapshot->resources.Find({ResourceKind::kApi, api});
      return found == nullptr ? 0 : found->second->hash;
    };
    return {{node}};
  }
  void Connect() {
    ChangeFleet([this] { is_connected_ = true; });
  }
  void ChangeFleet(const std::function<void()>& change) {
    {
      std::lock_guard guard(fleet_mutex_);
      change();
    }
    reconciler_->FleetChanged();
  }
  // Lets the time of passes over the fleet go by until `condition` holds; false after 20 s.
  bool AwaitPasses(const std::function<bool()>& condition) {
    RealClock real;
    const MonotonicTime deadline = real.Now() + std::chrono::seconds(20);
    while (!condition() && real.Now() < deadline) {
      clock_.AwaitWaiters(1);
      clock_.Advance(std::chrono::milliseconds(50));
    }
    return condition();
  }
  bool AwaitResource(const ResourceKey& key, bool is_there = true) {
    return signal_.Await([&] {
      const auto snapshot = published_.Get();
      return snapshot != nullptr && snapshot->resources.contains(key) == is_there;
    });
  }

  FakeClock clock_;
  Signal signal_;
  Published<compile::Snapshot> published_;
  Published<compile::Snapshot> published_elsewhere_;  // of another gateway
  std::atomic<int> withdrawn_ = 0;
  FakeSource source_;
  RecordingSink sink_;
  std::mutex fleet_mutex_;
  bool is_connected_ = false;          // guarded by fleet_mutex_
  bool has_applied_ = true;            // guarded by fleet_mutex_
  std::vector<NodeFinding> refused_;   // guarded by fleet_mutex_
  std::atomic<size_t> looks_ = 0;      // at the fleet
  std::atomic<size_t> questions_ = 0;  // what a data plane has applied
  std::unique_ptr<Reconciler> reconciler_;
};

TEST_F(ReconcilerTest, PublishesNothingBeforeBothKindsHaveSynced) {
  Start();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  reconciler_->OnSynced(source::ObjectKind::kApi);
  // Whoever has asked for Secrets has taken the API in.
  ASSERT_TRUE(signal_.Await([&] { return source_.requests().size() == 1; }));
  EXPECT_EQ(published_.Get(), nullptr);

  reconciler_->OnSynced(source::ObjectKind::kSecret);

  EXPECT_TRUE(AwaitResource(kChatKey));
}

TEST_F(ReconcilerTest, PublishesAnEmptyConfigurationWhenThereAreNoApis) {
  Start();
  Sync();

  EXPECT_TRUE(AwaitResource({ResourceKind::kGateway, "default/default"}));
  EXPECT_EQ(source_.requests().size(), 1U);
}

TEST_F(ReconcilerTest, AsksForSecretsBeforeTheySync) {
  Start();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat", "keys")));
  reconciler_->OnSynced(source::ObjectKind::kApi);

  ASSERT_TRUE(signal_.Await([&] { return !source_.requests().empty(); }));
  EXPECT_EQ(source_.requests()[0], (source::SecretReferences{{{"default", "keys"}, {"apiKey"}}}));
  reconciler_->OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  reconciler_->OnSynced(source::ObjectKind::kSecret);
  EXPECT_TRUE(AwaitResource(kKeysKey));
}

TEST_F(ReconcilerTest, TakesADeletedSecretAndADeletedApiOutOfTheSnapshot) {
  Start();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat", "keys")));
  reconciler_->OnSynced(source::ObjectKind::kApi);
  ASSERT_TRUE(signal_.Await([&] { return !source_.requests().empty(); }));
  reconciler_->OnSecret(Secret("keys", "1", {{"apiKey", "value"}}));
  reconciler_->OnSynced(source::ObjectKind::kSecret);
  ASSERT_TRUE(AwaitResource(kKeysKey));

  reconciler_->OnDeleted(SecretKey("keys"));
  EXPECT_TRUE(AwaitResource(kKeysKey, false));
  reconciler_->OnDeleted(ApiKey("chat"));
  EXPECT_TRUE(AwaitResource(kChatKey, false));
  EXPECT_TRUE(signal_.Await([&] { return sink_.deleted() == std::vector<ObjectName>{kChat}; }));
  EXPECT_TRUE(signal_.Await([&] { return source_.requests().back().empty(); }));
}

class RemovalTest : public ReconcilerTest {
 protected:
  static constexpr size_t kApis = 60;
  // The data plane serves them all.
  void ServeMany() {
    Start();
    Connect();
    for (size_t i = 0; i < kApis; ++i) {
      reconciler_->OnApi(ApiOf(i));
    }
    Sync();
    ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == kApis; }));
  }
  static source::ApiObject ApiOf(size_t i) {
    const std::string name = "api-" + std::to_string(i);
    return Api(name, 1, Spec("/" + name));
  }
  void LoseAll() {
    std::vector<source::ObjectKey> keys;
    for (size_t i = 0; i < kApis; ++i) {
      keys.push_back(ApiKey("api-" + std::to_string(i)));
    }
    reconciler_->OnGone(keys);
  }
  size_t served() const { return published_.Get()->resources.size() - 1; }  // without the gateway
  bool AwaitHeld(size_t held) {
    return AwaitPasses([&] { return reconciler_->Stats().held_removals == held; });
  }
  bool AwaitRecheck() {
    return AwaitPasses([&] { return source_.rechecks == 1; });
  }
};

TEST_F(RemovalTest, ServesWhatIsGoneAtOnceUntilTheSourceHasLookedAgain) {
  ServeMany();
  LoseAll();
  ASSERT_TRUE(AwaitHeld(kApis));
  EXPECT_EQ(served(), kApis);
  EXPECT_EQ(sink_.problems(), 1u);
  EXPECT_EQ(source_.rechecks, 0);

  ASSERT_TRUE(AwaitRecheck());
  EXPECT_EQ(served(), kApis);
  reconciler_->OnRechecked();

  ASSERT_TRUE(AwaitHeld(0));
  ASSERT_TRUE(signal_.Await([&] { return served() == 0; }));
  ASSERT_TRUE(signal_.Await([&] { return sink_.deleted().size() == kApis; }));
  EXPECT_EQ(sink_.problems(), 0u);
  EXPECT_EQ(reconciler_->Stats().removal_holds, 1u);
}

TEST_F(RemovalTest, MissesNothingWhenTheObjectsAreBackBeforeThat) {
  ServeMany();
  const auto before = published_.Get();
  LoseAll();
  ASSERT_TRUE(AwaitHeld(kApis));

  for (size_t i = 0; i < kApis; ++i) {
    reconciler_->OnApi(ApiOf(i));
  }

  ASSERT_TRUE(AwaitHeld(0));
  EXPECT_EQ(published_.Get(), before);
  EXPECT_EQ(sink_.deleted().size(), 0u);
}

TEST_F(RemovalTest, RemovesOnlyWhatTheSourceHasNotFoundEither) {
  ServeMany();
  LoseAll();
  ASSERT_TRUE(AwaitRecheck());

  reconciler_->OnApi(ApiOf(7));
  reconciler_->OnRechecked();

  ASSERT_TRUE(AwaitHeld(0));
  EXPECT_TRUE(signal_.Await([&] { return served() == 1; }));
  EXPECT_TRUE(published_.Get()->resources.contains({ResourceKind::kApi, "default/api-7"}));
}

TEST_F(RemovalTest, AGatewayThatTakesMostApisIsServedUntilTheSourceHasLookedAgain) {
  const source::ObjectKey edge{source::ObjectKind::kGateway, {"team", "edge"}};
  Start();
  reconciler_->OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  for (size_t i = 0; i < kApis; ++i) {
    source::ApiObject api = ApiOf(i);
    api.spec["gateways"] = {"team/edge"};
    reconciler_->OnApi(std::move(api));
  }
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return published_elsewhere_.Get() != nullptr; }));

  reconciler_->OnDeleted(edge);
  ASSERT_TRUE(AwaitHeld(1));
  reconciler_->OnGateway(Gateway("edge", 1, nlohmann::json::object()));
  ASSERT_TRUE(AwaitHeld(0));
  EXPECT_EQ(withdrawn_, 0);

  reconciler_->OnDeleted(edge);
  ASSERT_TRUE(AwaitHeld(1));
  ASSERT_TRUE(AwaitRecheck());
  EXPECT_EQ(withdrawn_, 0);
  reconciler_->OnRechecked();
  ASSERT_TRUE(AwaitHeld(0));
  EXPECT_TRUE(signal_.Await([&] { return withdrawn_ == 1; }));
}

TEST_F(ReconcilerTest, TellsOneStatusPerChangeOnceTheDataPlaneHasConfirmed) {
  Start();
  Connect();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 1; }));

  const ApiStatus status = sink_.statuses()[0];
  EXPECT_EQ(status.accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.programmed.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.programmed.observed_generation, 1);
  EXPECT_EQ(status.accepted.last_transition_time, "2026-01-01T00:00:00Z");
}

TEST_F(ReconcilerTest, TellsThatNoDataPlaneIsThereAfterAWhileAndWhenOneComes) {
  Start();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  Sync();
  ASSERT_TRUE(AwaitResource(kChatKey));
  clock_.AwaitWaiters(1);
  clock_.Advance(kProgrammedGrace);
  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 1; }));
  EXPECT_EQ(sink_.statuses()[0].programmed.reason, "NoDataPlane");

  Connect();

  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 2; }));
  EXPECT_EQ(sink_.statuses()[1].programmed.status, ConditionStatus::kTrue);
}

TEST_F(ReconcilerTest, TellsWhatADataPlaneFindsInAnApiThatWasSettled) {
  Start();
  Connect();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 1; }));
  const uint64_t hash = published_.Get()->resources.Find(kChatKey)->second->hash;

  ChangeFleet([&] {
    refused_ = {{"default/chat", hash, "AUTH_NOT_ENFORCED", "", "no client is authenticated"}};
  });

  ASSERT_TRUE(AwaitPasses([&] { return sink_.statuses().size() == 2; }));
  EXPECT_EQ(sink_.statuses()[1].programmed.reason, "AuthNotEnforced");
}

TEST_F(ReconcilerTest, NoticesThatAnAcknowledgementTakesASettledApiBack) {
  Start();
  Connect();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 1; }));

  ChangeFleet([&] { has_applied_ = false; });

  ASSERT_TRUE(AwaitPasses([&] { return sink_.statuses().size() == 2; }));
  EXPECT_EQ(sink_.statuses()[1].programmed.reason, "Pending");
}

TEST_F(ReconcilerTest, LooksAtAFewSettledApisPerAcknowledgementAndAtAllInTheEnd) {
  constexpr size_t kApis = 300;
  Start();
  Connect();
  for (size_t i = 0; i < kApis; ++i) {
    const std::string name = "api-" + std::to_string(i);
    reconciler_->OnApi(Api(name, 1, Spec("/" + name)));
  }
  Sync();
  ASSERT_TRUE(AwaitPasses([&] { return sink_.statuses().size() == kApis; }));
  // Once for the statuses, once since a data plane has come.
  ASSERT_TRUE(AwaitPasses([&] { return questions_ >= 2 * kApis; }));
  const size_t questions = questions_;
  const size_t looks = looks_;

  reconciler_->FleetChanged();

  EXPECT_TRUE(AwaitPasses([&] { return questions_ >= questions + kApis; }));
  EXPECT_GE(looks_ - looks, 5U);
}

TEST_F(ReconcilerTest, TellsABrokenVersionAtOnceAndGoesOnServing) {
  Start();
  Connect();
  reconciler_->OnApi(Api("chat", 1, Spec("/chat")));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 1; }));
  const auto before = published_.Get();

  reconciler_->OnApi(Api("chat", 2, BrokenSpec("/chat")));

  ASSERT_TRUE(signal_.Await([&] { return sink_.statuses().size() == 2; }));
  const ApiStatus status = sink_.statuses()[1];
  EXPECT_EQ(status.accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(status.programmed.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.programmed.observed_generation, 1);
  EXPECT_EQ(published_.Get(), before);
}

TEST_F(ReconcilerTest, ServesAnApiWhoseSecretIsNeverAnsweredForAfterTheGrace) {
  Start();
  Sync();
  ASSERT_TRUE(AwaitResource({ResourceKind::kGateway, "default/default"}));
  reconciler_->OnApi(Api("chat", 1, Spec("/chat", "keys")));
  ASSERT_TRUE(signal_.Await([&] { return source_.requests().size() == 2; }));
  clock_.AwaitWaiters(1);

  clock_.Advance(kSecretGrace);

  EXPECT_TRUE(AwaitResource(kChatKey));
}

TEST_F(ReconcilerTest, PassesTheProblemsOfTheSourceOn) {
  Start();
  reconciler_->OnProblems({{"file.yaml", 3, "broken"}});
  EXPECT_TRUE(signal_.Await([&] { return sink_.problems() == 1; }));

  reconciler_->OnProblems({});

  EXPECT_TRUE(signal_.Await([&] { return sink_.problems() == 0; }));
}

TEST_F(ReconcilerTest, CoalescesABurstAndEndsWithTheNewestState) {
  Start();
  Sync();
  for (int generation = 1; generation <= 500; ++generation) {
    reconciler_->OnApi(Api("chat", generation, Spec("/chat" + std::to_string(generation))));
  }
  reconciler_->OnDeleted(ApiKey("chat"));
  reconciler_->OnApi(Api("other", 1, Spec("/other")));

  EXPECT_TRUE(signal_.Await([&] {
    const auto snapshot = published_.Get();
    return snapshot != nullptr && !snapshot->resources.contains(kChatKey) &&
           snapshot->resources.contains({ResourceKind::kApi, "default/other"});
  }));
  EXPECT_LE(reconciler_->Stats().builds, 502U);
}

TEST_F(ReconcilerTest, ServesAGatewayWhileItsObjectIsThereAndTellsItsStatus) {
  Start();
  reconciler_->OnGateway(Gateway("edge", 3, nlohmann::json::object()));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return published_elsewhere_.Get() != nullptr; }));
  ASSERT_TRUE(signal_.Await([&] { return sink_.gateways().contains("team/edge"); }));
  const GatewayStatus status = sink_.gateways().at("team/edge");
  EXPECT_EQ(status.generation, 3);
  EXPECT_EQ(status.accepted.status, ConditionStatus::kTrue);
  EXPECT_EQ(status.programmed.reason, "NoDataPlane");
  EXPECT_EQ(status.snapshot, published_elsewhere_.Get()->hash);

  reconciler_->OnDeleted({source::ObjectKind::kGateway, {"team", "edge"}});

  EXPECT_TRUE(signal_.Await([&] { return withdrawn_ == 1; }));
  EXPECT_TRUE(AwaitPasses([&] { return !sink_.gateways().contains("team/edge"); }));
}

TEST_F(ReconcilerTest, TheFirstSnapshotWaitsForTheLabelsOfNamespacesThatAGatewayAsksFor) {
  Start();
  reconciler_->OnGateway(
      Gateway("edge", 1,
              {{"allowedNamespaces",
                {{"from", "Selector"}, {"selector", {{"matchLabels", {{"team", "a"}}}}}}}}));
  nlohmann::json spec = Spec("/chat");
  spec["gateways"] = {"team/edge"};
  reconciler_->OnApi(Api("chat", 1, spec));
  Sync();
  ASSERT_TRUE(signal_.Await([&] { return source_.wants_namespaces.load(); }));
  EXPECT_EQ(published_.Get(), nullptr);

  reconciler_->OnNamespace(Namespace("default", {{"team", "a"}}));
  reconciler_->OnSynced(source::ObjectKind::kNamespace);

  ASSERT_TRUE(signal_.Await([&] { return published_elsewhere_.Get() != nullptr; }));
  EXPECT_TRUE(published_elsewhere_.Get()->resources.contains(kChatKey));
}

TEST_F(ReconcilerTest, ReportsThatTheSourceCannotStart) {
  source_.start_status = absl::NotFoundError("no such directory");

  EXPECT_EQ(reconciler_->Start(source_).code(), absl::StatusCode::kNotFound);
}

TEST(StatusBoardTest, ShowsStatusesAndProblemsAndForgetsWhatIsGone) {
  StatusBoard board;
  ApiStatus status;
  status.name = kChat;
  status.file = "/etc/rota/chat.yaml";
  status.accepted.type = "Accepted";
  status.accepted.message = "the API is valid";
  status.warnings = {{resource::Severity::kWarning, "NotEnforced", "rateLimit", "not yet", 4}};
  board.OnStatus(status);
  board.OnProblems({{"x.yaml", 3, "broken"}});

  const nlohmann::json json = board.ToJson();
  EXPECT_EQ(json["apis"][0]["name"], "chat");
  EXPECT_EQ(json["apis"][0]["file"], "/etc/rota/chat.yaml");
  EXPECT_EQ(json["apis"][0]["warnings"][0]["line"], 4);
  EXPECT_EQ(json["apis"][0]["status"]["conditions"][0]["message"], "the API is valid");
  EXPECT_EQ(json["problems"][0]["line"], 3);

  board.OnApiDeleted(kChat);
  board.OnProblems({});
  EXPECT_TRUE(board.ToJson()["apis"].empty());
  EXPECT_TRUE(board.ToJson()["problems"].empty());
}

}  // namespace
}  // namespace rota::reconcile
