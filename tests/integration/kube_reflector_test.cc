// The reflector against an API server that misbehaves in every way that has a name.

#include <gmock/gmock.h>

#include <condition_variable>

#include "controller/kube/reflector.h"
#include "tests/integration/kube_test_support.h"
#include "tests/support/fake_apiserver.h"

namespace rota::testing {
namespace {

using kube::ObjectId;
using kube::Reflector;
using kube::ReflectorOptions;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// What a reflector has told: the picture, and the order of events.
class Picture final : public kube::ReflectorHandler {
 public:
  void OnUpsert(const ObjectId& id, json object) override {
    std::lock_guard guard(mutex_);
    sizes_[id.name] = object.at("spec").at("size").get<int>();
    log_.push_back("+" + id.name);
  }
  void OnDelete(const ObjectId& id) override {
    std::lock_guard guard(mutex_);
    sizes_.erase(id.name);
    log_.push_back("-" + id.name);
  }
  void OnGone(const std::vector<ObjectId>& ids) override {
    {
      std::lock_guard guard(mutex_);
      gone_together_ = ids.size();
    }
    ReflectorHandler::OnGone(ids);
  }
  void OnRelisted() override {
    std::lock_guard guard(mutex_);
    ++relisted_;
    log_.push_back("relisted");
  }
  void OnSynced() override {
    std::lock_guard guard(mutex_);
    ++synced_;
    log_.push_back("synced");
  }
  void OnHealth(const kube::ReflectorHealth& health) override {
    std::lock_guard guard(mutex_);
    health_ = health;
  }

  std::map<std::string, int> sizes() const {
    std::lock_guard guard(mutex_);
    return sizes_;
  }
  std::vector<std::string> log() const {
    std::lock_guard guard(mutex_);
    return log_;
  }
  int synced() const {
    std::lock_guard guard(mutex_);
    return synced_;
  }
  int relisted() const {
    std::lock_guard guard(mutex_);
    return relisted_;
  }
  size_t gone_together() const {
    std::lock_guard guard(mutex_);
    return gone_together_;
  }
  kube::ReflectorHealth health() const {
    std::lock_guard guard(mutex_);
    return health_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> sizes_;
  std::vector<std::string> log_;
  int synced_ = 0;
  int relisted_ = 0;
  size_t gone_together_ = 0;
  kube::ReflectorHealth health_;
};

ReflectorOptions FastOptions() {
  ReflectorOptions options;
  options.page_size = 2;
  options.retry.backoff = options.retry.reconnect = {std::chrono::milliseconds(5),
                                                     std::chrono::milliseconds(50), 2.0, 1.0};
  options.min_watch_timeout = std::chrono::seconds(30);
  options.max_watch_timeout = std::chrono::seconds(60);
  return options;
}

class KubeReflectorTest : public ::testing::Test {
 protected:
  explicit KubeReflectorTest(FakeStreaming streaming = FakeStreaming::kServed)
      : server_({.tls = false, .token = "", .streaming = streaming}) {}
  void SetUp() override { server_.Register(Widgets()); }

