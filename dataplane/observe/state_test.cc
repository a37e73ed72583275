// StateMetrics and the debug pages over one real table with real rotations.
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "common/file.h"
#include "common/process_metrics.h"
#include "dataplane/observe/debug.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/observe/state_metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::observe {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kSecretValue[] = "Bearer sk-very-secret";

class StateTest : public testing::Test {
 protected:
  StateTest() {
    auto api = std::make_shared<table::Api>();
    api->id = "default/chat";
    api->base_path = "/chat";
    api->version = "1.0";
    auto endpoint = std::make_unique<table::Endpoint>();
    endpoint->name = "openai";
    endpoint->url = "https://user:sk-very-secret@api.openai.com/v1?key=sk-very-secret";
    endpoint->credential.place = table::Credential::Place::kHeader;
    endpoint->credential.name = "Authorization";
    endpoint->credential.value = SecretString(kSecretValue);
    auto bound = std::make_unique<table::BoundRotation>();
    rotation::RotationSpec spec;
    spec.id = "rotation-1";
    for (const char* model : {"gpt-4o", "gpt-4o-mini"}) {
      spec.targets.push_back({std::string("target-") + model, 1, 1, true});
      table::Target target;
      target.model = model;
      target.endpoint = endpoint.get();
      target.series = metrics_.Intern({"default/chat", "sandbox", model, "openai"});
      bound->targets.push_back(target);
    }
    bound->rotation = registry_.Resolve(spec);
    rotation_ = bound->rotation;
    table::Operation operation;
    operation.verb = "POST";
    operation.target = "/chat/completions";
    operation.sandbox = table::Route{api.get(), bound.get(), endpoint.get(), 0, 0};
    api->operations.push_back(std::move(operation));
    api->rotations.push_back(std::move(bound));
    api->endpoints.push_back(std::move(endpoint));
    table::RouteTable::Options options;
    options.snapshot_hash = std::string(32, '\xAB');
    table_.Publish(std::make_shared<const table::RouteTable>(
        options, table::RouteTable(), table::ApiChanges{{nullptr, std::move(api)}}));
  }

  std::string Scrape() const {
    std::ostringstream text;
    prometheus::TextSerializer serializer;
    serializer.Serialize(text, metrics_.Collect());
    serializer.Serialize(text, state_.Collect());
    serializer.Serialize(text, ProcessMetrics().Collect());
    return text.str();
  }

  FakeClock clock_;
  RequestMetrics metrics_{1, clock_};
  rotation::Registry registry_{"node-1"};
  Published<table::RouteTable> table_;
  std::shared_ptr<rotation::Rotation> rotation_;
  StateMetrics state_{StateMetrics::Sources{&table_, &registry_, nullptr, &clock_}};
};

TEST_F(StateTest, ASuspensionIsAGaugeThatCountsDownAndGoes) {
  EXPECT_THAT(Scrape(), Not(HasSubstr("rota_suspended_seconds")));
  rotation_->Suspend(1, rotation::Reason::kQuota, clock_.Now(),
                     clock_.Now() + std::chrono::seconds(60));

  EXPECT_THAT(Scrape(), HasSubstr("rota_suspended_seconds{api=\"default/"
                                  "chat\",environment=\"sandbox\",model=\"gpt-4o-mini\","
                                  "target=\"openai\",reason=\"quota\"} 60\n"));

  clock_.Advance(std::chrono::seconds(20));
  EXPECT_THAT(Scrape(), HasSubstr("reason=\"quota\"} 40\n"));

  clock_.Advance(std::chrono::seconds(40));
  EXPECT_THAT(Scrape(), Not(HasSubstr("rota_suspended_seconds")));
}

TEST_F(StateTest, ShowsTheSnapshotInUseAndHowLongItTook) {
  state_.RecordApplied(std::chrono::milliseconds(2));

  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("rota_snapshot_info{version=\"abababababababab\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_snapshot_apply_seconds_bucket{le=\"0.001\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("rota_snapshot_apply_seconds_bucket{le=\"0.0025\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_apis 1\n"));
}

