// What the Kubernetes client relies on, asked of the fake API server and of the real one alike.

#include <gmock/gmock.h>

#include <set>

#include "controller/kube/error.h"
#include "controller/kube/lease.h"
#include "tests/integration/kube_test_support.h"
#include "tests/support/fake_apiserver.h"
#include "tests/support/real_apiserver.h"

namespace rota::testing {
namespace {

using kube::ErrorOf;
using kube::Resource;
using kube::Scope;
using kube::WatchEvent;
using kube::WatchEventType;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kJson[] = "application/json";

Resource Events() { return {"events.k8s.io", "v1", "events", "Event"}; }

// One server of each kind for the whole suite: the real one takes seconds to start.
class Servers {
 public:
  static kube::ClientConfig Config(const std::string& kind) {
    if (kind == "fake") {
      if (fake_ == nullptr) {
        FakeApiServerOptions options;
        options.tls = true;
        options.token = "secret-of-the-test";
        fake_ = std::make_unique<FakeApiServer>(options);
        fake_->Register(Widgets());
        fake_->Register(Secrets());
        fake_->Register(kube::LeaseResource());
        fake_->Register(Events());
      }
      return fake_->ClientConfig();
    }
    if (real_ == nullptr) {
      auto server = RealApiServer::Start(RealApiServer::BinariesDirectory());
      EXPECT_TRUE(server.ok()) << server.status();
      real_ = *std::move(server);
      KubeClient client(real_->ClientConfig());
      const auto created =
          client.api.Call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                          WidgetDefinition(), kJson, {});
      EXPECT_TRUE(created.ok()) << created.status();
      EXPECT_TRUE(Eventually([&] {
        return client.api.List({Widgets(), "", false}, 1, "", {}).ok();
      }));
    }
    return real_->ClientConfig();
  }
  static void StopAll() {
    fake_.reset();
    real_.reset();
  }

 private:
  static inline std::unique_ptr<FakeApiServer> fake_;
  static inline std::unique_ptr<RealApiServer> real_;
};

class KubeConformanceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "real" && RealApiServer::BinariesDirectory().empty()) {
      GTEST_SKIP() << RealApiServer::SkipMessage();
    }
    client_ = std::make_unique<KubeClient>(Servers::Config(GetParam()));
    // Each test leaves an empty collection behind; the one before may have failed.
    for (const Resource& resource : {Widgets(), Secrets()}) {
      const auto page = api().List({resource, "default", false}, 0, "", {});
      ASSERT_TRUE(page.ok()) << page.status();
      for (const json& item : page->items) {
        Delete(resource, item["metadata"]["name"].get<std::string>());
      }
    }
  }
  static void TearDownTestSuite() { Servers::StopAll(); }

  const kube::KubeApi& api() const { return client_->api; }
  json Create(const Resource& resource, const json& object) {
    const auto created =
        api().Call("POST", kube::KubeApi::PathOf(resource, "default"), object, kJson, {});
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? *created : json::object();
  }
  json Replace(const Resource& resource, json object) {
    const std::string name = object["metadata"]["name"].get<std::string>();
    const auto replaced =
        api().Call("PUT", kube::KubeApi::PathOf(resource, "default", name), object, kJson, {});
    EXPECT_TRUE(replaced.ok()) << replaced.status();
    return replaced.ok() ? *replaced : json::object();
  }
  void Delete(const Resource& resource, const std::string& name) {
    const auto deleted =
        api().Call("DELETE", kube::KubeApi::PathOf(resource, "default", name), json(), "", {});
    EXPECT_TRUE(deleted.ok()) << deleted.status();
  }
  json Get(const Resource& resource, const std::string& name) {
    const auto object = api().Get(resource, "default", name, {});
    EXPECT_TRUE(object.ok()) << object.status();
    return object.ok() ? *object : json::object();
  }
  absl::StatusOr<json> Apply(const std::string& name, const json& status,
                             const std::string& manager = "one", const std::string& uid = "") {
    return api().ApplyStatus(Widgets(), "default", name, uid, status, manager, {});
  }
  // The events of a watch of `seconds`, at most `count`.
  std::vector<WatchEvent> Watch(const Scope& scope, const std::string& version, int seconds,
                                size_t count) {
    kube::WatchOptions options;
    options.resource_version = version;
    options.timeout = std::chrono::seconds(seconds);
    std::vector<WatchEvent> events;
    const absl::Status status = api().Watch(
        scope, options, [] {},
        [&](WatchEvent event) {
          events.push_back(std::move(event));
          return events.size() < count;
        },
        {});
    EXPECT_TRUE(status.ok()) << status;
    return events;
  }

  std::unique_ptr<KubeClient> client_;
  const Scope widgets_{Widgets(), "default", false};
};

