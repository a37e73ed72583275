// Dry runs over one real table with real rotations.

#include "dataplane/observe/explain.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/observe/debug.h"
#include "dataplane/rotation/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::observe {
namespace {

using testing::HasSubstr;
using testing::Not;

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    const table::ApiChanges apis = {{nullptr, MakeApi("default/chat", "/chat")},
                                    {nullptr, MakeApi("other/chat", "/elsewhere")},
                                    {nullptr, MakeApi("other/tools", "/tools")}};
    table::RouteTable::Options options;
    options.snapshot_hash = std::string(32, '\xAB');
    table_ = std::make_unique<const table::RouteTable>(options, table::RouteTable(), apis);
  }

  // Production: gpt-4o (weight 2) and gpt-4o-mini, o1 in tier 2. Sandbox: gpt-4o-mini. GET /models
  // has no rotation; GET /models and DELETE /files/{id} have no sandbox.
  std::shared_ptr<const table::Api> MakeApi(const std::string& id, const std::string& base_path) {
    auto api = std::make_shared<table::Api>();
    api->id = id;
    api->mounts = {base_path + "/1.0", base_path};
    auto endpoint = std::make_shared<table::Endpoint>();
    endpoint->name = "openai";
    endpoint->url = "https://user:sk-very-secret@api.openai.com/v1";
    const table::Route production{api.get(), AddRotation(*api, *endpoint, "production"),
                                  endpoint.get(), 0, 0};
    const table::Route sandbox{api.get(), AddRotation(*api, *endpoint, "sandbox"), endpoint.get(),
                               0, 0};
    const table::Route plain{api.get(), nullptr, endpoint.get(), 0, 0};
    auto index = std::make_shared<table::OperationIndex>();
    AddOperation(*api, *index, "GET", "/models", plain, std::nullopt);
    AddOperation(*api, *index, "POST", "/chat/completions", production, sandbox);
    AddOperation(*api, *index, "DELETE", "/files/{id}", plain, std::nullopt);
    index->Freeze();
    api->index = std::move(index);
    api->endpoints.push_back(std::move(endpoint));
    return api;
  }
  const table::BoundRotation* AddRotation(table::Api& api, const table::Endpoint& endpoint,
                                          const std::string& environment) {
    rotation::RotationSpec spec;
    spec.id = api.id + "/" + environment;
    auto bound = std::make_unique<table::BoundRotation>();
    const auto add = [&](const std::string& model, uint32_t weight, uint32_t tier) {
      spec.targets.push_back({spec.id + "/" + model, weight, tier, true});
      table::Target target;
      target.model = model;
      target.endpoint = &endpoint;
      bound->targets.push_back(target);
    };
    if (environment == "production") {
      add("gpt-4o", 2, 1);
      add("o1", 1, 2);
    }
    add("gpt-4o-mini", 1, 1);
    bound->rotation = registry_.Resolve(spec);
    api.rotations.push_back(std::move(bound));
    return api.rotations.back().get();
  }
  static void AddOperation(table::Api& api, table::OperationIndex& index, const std::string& verb,
                           const std::string& target, const table::Route& production,
                           const std::optional<table::Route>& sandbox) {
    ASSERT_TRUE(index.Add(target, verb, static_cast<int>(api.operations.size())).ok());
    table::Operation operation;
    operation.verb = verb;
    operation.target = target;
    operation.production = production;
    operation.sandbox = sandbox;
    api.operations.push_back(std::move(operation));
  }

  nlohmann::ordered_json Ask(const ExplainQuery& query, int status = 200) {
    const Explanation explanation = Explain(*table_, query, clock_.Now());
    EXPECT_EQ(explanation.status, status) << explanation.json;
    return explanation.json;
  }
  void Suspend(const std::string& target, int seconds) {
    registry_.ApplyRemote({{target, rotation::Reason::kQuota,
                            clock_.Now() + std::chrono::seconds(seconds), 1, "node-2"}},
                          clock_.Now());
  }

  FakeClock clock_;
  rotation::Registry registry_{"node-1"};
  std::unique_ptr<const table::RouteTable> table_;
};