TEST_F(StateTest, PromtoolAcceptsTheMetrics) {
  if (std::system("command -v promtool > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "promtool is not on the path: run scripts/lib/promtool, as scripts/test does";
  }
  const table::SeriesId series = metrics_.Intern({"default/chat", "sandbox", "gpt-4o", "openai"});
  LoopMetrics& loop = metrics_.loop(0);
  loop.CountRequest(series, 200);
  loop.CountFailover(series, FailoverReason::kTls);
  loop.CountSuspension(series, rotation::Reason::kQuota);
  loop.CountTokens(series, TokenKind::kCached, 1);
  loop.ObserveOverhead(series, std::chrono::microseconds(20));
  loop.ObserveUpstream(series, std::chrono::seconds(1));
  loop.ObserveTimeToFirstToken(series, std::chrono::milliseconds(100));
  state_.RecordApplied(std::chrono::milliseconds(2));
  rotation_->Suspend(0, rotation::Reason::kQuota, clock_.Now(),
                     clock_.Now() + std::chrono::seconds(60));
  const std::string file = testing::TempDir() + "rota_metrics." + std::to_string(getpid());
  ASSERT_TRUE(WriteFileAtomically(file, Scrape()).ok());

  EXPECT_EQ(std::system(("promtool check metrics < " + file).c_str()), 0);
  std::remove(file.c_str());
}

TEST_F(StateTest, DebugRotationsShowsWhoIsOnTheRota) {
  rotation_->PickFirst(clock_.Now());
  rotation_->Suspend(0, rotation::Reason::kAuth, clock_.Now(),
                     clock_.Now() + std::chrono::seconds(30));

  const nlohmann::json page =
      nlohmann::json::parse(DescribeRotations(*table_.Get(), "", clock_.Now()));

  const nlohmann::json& rotation = page["apis"][0]["rotations"][0];
  EXPECT_EQ(rotation["environment"], "sandbox");
  EXPECT_EQ(rotation["targets"][0]["model"], "gpt-4o");
  EXPECT_EQ(rotation["targets"][0]["eligible"], false);
  EXPECT_EQ(rotation["targets"][0]["suspension"]["reason"], "auth");
  EXPECT_EQ(rotation["targets"][0]["suspension"]["remaining_seconds"], 30.0);
  EXPECT_EQ(rotation["targets"][0]["suspension"]["seen_by"], "node-1");
  EXPECT_EQ(rotation["targets"][1]["eligible"], true);
  EXPECT_EQ(rotation["targets"][0]["first_picks"].get<int>() +
                rotation["targets"][1]["first_picks"].get<int>(),
            1);
}

TEST_F(StateTest, DebugConfigShowsNoSecret) {
  const std::string text = DescribeConfig(*table_.Get(), "");

  EXPECT_THAT(text, Not(HasSubstr("very-secret")));
  const nlohmann::json page = nlohmann::json::parse(text);
  EXPECT_EQ(page["snapshot"], "abababababababab");
  const nlohmann::json& api = page["apis"][0];
  EXPECT_EQ(api["endpoints"][0]["url"], "https://api.openai.com/v1");
  EXPECT_EQ(api["endpoints"][0]["credential"]["name"], "Authorization");
  EXPECT_EQ(api["operations"][0]["sandbox"]["rotation"], "rotation-1");
  EXPECT_TRUE(api["operations"][0]["production"].is_null());
}

TEST_F(StateTest, DebugPagesCanBeAskedForOneApi) {
  EXPECT_EQ(nlohmann::json::parse(DescribeConfig(*table_.Get(), "default/chat"))["apis"].size(),
            1u);
  EXPECT_EQ(nlohmann::json::parse(DescribeConfig(*table_.Get(), "default/other"))["apis"].size(),
            0u);
}

TEST_F(StateTest, DebugPagesWithoutASnapshotSaySo) {
  const Published<table::RouteTable> nothing;
  AdminPages pages;
  AddDebugPages(pages, nothing, clock_);

  for (const auto& [key, handler] : pages.handlers()) {
    EXPECT_EQ(handler(AdminRequest{key.first, {}, ""}).status, 503);
  }
}

}  // namespace
}  // namespace rota::observe