std::string VersionOf(const json& object) {
  return object["metadata"]["resourceVersion"].get<std::string>();
}

json Condition(const std::string& type, const std::string& status) {
  return {{"type", type}, {"status", status}, {"reason", "Because"}, {"message", "so it is"}};
}

TEST_P(KubeConformanceTest, PagesOfAListShareOneResourceVersionAndRepeatNothing) {
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    Create(Widgets(), Widget(name, 1));
  }

  std::set<std::string> names;
  std::string token;
  std::string version;
  int pages = 0;
  do {
    const auto page = api().List(widgets_, 2, token, {});
    ASSERT_TRUE(page.ok()) << page.status();
    if (pages == 0) {
      version = page->resource_version;
      Create(Widgets(), Widget("z", 1));  // after the snapshot: on none of its pages
    }
    EXPECT_EQ(page->resource_version, version);
    for (const json& item : page->items) {
      EXPECT_TRUE(names.insert(item["metadata"]["name"].get<std::string>()).second);
    }
    token = page->continue_token;
    ++pages;
  } while (!token.empty());

  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_P(KubeConformanceTest, AWatchFromAListSeesEveryLaterChangeInOrder) {
  Create(Widgets(), Widget("before", 1));
  const auto page = api().List(widgets_, 500, "", {});
  ASSERT_TRUE(page.ok()) << page.status();
  json created = Create(Widgets(), Widget("w", 1));
  created["spec"]["size"] = 2;
  const json replaced = Replace(Widgets(), created);
  Delete(Widgets(), "w");

  const std::vector<WatchEvent> events = Watch(widgets_, page->resource_version, 10, 3);

  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].type, WatchEventType::kAdded);
  EXPECT_EQ(events[0].object["spec"]["size"], 1);
  EXPECT_EQ(events[1].type, WatchEventType::kModified);
  EXPECT_EQ(events[1].object["spec"]["size"], 2);
  EXPECT_EQ(events[1].resource_version, VersionOf(replaced));
  EXPECT_EQ(events[2].type, WatchEventType::kDeleted);
  // The version of the deletion, not of the object's last life: a watch from there does not repeat
  // it.
  EXPECT_NE(events[2].resource_version, VersionOf(replaced));
}

TEST_P(KubeConformanceTest, AWatchFromTheMiddleDoesNotRepeatWhatWasSeen) {
  const json first = Create(Widgets(), Widget("a", 1));
  Create(Widgets(), Widget("b", 1));

  const std::vector<WatchEvent> events = Watch(widgets_, VersionOf(first), 10, 1);

  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object["metadata"]["name"], "b");
}

TEST_P(KubeConformanceTest, AWatchEndsByItselfAtItsTimeoutWithoutAnError) {
  const auto page = api().List(widgets_, 500, "", {});
  ASSERT_TRUE(page.ok()) << page.status();
  const MonotonicTime start = client_->clock.Now();

  const std::vector<WatchEvent> events = Watch(widgets_, page->resource_version, 1, 1);

  EXPECT_TRUE(events.empty());
  EXPECT_LT(client_->clock.Now() - start, std::chrono::seconds(4));
}

TEST_P(KubeConformanceTest, ABookmarkBeforeTheEndTellsOfProgressElsewhere) {
  const auto page = api().List(widgets_, 500, "", {});
  ASSERT_TRUE(page.ok()) << page.status();
  const json created = Create(Widgets(), Widget("w", 1));
  const std::string elsewhere = kube::KubeApi::PathOf(Widgets(), "kube-system");
  kube::WatchOptions options;
  options.resource_version = page->resource_version;
  options.timeout = std::chrono::seconds(8);
  std::vector<WatchEvent> events;

  const absl::Status status = api().Watch(
      widgets_, options, [] {},
      [&](WatchEvent event) {
        if (events.empty()) {
          // The server sends a bookmark only for progress that came after the watch was opened and
          // that the watch itself has not seen.
          EXPECT_TRUE(api().Call("POST", elsewhere, Widget("w", 1), kJson, {}).ok());
        }
        events.push_back(std::move(event));
        return events.size() < 2;
      },
      {});
  EXPECT_TRUE(api().Call("DELETE", elsewhere + "/w", json(), "", {}).ok());

  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].resource_version, VersionOf(created));
  EXPECT_EQ(events[1].type, WatchEventType::kBookmark);
  EXPECT_NE(events[1].resource_version, VersionOf(created));
  EXPECT_FALSE(events[1].object.contains("spec"));
}