TEST_F(ExplainTest, AnApiAloneMeansItsFirstOperationWithARotation) {
  const auto json = Ask({.api = "default/chat"});
  EXPECT_EQ(json["api"], "default/chat");
  EXPECT_EQ(json["request"]["verb"], "POST");
  EXPECT_EQ(json["request"]["path"], "/chat/1.0/chat/completions");
  EXPECT_EQ(json["environment"], "production");
  EXPECT_EQ(json["environment_because"], "no label of the host is `sandbox`");
  EXPECT_EQ(json["answer"], 0);
  EXPECT_EQ(json["upstream_path"], "/chat/completions");
  EXPECT_EQ(json["first_endpoint"]["url"], "https://api.openai.com/v1");
  EXPECT_THAT(json.dump(), Not(HasSubstr("very-secret")));
}

TEST_F(ExplainTest, ShowsSharesAndWhatComesNextAndPicksNothing) {
  const auto json = Ask({.api = "default/chat"});
  const auto& targets = json["rotation"]["targets"];
  EXPECT_NEAR(targets[0]["share"].get<double>(), 2.0 / 3, 1e-9);
  EXPECT_EQ(targets[1]["share"], 0.0) << "another tier";
  EXPECT_NEAR(targets[2]["share"].get<double>(), 1.0 / 3, 1e-9);
  EXPECT_EQ(Ask({.api = "default/chat"}), json);
  const auto& rotation = *(*table_->apis().begin())->rotations[0];
  for (const auto& next : json["rotation"]["next"]) {
    const size_t target = rotation.rotation->PickFirst(clock_.Now()).pick->target;
    EXPECT_EQ(next["model"], rotation.targets[target].model);
  }
}

TEST_F(ExplainTest, TheEnvironmentIsTheOneAskedForOrTheHosts) {
  const auto asked = Ask({.api = "default/chat", .environment = "sandbox"});
  EXPECT_EQ(asked["environment"], "sandbox");
  EXPECT_EQ(asked["rotation"]["targets"].size(), 1u);
  const auto host = Ask({.api = "default/chat", .host = "chat.sandbox.example.com:8443"});
  EXPECT_EQ(host["environment"], "sandbox");
  EXPECT_EQ(host["environment_because"], "a label of the host is `sandbox`");
  EXPECT_THAT(Ask({.api = "default/chat", .host = "a.org", .environment = "sandbox"}, 400)["error"]
                  .get<std::string>(),
              HasSubstr("a.org does not mean sandbox"));
  EXPECT_THAT(Ask({.api = "default/chat", .environment = "test"}, 400)["error"].get<std::string>(),
              HasSubstr("neither production nor sandbox"));
}

TEST_F(ExplainTest, PathsAreWholeOrBehindTheApisOwn) {
  for (const char* path : {"/chat/1.0/models", "/chat/models", "/models", "models"}) {
    const auto json = Ask({.api = "default/chat", .verb = "GET", .path = path});
    EXPECT_EQ(json["operation"]["target"], "/models") << path;
    EXPECT_EQ(json["answer"], 0);
    EXPECT_THAT(json["because"].get<std::string>(), HasSubstr("first endpoint"));
    EXPECT_FALSE(json.contains("rotation"));
  }
  const auto json = Ask({.verb = "POST", .path = "/elsewhere/1.0/chat/completions"});
  EXPECT_EQ(json["api"], "other/chat");
}

TEST_F(ExplainTest, SaysWhatIsAnsweredWithoutBeingSent) {
  EXPECT_EQ(Ask({.path = "/nowhere"})["answer"], 404);
  EXPECT_EQ(Ask({.path = "/chat/1.0/nowhere"})["answer"], 404);
  EXPECT_EQ(Ask({.path = "/../x"})["answer"], 400);
  const auto wrong_verb = Ask({.verb = "PUT", .path = "/chat/1.0/models"});
  EXPECT_EQ(wrong_verb["answer"], 405);
  EXPECT_THAT(wrong_verb["because"].get<std::string>(), HasSubstr("GET"));
  const auto environment =
      Ask({.api = "other/tools", .environment = "sandbox", .verb = "GET", .path = "/models"});
  EXPECT_EQ(environment["answer"], 404);
  EXPECT_THAT(environment["because"].get<std::string>(), HasSubstr("nothing for sandbox"));
}