  void Start(ReflectorOptions options = FastOptions()) {
    reflector_ = std::make_unique<Reflector>(client_.api, kube::Scope{Widgets(), "", false},
                                             picture_, client_.clock, options);
    reflector_->Start();
  }
  // Started, synced, watching.
  void StartAndWatch(ReflectorOptions options = FastOptions()) {
    Start(options);
    ASSERT_TRUE(
        Eventually([&] { return server_.open_watches() == 1 && picture_.health().connected; }));
  }
  bool Sees(const std::map<std::string, int>& sizes, int seconds = 15) {
    const bool seen = Eventually([&] { return picture_.sizes() == sizes; }, seconds);
    EXPECT_EQ(picture_.sizes(), sizes);
    return seen;
  }
  void Create(const std::string& name, int size) {
    server_.Create(Widgets(), "default", Widget(name, size));
  }
  void Replace(const std::string& name, int size) {
    server_.Replace(Widgets(), "default", name, Widget(name, size));
  }
  void Delete(const std::string& name) { server_.Delete(Widgets(), "default", name); }
  void CheckThatANewListReportsOnlyDifferences(const ReflectorOptions& options) {
    Create("gone", 1);
    Create("changed", 1);
    Create("same", 1);
    StartAndWatch(options);
    server_.Stop();  // everything happens while nobody looks
    Delete("gone");
    Replace("changed", 2);
    Create("new", 1);
    server_.Compact();

    server_.Start();

    ASSERT_TRUE(Sees({{"changed", 2}, {"new", 1}, {"same", 1}}));
    EXPECT_THAT(picture_.log(),
                ElementsAre("+changed", "+gone", "+same", "synced", "-gone", "+changed", "+new"));
    EXPECT_EQ(picture_.synced(), 1);
  }

  FakeApiServer server_;
  KubeClient client_{server_.ClientConfig()};
  Picture picture_;
  std::unique_ptr<Reflector> reflector_;  // last: stops before what it uses
};

TEST_F(KubeReflectorTest, ReportsEveryPageBeforeItSaysSynced) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    Create(name, 1);
  }

  StartAndWatch();

  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "+d", "+e", "synced"));
  EXPECT_EQ(server_.Requests("list"), 3);
  EXPECT_TRUE(picture_.health().connected);
}

TEST_F(KubeReflectorTest, AnEmptyCollectionIsSyncedToo) {
  StartAndWatch();

  EXPECT_THAT(picture_.log(), ElementsAre("synced"));
}

TEST_F(KubeReflectorTest, FollowsChangesInOrder) {
  Create("a", 1);
  StartAndWatch();
  Create("b", 1);
  Replace("a", 2);
  Delete("b");

  ASSERT_TRUE(Eventually([&] { return picture_.log().size() == 5; }));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "synced", "+b", "+a", "-b"));
  EXPECT_EQ(server_.Requests("list"), 1);
}

TEST_F(KubeReflectorTest, ContinuesFromTheLastVersionWhenTheServerEndsTheWatch) {
  Create("a", 1);
  StartAndWatch();
  Replace("a", 2);
  ASSERT_TRUE(Sees({{"a", 2}}));

  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.Requests("watch") >= 2; }));
  Replace("a", 3);

  ASSERT_TRUE(Sees({{"a", 3}}));
  EXPECT_EQ(server_.Requests("list"), 1);
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "synced", "+a", "+a"));
}

TEST_F(KubeReflectorTest, ABookmarkSavesTheListWhenHistoryIsForgotten) {
  Create("a", 1);
  StartAndWatch();
  server_.Compact();  // the version of the last event is too old now
  server_.SendBookmarks();

  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.Requests("watch") == 2; }));
  Replace("a", 2);

  ASSERT_TRUE(Sees({{"a", 2}}));
  EXPECT_EQ(server_.Requests("list"), 1);
}

TEST_F(KubeReflectorTest, ANewListReportsOnlyDifferencesAndNeverForgetsTheWorld) {
  CheckThatANewListReportsOnlyDifferences(FastOptions());
}

TEST_F(KubeReflectorTest, ANamesakeIsADeletionAndACreation) {
  Create("a", 1);
  StartAndWatch();
  server_.Stop();
  Delete("a");
  Create("a", 7);
  server_.Compact();

  server_.Start();

  ASSERT_TRUE(Sees({{"a", 7}}));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "synced", "-a", "+a"));
}

TEST_F(KubeReflectorTest, AnExpiredPageLeadsToOneListWithoutPages) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    Create(name, 1);
  }
  server_.Inject(Fault::kExpired, "list", "continue=");

  StartAndWatch();

  EXPECT_EQ(picture_.sizes().size(), 5u);
  EXPECT_EQ(server_.Requests("list"), 3);  // page, expired page, everything
}