TEST_P(KubeConformanceTest, AWatchFromAnAncientVersionIsAnErrorEventExpired) {
  const std::vector<WatchEvent> events = Watch(widgets_, "1", 10, 1);

  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0].type, WatchEventType::kError);
  EXPECT_TRUE(ErrorOf(kube::ErrorFromStatusObject(events[0].object, "watch")).expired());
}

TEST_P(KubeConformanceTest, AWatchFromAVersionThatIsNoneIsRefusedAtTheDoor) {
  kube::WatchOptions options;
  options.resource_version = "nonsense";
  options.timeout = std::chrono::seconds(2);
  bool opened = false;

  const absl::Status status = api().Watch(
      widgets_, options, [&] { opened = true; }, [](WatchEvent) { return true; }, {});

  EXPECT_FALSE(opened);
  EXPECT_EQ(ErrorOf(status).http_code, 500) << status;  // as plain text
}

TEST_P(KubeConformanceTest, MetadataOnlyHidesTheContentOfSecretsInListsAndWatches) {
  const Scope scope{Secrets(), "default", true};
  Create(Secrets(), SecretManifest("one", "c2VjcmV0"));

  const auto page = api().List(scope, 500, "", {});
  ASSERT_TRUE(page.ok()) << page.status();
  Create(Secrets(), SecretManifest("two", "c2VjcmV0"));
  const std::vector<WatchEvent> events = Watch(scope, page->resource_version, 10, 1);

  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0]["metadata"]["name"], "one");
  EXPECT_THAT(page->items[0].dump(), Not(HasSubstr("c2VjcmV0")));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object["kind"], "PartialObjectMetadata");
  EXPECT_EQ(events[0].object["metadata"]["name"], "two");
  EXPECT_THAT(events[0].object.dump(), Not(HasSubstr("c2VjcmV0")));
}

TEST_P(KubeConformanceTest, WhatIsNotThereIsANotFoundStatus) {
  const absl::Status object = api().Get(Widgets(), "default", "nobody", {}).status();
  EXPECT_EQ(ErrorOf(object).http_code, 404) << object;
  EXPECT_EQ(ErrorOf(object).reason, "NotFound");

  const Scope unknown{{"test.rota.dev", "v1", "gadgets", "Gadget"}, "default", false};
  const absl::Status list = api().List(unknown, 500, "", {}).status();
  EXPECT_EQ(ErrorOf(list).http_code, 404) << list;
}

TEST_P(KubeConformanceTest, AGetNotOlderThanAVersionSeesThatVersion) {
  json widget = Create(Widgets(), Widget("a", 1));
  for (int size = 2; size < 20; ++size) {
    widget["spec"]["size"] = size;
    widget = Replace(Widgets(), widget);
    const auto seen = api().Get(Widgets(), "default", "a", {},
                                widget["metadata"]["resourceVersion"].get<std::string>());
    ASSERT_TRUE(seen.ok()) << seen.status();
    EXPECT_EQ((*seen)["spec"]["size"], size);
  }
}

TEST_P(KubeConformanceTest, AWrongTokenIsUnauthorized) {
  kube::ClientConfig config = Servers::Config(GetParam());
  config.token = SecretString("wrong");
  const KubeClient stranger(config);

  const absl::Status status = stranger.api.List(widgets_, 500, "", {}).status();

  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("wrong")));
}

TEST_P(KubeConformanceTest, AServerOfAnotherAuthorityIsNotTalkedTo) {
  kube::ClientConfig config = Servers::Config(GetParam());
  config.ca_data = MakeAuthority("somebody else").certificate;
  const KubeClient client(config);

  const absl::Status status = client.api.List(widgets_, 500, "", {}).status();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate"));
}

TEST_P(KubeConformanceTest, TheCertificateMustBeForTheNameThatIsAsked) {
  kube::ClientConfig config = Servers::Config(GetParam());
  config.tls_server_name = "localhost";
  EXPECT_TRUE(KubeClient(config).api.List(widgets_, 500, "", {}).ok());

  config.tls_server_name = "elsewhere.example";
  const absl::Status status = KubeClient(config).api.List(widgets_, 500, "", {}).status();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("hostname mismatch"));
}