TEST_F(ExplainTest, SuspendedTargetsHaveNoShareAndTheRestIsNext) {
  Suspend("default/chat/production/gpt-4o", 60);
  const auto json = Ask({.api = "default/chat", .model = "gpt-4o"});
  EXPECT_EQ(json["rotation"]["targets"][0]["suspension"]["reason"], "quota");
  EXPECT_EQ(json["rotation"]["targets"][0]["suspension"]["remaining_seconds"], 60.0);
  EXPECT_EQ(json["rotation"]["first_return_seconds"], 60.0);
  EXPECT_EQ(json["rotation"]["next"][0]["model"], "gpt-4o-mini");
  EXPECT_EQ(json["model"]["configured"], true);
  EXPECT_EQ(json["model"]["share"], 0.0);
  EXPECT_EQ(Ask({.api = "default/chat", .model = "gpt-5"})["model"]["configured"], false);
  EXPECT_EQ(Ask({.api = "default/chat", .model = "gpt-4o-mini"})["model"]["share"], 1.0);
}

TEST_F(ExplainTest, WithNothingEligibleItSaysWhatHappens) {
  Suspend("default/chat/sandbox/gpt-4o-mini", 30);
  const auto json = Ask({.api = "default/chat", .environment = "sandbox"});
  EXPECT_EQ(json["answer"], 429);
  EXPECT_THAT(json["because"].get<std::string>(), HasSubstr("Reject"));
  EXPECT_TRUE(json["rotation"]["next"].empty());
  EXPECT_EQ(json["rotation"]["first_return_seconds"], 30.0);
}

TEST_F(ExplainTest, ANameMayLackItsNamespaceWhereThatIsEnough) {
  EXPECT_EQ(Ask({.api = "tools"})["api"], "other/tools");
  EXPECT_THAT(Ask({.api = "chat"}, 400)["error"].get<std::string>(),
              HasSubstr("default/chat, other/chat"));
  EXPECT_THAT(Ask({.api = "absent"}, 404)["error"].get<std::string>(), HasSubstr("'absent'"));
  EXPECT_THAT(Ask({.api = "tool"}, 404)["error"].get<std::string>(),
              HasSubstr("did you mean other/tools?"));
  EXPECT_THAT(Ask({}, 400)["error"].get<std::string>(), HasSubstr("give an API"));
  EXPECT_THAT(Ask({.api = "tools", .verb = "TRACE"}, 404)["error"].get<std::string>(),
              HasSubstr("TRACE"));
}

TEST_F(ExplainTest, LiftingEndsASuspensionButNotThroughAPortThatEverybodyReaches) {
  Suspend("default/chat/sandbox/gpt-4o-mini", 30);
  const auto post = [this](bool is_loopback, std::map<std::string, std::string> query) {
    AdminPages pages;
    AddLiftPage(pages, registry_, clock_, is_loopback);
    return pages.handlers().at({"/debug/lift", "POST"})({"/debug/lift", std::move(query), ""});
  };
  EXPECT_EQ(post(false, {{"target", "default/chat/sandbox/gpt-4o-mini"}}).status, 403);
  EXPECT_EQ(post(true, {}).status, 400);
  EXPECT_EQ(registry_.Active(clock_.Now()).size(), 1u);
  EXPECT_THAT(post(true, {{"target", "default/chat/sandbox/gpt-4o-mini"}}).body,
              HasSubstr("\"was_suspended\":true"));
  EXPECT_TRUE(registry_.Active(clock_.Now()).empty());
  EXPECT_THAT(post(true, {{"target", "nobody"}}).body, HasSubstr("\"was_suspended\":false"));
}

}  // namespace
}  // namespace rota::observe