TEST_F(KubeReflectorTest, WhatVanishesDuringTheFirstListIsTakenBackBeforeSynced) {
  for (const char* name : {"a", "b", "c"}) {
    Create(name, 1);
  }
  server_.Inject(Fault::kHang, "list", "continue=");
  Start();
  ASSERT_TRUE(Eventually([&] { return server_.AllFaultsMet(); }));
  Delete("a");
  server_.Compact();  // the next page is gone, so the list starts over
  server_.Stop();

  server_.Start();

  ASSERT_TRUE(Sees({{"b", 1}, {"c", 1}}));
  ASSERT_TRUE(Eventually([&] { return picture_.log().size() == 5; }));  // "synced" comes last
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "-a", "synced"));
}

TEST_F(KubeReflectorTest, ReportsEverythingAgainAtTheResync) {
  Create("a", 1);
  ReflectorOptions options = FastOptions();
  options.resync_period = std::chrono::milliseconds(1);
  StartAndWatch(options);

  server_.EndWatches();

  ASSERT_TRUE(Eventually([&] { return picture_.log().size() >= 3; }));
  std::vector<std::string> log = picture_.log();
  log.resize(3);
  EXPECT_THAT(log, ElementsAre("+a", "synced", "+a"));
}

TEST_F(KubeReflectorTest, ListsAnewWhenAskedToAndTellsWhenThatIsReported) {
  Create("a", 1);
  Create("b", 1);
  StartAndWatch();

  reflector_->Relist();

  ASSERT_TRUE(Eventually([&] { return picture_.relisted() == 1; }));
  ASSERT_TRUE(Eventually([&] { return server_.open_watches() == 1; }));
  Replace("a", 2);
  ASSERT_TRUE(Sees({{"a", 2}, {"b", 1}}));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "synced", "relisted", "+a"));
  EXPECT_EQ(server_.Requests("list"), 2);
}

TEST_F(KubeReflectorTest, AListThatWasAskedForIsTriedUntilItSucceeds) {
  Create("a", 1);
  StartAndWatch();
  server_.Inject(Fault::kServerError, "list", "", 3);

  reflector_->Relist();

  ASSERT_TRUE(Eventually([&] { return picture_.relisted() == 1; }));
  EXPECT_TRUE(server_.AllFaultsMet());
}

TEST_F(KubeReflectorTest, WhatAListLacksIsToldTogether) {
  for (const char* name : {"a", "b", "c"}) {
    Create(name, 1);
  }
  StartAndWatch();
  server_.Stop();
  Delete("a");
  Delete("b");
  server_.Compact();

  server_.Start();

  ASSERT_TRUE(Sees({{"c", 1}}));
  EXPECT_EQ(picture_.gone_together(), 2u);
}

TEST_F(KubeReflectorTest, AMissingResourceIsNotSyncedAndNotAnEmptyWorld) {
  FakeApiServer empty;
  KubeClient client(empty.ClientConfig());
  Picture picture;
  Reflector reflector(client.api, {Widgets(), "", false}, picture, client.clock, FastOptions());

  reflector.Start();

  ASSERT_TRUE(Eventually([&] { return absl::IsNotFound(picture.health().error); }));
  reflector.Stop();  // out of a wait of 30 s, at once
  EXPECT_THAT(picture.log(), IsEmpty());
  EXPECT_FALSE(picture.health().synced);
}

TEST_F(KubeReflectorTest, StopsAtOnceWhenTheServerHangs) {
  server_.Inject(Fault::kHang, "list");
  Start();
  ASSERT_TRUE(Eventually([&] { return server_.Requests("list") == 1; }));
  const MonotonicTime start = client_.clock.Now();

  reflector_->Stop();

  EXPECT_LT(client_.clock.Now() - start, std::chrono::seconds(2));
}