TEST_P(KubeConformanceTest, OnlyTheSpecMovesTheGenerationAndTheMainEndpointIgnoresStatus) {
  json object = Create(Widgets(), Widget("w", 1));
  EXPECT_EQ(object["metadata"]["generation"], 1);
  object["spec"]["size"] = 2;
  object["status"] = {{"note", "not through this door"}};

  const json replaced = Replace(Widgets(), object);
  ASSERT_TRUE(Apply("w", {{"note", "through this one"}}).ok());
  const json final_object = Get(Widgets(), "w");

  EXPECT_EQ(replaced["metadata"]["generation"], 2);
  EXPECT_FALSE(replaced.contains("status"));
  EXPECT_EQ(final_object["metadata"]["generation"], 2);
  EXPECT_EQ(final_object["status"]["note"], "through this one");
}

TEST_P(KubeConformanceTest, ApplyingTheSameStatusAgainLeavesTheResourceVersion) {
  Create(Widgets(), Widget("w", 1));
  const json status = {{"note", "n"}, {"conditions", {Condition("Accepted", "True")}}};
  const auto first = Apply("w", status);
  ASSERT_TRUE(first.ok()) << first.status();

  const auto second = Apply("w", status);

  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(VersionOf(*first), VersionOf(*second));
}

TEST_P(KubeConformanceTest, AFieldThatIsNoLongerAppliedDisappears) {
  Create(Widgets(), Widget("w", 1));
  ASSERT_TRUE(
      Apply("w", {{"note", "n"},
                  {"conditions", {Condition("Accepted", "True"), Condition("Programmed", "True")}}})
          .ok());

  const auto shrunk = Apply("w", {{"conditions", {Condition("Accepted", "True")}}});

  ASSERT_TRUE(shrunk.ok()) << shrunk.status();
  EXPECT_FALSE((*shrunk)["status"].contains("note"));
  EXPECT_EQ((*shrunk)["status"]["conditions"].size(), 1u);
}

TEST_P(KubeConformanceTest, TwoWritersKeepEachOthersConditions) {
  Create(Widgets(), Widget("w", 1));
  ASSERT_TRUE(Apply("w", {{"conditions", {Condition("Accepted", "True")}}}, "one").ok());

  const auto both = Apply("w", {{"conditions", {Condition("Audited", "True")}}}, "two");

  ASSERT_TRUE(both.ok()) << both.status();
  std::set<std::string> types;
  for (const json& condition : (*both)["status"]["conditions"]) {
    types.insert(condition["type"].get<std::string>());
  }
  EXPECT_THAT(types, ElementsAre("Accepted", "Audited"));
}

TEST_P(KubeConformanceTest, AStatusForNobodyIsNotFoundAndCreatesNobody) {
  const absl::Status nobody = Apply("nobody", {{"note", "n"}}).status();

  EXPECT_EQ(ErrorOf(nobody).http_code, 404) << nobody;
  EXPECT_EQ(ErrorOf(api().Get(Widgets(), "default", "nobody", {}).status()).http_code, 404);
}

// A uid in the body of a status apply is no precondition; what the answer says is all there is.
TEST_P(KubeConformanceTest, TheAnswerToAStatusNamesTheIncarnationThatGotIt) {
  const json old_object = Create(Widgets(), Widget("w", 1));
  Delete(Widgets(), "w");
  const json new_object = Create(Widgets(), Widget("w", 1));
  ASSERT_NE(old_object["metadata"]["uid"], new_object["metadata"]["uid"]);

  const auto applied =
      Apply("w", {{"note", "n"}}, "one", old_object["metadata"]["uid"].get<std::string>());

  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ((*applied)["metadata"]["uid"], new_object["metadata"]["uid"]);
}

TEST_P(KubeConformanceTest, AStreamingListEndsWithAnAnnotatedBookmarkAndGoesOnAsAWatch) {
  Create(Widgets(), Widget("a", 1));
  Create(Widgets(), Widget("b", 1));
  kube::WatchOptions options;
  options.sends_initial_events = true;
  options.timeout = std::chrono::seconds(10);
  std::vector<WatchEvent> events;

  const absl::Status status = api().Watch(
      widgets_, options, [] {},
      [&](WatchEvent event) {
        const bool is_end = kube::IsEndOfList(event);
        if (events.empty()) {
          EXPECT_FALSE(is_end);
        }
        if (is_end) {
          Create(Widgets(), Widget("later", 1));
        }
        events.push_back(std::move(event));
        return events.size() < 4;
      },
      {});

  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(events.size(), 4u);
  std::set<std::string> names;
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(events[i].type, WatchEventType::kAdded);
    names.insert(events[i].object["metadata"]["name"].get<std::string>());
  }
  EXPECT_THAT(names, ElementsAre("a", "b"));
  EXPECT_TRUE(kube::IsEndOfList(events[2]));
  EXPECT_EQ(events[3].object["metadata"]["name"], "later");
  const std::vector<WatchEvent> again = Watch(widgets_, events[2].resource_version, 10, 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].object["metadata"]["name"], "later");
}

