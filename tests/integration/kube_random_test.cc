// The reflector against a real API server and etcd while everything between them fails at random:
// after each round its picture must equal a fresh list, byte for byte.
//
// ROTA_KUBE_ROUNDS: how many rounds (default 30). ROTA_KUBE_SEED: to repeat a run.

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "controller/kube/error.h"
#include "controller/kube/reflector.h"
#include "tests/integration/kube_test_support.h"
#include "tests/support/real_apiserver.h"
#include "tests/support/tcp_relay.h"

namespace rota::testing {
namespace {

using kube::ObjectId;
using nlohmann::json;

constexpr int kObjects = 12;
constexpr int kPatience = 60;  // seconds; an API server that lost its etcd takes its time

// The objects as text. What a list leaves out of an item is the same for all: it is left out here,
// too.
using Objects = std::map<std::string, std::string>;
std::string TextOf(json object) {
  object.erase("kind");
  object.erase("apiVersion");
  return object.dump();
}

// What a reflector has told.
class Picture final : public kube::ReflectorHandler {
 public:
  void OnUpsert(const ObjectId& id, json object) override {
    std::lock_guard guard(mutex_);
    objects_[id.name] = TextOf(object);
  }
  void OnDelete(const ObjectId& id) override {
    std::lock_guard guard(mutex_);
    objects_.erase(id.name);
  }
  void OnSynced() override {}
  void OnHealth(const kube::ReflectorHealth& health) override {
    std::lock_guard guard(mutex_);
    health_ = health;
  }
  Objects objects() const {
    std::lock_guard guard(mutex_);
    return objects_;
  }
  bool connected() const {
    std::lock_guard guard(mutex_);
    return health_.connected;
  }