TEST_F(KubeReflectorTest, ASilentWatchIsGivenUpAtItsIdleDeadline) {
  ReflectorOptions options = FastOptions();
  options.min_watch_timeout = options.max_watch_timeout = std::chrono::seconds(1);
  options.idle_margin = std::chrono::milliseconds(100);
  Create("a", 1);
  server_.Inject(Fault::kHang, "watch");
  Start(options);
  ASSERT_TRUE(Eventually([&] { return server_.Requests("watch") >= 1; }));
  Replace("a", 2);

  EXPECT_TRUE(Sees({{"a", 2}}));
  EXPECT_EQ(server_.Requests("list"), 1);
}

TEST_F(KubeReflectorTest, ARefusedCallIsTriedOnceMoreWithAFreshCredential) {
  server_.SetToken("new");
  EXPECT_TRUE(
      absl::IsUnauthenticated(client_.api.List({Widgets(), "", false}, 1, "", {}).status()));
  EXPECT_EQ(server_.Requests("list"), 2);  // refused, once more with what is there now, refused
}

// Faults of lists: whatever happens first, the picture is complete in the end and was never wrong.
class ListFaultTest : public KubeReflectorTest, public ::testing::WithParamInterface<Fault> {};

TEST_P(ListFaultTest, TheFirstListSucceedsInTheEnd) {
  Create("a", 1);
  Create("b", 1);
  Create("c", 1);
  server_.Inject(GetParam(), "list", "", 2);

  Start();

  ASSERT_TRUE(Sees({{"a", 1}, {"b", 1}, {"c", 1}}));
  ASSERT_TRUE(Eventually([&] { return picture_.log().size() == 4; }));  // "synced" comes last
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "synced"));
  EXPECT_TRUE(server_.AllFaultsMet());
}

TEST_P(ListFaultTest, ALaterListDoesNotHarmThePicture) {
  Create("a", 1);
  Create("b", 1);
  Create("c", 1);
  StartAndWatch();
  server_.Inject(GetParam(), "list", "continue=", 1);
  server_.Inject(GetParam(), "list", "", 1);
  server_.Inject(Fault::kStreamExpired, "watch");
  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.AllFaultsMet() && server_.open_watches() == 1; }));
  Replace("a", 2);

  ASSERT_TRUE(Sees({{"a", 2}, {"b", 1}, {"c", 1}}));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "synced", "+a"));
}

INSTANTIATE_TEST_SUITE_P(Faults, ListFaultTest,
                         ::testing::Values(Fault::kExpired, Fault::kTooManyRequests,
                                           Fault::kServerError, Fault::kUnavailable,
                                           Fault::kUnauthorized, Fault::kForbidden,
                                           Fault::kResetBeforeHead, Fault::kResetMidBody,
                                           Fault::kTruncatedJson, Fault::kSlowBody));

// Faults of watches: no event is lost, none is reported twice.
class WatchFaultTest : public KubeReflectorTest, public ::testing::WithParamInterface<Fault> {};

TEST_P(WatchFaultTest, LosesNothing) {
  Create("a", 1);
  Create("b", 1);
  StartAndWatch();
  server_.Inject(GetParam(), "watch", "", 2);
  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.AllFaultsMet() && server_.open_watches() == 1; }));
  Replace("a", 2);
  Delete("b");
  Create("c", 1);

  ASSERT_TRUE(Sees({{"a", 2}, {"c", 1}}));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "synced", "+a", "-b", "+c"));
  EXPECT_TRUE(picture_.health().connected);
  EXPECT_TRUE(picture_.health().error.ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, WatchFaultTest,
                         ::testing::Values(Fault::kExpired, Fault::kTooManyRequests,
                                           Fault::kServerError, Fault::kUnavailable,
                                           Fault::kUnauthorized, Fault::kForbidden,
                                           Fault::kResetBeforeHead, Fault::kStreamExpired,
                                           Fault::kStreamError, Fault::kCloseAtOnce,
                                           Fault::kGarbageEvent, Fault::kUnknownEvent,
                                           Fault::kVersionlessEvent, Fault::kHugeEvent));