TEST_P(KubeConformanceTest, ALeaseIsReplacedOnlyByWhoHasSeenItsNewestVersion) {
  kube::LeaseState a("default", "conformance", "a", {});
  kube::LeaseState b("default", "conformance", "b", {});
  const auto send = [&](const kube::LeaseRequest& request) {
    const bool is_create = request.kind == kube::LeaseRequest::Kind::kCreate;
    const char* const method = request.kind == kube::LeaseRequest::Kind::kRead ? "GET"
                               : is_create                                     ? "POST"
                                                                               : "PUT";
    return api().Call(
        method,
        kube::KubeApi::PathOf(kube::LeaseResource(), "default", is_create ? "" : "conformance"),
        request.body, kJson, {});
  };
  const MonotonicTime now = client_->clock.Now();
  const WallTime wall = client_->clock.WallNow();
  const auto turn = [&](kube::LeaseState& state) {
    std::optional<kube::LeaseRequest> request = state.Begin(wall);
    while (request.has_value()) {
      request = state.OnAnswer(send(*request), now, now, wall);
    }
  };
  // Both find nothing; both create.
  std::optional<kube::LeaseRequest> of_b = b.Begin(wall);
  of_b = b.OnAnswer(send(*of_b), now, now, wall);
  turn(a);
  const absl::StatusOr<json> too_late = send(*of_b);
  EXPECT_EQ(ErrorOf(too_late.status()).reason, "AlreadyExists") << too_late.status();
  EXPECT_TRUE(a.Leads(now));

  const kube::LeaseRequest renewal = a.Begin(wall + std::chrono::seconds(1));
  ASSERT_TRUE(send(renewal).ok());
  const absl::StatusOr<json> outdated = send(renewal);
  EXPECT_EQ(ErrorOf(outdated.status()).http_code, 409) << outdated.status();
  kube::LeaseRequest blind = renewal;
  blind.body["metadata"].erase("resourceVersion");
  EXPECT_EQ(ErrorOf(send(blind).status()).http_code, 422) << send(blind).status();

  turn(a);
  const std::optional<kube::LeaseRequest> release = a.Release(wall);
  ASSERT_TRUE(release.has_value());
  EXPECT_TRUE(send(*release).ok()) << send(*release).status();
  turn(b);
  EXPECT_TRUE(b.Leads(now));
  Delete(kube::LeaseResource(), "conformance");
}

TEST_P(KubeConformanceTest, AnEventIsCountedByAPatchOfItsSeries) {
  const std::string time = kube::MicroTime(client_->clock.WallNow());
  Create(Events(), {{"apiVersion", "events.k8s.io/v1"},
                    {"kind", "Event"},
                    {"metadata", {{"name", "w.1"}, {"namespace", "default"}}},
                    {"eventTime", time},
                    {"reportingController", "rota.dev/test"},
                    {"reportingInstance", "one"},
                    {"action", "Test"},
                    {"reason", "Tested"},
                    {"type", "Normal"},
                    {"note", "it is so"},
                    {"regarding",
                     {{"apiVersion", "test.rota.dev/v1"},
                      {"kind", "Widget"},
                      {"namespace", "default"},
                      {"name", "w"}}}});

  const auto patched = api().Call("PATCH", kube::KubeApi::PathOf(Events(), "default", "w.1"),
                                  {{"series", {{"count", 2}, {"lastObservedTime", time}}}},
                                  "application/merge-patch+json", {});

  ASSERT_TRUE(patched.ok()) << patched.status();
  EXPECT_EQ((*patched)["series"]["count"], 2);
  Delete(Events(), "w.1");
}

INSTANTIATE_TEST_SUITE_P(Servers, KubeConformanceTest, ::testing::Values("fake", "real"),
                         [](const auto& server) { return server.param; });

}  // namespace
}  // namespace rota::testing