 private:
  mutable std::mutex mutex_;
  Objects objects_;
  kube::ReflectorHealth health_;
};

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  uint64_t number = 0;
  const char* text = std::getenv(variable);
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

class KubeRandomTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RealApiServer::BinariesDirectory().empty()) {
      GTEST_SKIP() << RealApiServer::SkipMessage();
    }
    auto server = RealApiServer::Start(RealApiServer::BinariesDirectory());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    direct_ = std::make_unique<KubeClient>(server_->ClientConfig());
    const auto created =
        direct_->api.Call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                          WidgetDefinition(), "application/json", {});
    ASSERT_TRUE(created.ok()) << created.status();
    ASSERT_TRUE(Eventually([&] { return Fresh().has_value(); }));
    kube::ClientConfig config = server_->ClientConfig();
    relay_ = std::make_unique<TcpRelay>(config.port);
    config.port = relay_->port();
    client_ = std::make_unique<KubeClient>(std::move(config));
    kube::ReflectorOptions options;
    options.page_size = 3;
    // Short, so that watches also end by themselves.
    options.min_watch_timeout = std::chrono::seconds(2);
    options.max_watch_timeout = std::chrono::seconds(5);
    options.retry.backoff = options.retry.reconnect = {std::chrono::milliseconds(20),
                                                       std::chrono::milliseconds(500), 2.0, 1.0};
    reflector_ = std::make_unique<kube::Reflector>(client_->api, kube::Scope{Widgets(), "", false},
                                                   picture_, client_->clock, options);
    reflector_->Start();
  }

  uint64_t Roll(uint64_t sides) {
    return std::uniform_int_distribution<uint64_t>(0, sides - 1)(dice_);
  }

  // What the server has, read past the relay; nullopt when it cannot be read.
  std::optional<Objects> Fresh() const {
    const auto page = direct_->api.List({Widgets(), "", false}, 0, "", {});
    if (!page.ok()) {
      return std::nullopt;
    }
    Objects objects;
    for (const json& item : page->items) {
      objects[item["metadata"]["name"].get<std::string>()] = TextOf(item);
    }
    return objects;
  }

  // Creates, replaces or deletes a random object; tries until the server takes it.
  void Write() {
    const std::string name = absl::StrCat("w-", Roll(kObjects));
    const std::string path = kube::KubeApi::PathOf(Widgets(), "default", name);
    const bool deletes = Roll(4) == 0;
    // Some are large, so that a connection can break inside one.
    json widget = Widget(name, static_cast<int>(Roll(1000)));
    widget["metadata"]["annotations"] = {{"ballast", std::string(Roll(3) == 0 ? 20'000 : 10, 'x')}};
    absl::Status last;
    const auto written = [&] {
      last = deletes ? direct_->api.Call("DELETE", path, json(), "", {}).status()
                     : direct_->api
                           .Call("PATCH", path + "?fieldManager=test&force=true", widget,
                                 "application/apply-patch+yaml", {})
                           .status();
      return last.ok() || (deletes && absl::IsNotFound(last));
    };
    ASSERT_TRUE(Eventually(written, kPatience)) << last;
  }
  void WriteSome() {
    for (uint64_t i = Roll(5); i > 0; --i) {
      Write();
    }
  }

  // Does one bad thing, with writes before, during and after it. Returns what it was.
  std::string Harm() {
    WriteSome();
    switch (Roll(12)) {
      case 0:
        relay_->ResetAll();
        return "all connections reset";
      case 1:
      case 2:
      case 3:
        relay_->ResetAfter(static_cast<int64_t>(1 + Roll(30'000)));
        return "reset in mid-answer";
      case 4:
        relay_->SetPause(std::chrono::milliseconds(5));
        WriteSome();
        relay_->SetPause({});
        return "slow answers";
      case 5:
      case 6:
        Compact();
        return "compaction under an open watch";
      case 7:
      case 8:
        // The watch finds its version gone: compacted away, and not in the server's memory either.
        return CompactUnseen(Roll(4) == 0);
      case 9:
        return RestartSomething();
      default:
        return "nothing";
    }
  }
  void Compact() {
    const absl::Status compacted = server_->CompactEtcd();
    EXPECT_TRUE(compacted.ok()) << compacted;
  }
  std::string CompactUnseen(bool restart) {
    relay_->SetClosed(true);
    Write();
    WriteSome();
    Compact();
    if (restart) {
      EXPECT_TRUE(server_->StopApiServer().ok());
      EXPECT_TRUE(server_->StartApiServer().ok());
    }
    relay_->SetClosed(false);
    return restart ? "compaction behind a closed road, API server restarted"
                   : "compaction behind a closed road";
  }
  std::string RestartSomething() {
    if (Roll(2) == 0) {
      const absl::Status restarted = server_->RestartEtcd();
      EXPECT_TRUE(restarted.ok()) << restarted;
      return "etcd restarted";
    }
    EXPECT_TRUE(server_->StopApiServer().ok());
    const absl::Status started = server_->StartApiServer();
    EXPECT_TRUE(started.ok()) << started;
    return "API server restarted";
  }

  std::mt19937_64 dice_{0};
  std::unique_ptr<RealApiServer> server_;
  std::unique_ptr<KubeClient> direct_;
  std::unique_ptr<TcpRelay> relay_;
  std::unique_ptr<KubeClient> client_;
  Picture picture_;
  std::unique_ptr<kube::Reflector> reflector_;  // last: stops before what it uses
};

TEST_F(KubeRandomTest, AfterEveryRoundThePictureEqualsAFreshList) {
  const uint64_t rounds = NumberFrom("ROTA_KUBE_ROUNDS", 30);
  const uint64_t seed = NumberFrom("ROTA_KUBE_SEED", std::random_device()());
  dice_.seed(seed);
  std::map<std::string, int> harms;
  // Chance compacts also when nothing has been written since the last time.
  Compact();
  Compact();
  for (uint64_t round = 0; round < rounds && !HasFatalFailure(); ++round) {
    const std::string harm = Harm();
    SCOPED_TRACE(absl::StrCat("ROTA_KUBE_SEED=", seed, ", round ", round, ": ", harm));
    ++harms[harm];
    WriteSome();
    std::optional<Objects> fresh;
    ASSERT_TRUE(Eventually([&] { return (fresh = Fresh()).has_value(); }, kPatience));
    const bool same = Eventually([&] { return picture_.objects() == *fresh; }, kPatience);
    ASSERT_TRUE(same) << ::testing::PrintToString(picture_.objects());
  }
  EXPECT_TRUE(Eventually([&] { return picture_.connected(); }));
  EXPECT_GT(relay_->resets(), 0U);
  for (const auto& [harm, times] : harms) {
    printf("kube random: %3d x %s\n", times, harm.c_str());
  }
}

}  // namespace
}  // namespace rota::testing