ReflectorOptions StreamingOptions() {
  ReflectorOptions options = FastOptions();
  options.streaming = std::make_shared<kube::StreamingListSwitch>();
  return options;
}

TEST_F(KubeReflectorTest, AStreamingListIsTheListAndTheWatchInOne) {
  for (const char* name : {"a", "b", "c"}) {
    Create(name, 1);
  }

  StartAndWatch(StreamingOptions());
  Replace("a", 2);

  ASSERT_TRUE(Sees({{"a", 2}, {"b", 1}, {"c", 1}}));
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "synced", "+a"));
  EXPECT_EQ(server_.Requests("list"), 0);
  EXPECT_EQ(server_.Requests("watch"), 1);
  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.Requests("watch") == 2; }));
  Delete("b");
  ASSERT_TRUE(Sees({{"a", 2}, {"c", 1}}));  // from where it was, not from scratch
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "synced", "+a", "-b"));
}

TEST_F(KubeReflectorTest, AStreamingListIsAskedForAnewToo) {
  Create("a", 1);
  ReflectorOptions options = FastOptions();
  options.streaming = std::make_shared<kube::StreamingListSwitch>();
  StartAndWatch(options);

  reflector_->Relist();

  ASSERT_TRUE(Eventually([&] { return picture_.relisted() == 1; }));
  EXPECT_EQ(server_.Requests("list"), 0);
}

TEST_F(KubeReflectorTest, ANewStreamingListReportsOnlyDifferencesToo) {
  CheckThatANewListReportsOnlyDifferences(StreamingOptions());
}

TEST_F(KubeReflectorTest, AStreamThatBreaksIsFollowedByPagesAndTheNextListIsAStreamAgain) {
  Create("a", 1);
  server_.Inject(Fault::kStreamError, "watch");
  const ReflectorOptions options = StreamingOptions();

  StartAndWatch(options);
  EXPECT_EQ(server_.Requests("list"), 1);
  EXPECT_TRUE(options.streaming->on());
  server_.Inject(Fault::kStreamExpired, "watch");
  server_.EndWatches();
  ASSERT_TRUE(Eventually([&] { return server_.AllFaultsMet() && server_.open_watches() == 1; }));

  EXPECT_EQ(server_.Requests("list"), 1);
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "synced"));
}

class KubeStreamingListTest : public KubeReflectorTest,
                              public ::testing::WithParamInterface<FakeStreaming> {
 protected:
  KubeStreamingListTest() : KubeReflectorTest(GetParam()) {}
};

TEST_P(KubeStreamingListTest, AServerThatCannotIsListedInPagesAndNeverAskedAgain) {
  for (const char* name : {"a", "b", "c"}) {
    Create(name, 1);
  }
  ReflectorOptions options = StreamingOptions();
  options.stream_timeout = std::chrono::seconds(1);

  StartAndWatch(options);
  EXPECT_THAT(picture_.log(), ElementsAre("+a", "+b", "+c", "synced"));
  EXPECT_FALSE(options.streaming->on());
  EXPECT_EQ(server_.Requests("list"), 2);
  EXPECT_EQ(server_.Requests("watch"), 2);
  Picture second;
  Reflector another(client_.api, {Widgets(), "", false}, second, client_.clock, options);
  another.Start();
  ASSERT_TRUE(Eventually([&] { return second.health().connected; }));

  EXPECT_EQ(server_.Requests("list"), 4);
  EXPECT_EQ(server_.Requests("watch"), 3);
}

INSTANTIATE_TEST_SUITE_P(Servers, KubeStreamingListTest,
                         ::testing::Values(FakeStreaming::kRefused, FakeStreaming::kFailing,
                                           FakeStreaming::kIgnored));

}  // namespace
}  // namespace rota::testing
