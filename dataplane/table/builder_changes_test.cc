// A table that is built from the one before it and a few changes is the table that is built from
// nothing: random histories of APIs that come, change, go, are bad, and claim each other's paths.

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "common/hash.h"
#include "dataplane/table/builder.h"
#include "gtest/gtest.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

constexpr int kApis = 12;
const char* const kBasePaths[] = {"/a", "/a/b", "/c"};
const char* const kVersions[] = {"1.0", "v1", "v1.1", "v1.2", "2"};

class BuilderChangesTest : public testing::Test {
 protected:
  static BuilderOptions Options() {
    BuilderOptions options;
    options.intern_series = [](const SeriesLabels& labels) {
      return static_cast<SeriesId>(Hash64(labels.api + "/" + labels.model) % 1000);
    };
    return options;
  }

  size_t Random(size_t below) { return random_() % below; }

  void Put(v1::Kind kind, const std::string& name, const std::string& body) {
    v1::Resource resource;
    resource.mutable_id()->set_kind(kind);
    resource.mutable_id()->set_name(name);
    resource.set_hash(Hash64(body + name));
    resource.set_body(body);
    wanted_[{kind, name}] = std::make_shared<const v1::Resource>(std::move(resource));
    changed_.insert({kind, name});
  }

  void PutApi(const std::string& name) {
    if (Random(10) == 0) {
      Put(v1::API, name, "\xFF\xFF");
      return;
    }
    v1::Api api;
    api.set_uid(name);
    api.set_base_path(kBasePaths[Random(3)]);
    api.set_version(kVersions[Random(5)]);
    api.set_default_version(Random(2) == 0);
    v1::Endpoint& endpoint = *api.add_endpoints();
    endpoint.set_url("https://api.openai.com/v1");
    v1::Credential& credential = *endpoint.mutable_credential();
    credential.set_place(v1::Credential::HEADER);
    credential.set_name("Authorization");
    credential.mutable_value()->set_secret("ns/key");
    credential.mutable_value()->set_key("apiKey");
    v1::Rotation& rotation = *api.add_rotations();
    rotation.set_id("r-" + name);
    rotation.set_environment(v1::PRODUCTION);
    for (size_t i = 0; i < 1 + Random(3); ++i) {
      v1::Target& target = *rotation.add_targets();
      target.set_id("t-" + name + std::to_string(i));
      target.set_model("model-" + std::to_string(i));
      target.set_weight(static_cast<uint32_t>(1 + Random(5)));
    }
    v1::Operation& operation = *api.add_operations();
    operation.set_verb("POST");
    operation.set_target("/chat");
    operation.set_secured(Random(2) == 0);
    operation.mutable_production()->set_rotation(1);
    Put(v1::API, name, api.SerializeAsString());
  }

  void PutSecret() {
    v1::Secret secret;
    v1::Secret::Entry& entry = *secret.add_entries();
    entry.set_key(Random(3) == 0 ? "another" : "apiKey");
    entry.set_value("sk-" + std::to_string(Random(5)));
    Put(v1::SECRET, "ns/key", secret.SerializeAsString());
  }

  void Change() {
    const std::string name = "ns/api-" + std::to_string(Random(kApis));
    if (Random(8) == 0) {
      PutSecret();
    } else if (Random(4) == 0) {
      wanted_.erase({v1::API, name});
      changed_.insert({v1::API, name});
    } else {
      PutApi(name);
    }
  }

  // What a client and the controller see of a table.
  static std::string Describe(const BuildResult& result) {
    std::string text;
    for (const char* base : kBasePaths) {
      for (const char* version : {"", "/1.0", "/v1", "/v1.1", "/v1.2", "/2"}) {
        const std::string path = std::string(base) + version + "/chat";
        const Match match = result.table->Find("gw", "POST", path);
        text += path + "=" + (match.api == nullptr ? "none" : match.api->id);
        if (match.status == MatchStatus::kOk) {
          const BoundRotation& bound = *match.route->rotation;
          for (const Target& target : bound.targets) {
            text += " " + target.model + (target.endpoint->credential_missing ? "(no key)" : "");
          }
        }
        text += "\n";
      }
    }
    std::vector<std::string> refused;
    for (const v1::Rejection& rejection : result.refused) {
      refused.push_back(rejection.ShortDebugString());
    }
    std::sort(refused.begin(), refused.end());
    for (const std::string& rejection : refused) {
      text += rejection + "\n";
    }
    return text;
  }

  // The resources that `result` serves, as the store keeps them after a rejection.
  void KeepWhatIsServed(const BuildResult& result, const ResourceMap& before) {
    for (const v1::Rejection& rejection : result.rejected) {
      const ResourceKey key{rejection.id().kind(), rejection.id().name()};
      const auto kept = before.find(key);
      EXPECT_EQ(rejection.kept_hash(), kept == before.end() ? 0 : kept->second->hash());
      if (kept == before.end()) {
        wanted_.erase(key);
      } else {
        wanted_[key] = kept->second;
      }
    }
  }

  std::mt19937_64 random_{20260214};
  ResourceMap wanted_;
  std::set<ResourceKey> changed_;
};

TEST_F(BuilderChangesTest, AreWorthABuildFromNothing) {
  rotation::Registry registry("node");
  Builder builder(Options(), registry);
  for (int round = 0; round < 400; ++round) {
    const ResourceMap before = wanted_;
    changed_.clear();
    for (size_t i = 0; i <= Random(4); ++i) {
      Change();
    }
    const BuildResult result = builder.Build(wanted_, std::to_string(round), changed_);
    builder.Commit(result);
    KeepWhatIsServed(result, before);

    rotation::Registry fresh_registry("node");
    Builder fresh(Options(), fresh_registry);
    const BuildResult expected = fresh.Build(wanted_, "");
    ASSERT_EQ(Describe(result), Describe(expected)) << "round " << round;
    ASSERT_TRUE(expected.rejected.empty());
  }
}

TEST_F(BuilderChangesTest, SayWhetherSomethingIsToBeForgotten) {
  rotation::Registry registry("node");
  Builder builder(Options(), registry);
  const auto commit = [&] { return builder.Commit(builder.Build(wanted_, "", changed_)).size(); };
  const auto put = [this](uint32_t weight, const std::string& model) {
    v1::Api api;
    api.set_base_path("/x");
    api.set_version("1");
    api.add_endpoints()->set_url("https://api.openai.com/v1");
    v1::Rotation& rotation = *api.add_rotations();
    rotation.set_id("r");
    rotation.set_environment(v1::PRODUCTION);
    v1::Target& target = *rotation.add_targets();
    target.set_id("t-" + model);
    target.set_model(model);
    target.set_weight(weight);
    v1::Operation& operation = *api.add_operations();
    operation.set_verb("POST");
    operation.set_target("/chat");
    operation.mutable_production()->set_rotation(1);
    Put(v1::API, "ns/x", api.SerializeAsString());
  };

  put(1, "m");
  EXPECT_EQ(commit(), 0u) << "an API has come";
  put(2, "m");
  EXPECT_EQ(commit(), 0u) << "another weight";
  put(2, "n");
  EXPECT_EQ(commit(), 1u) << "another model";
  wanted_.erase({v1::API, "ns/x"});
  EXPECT_EQ(commit(), 2u) << "an API has gone";
}

}  // namespace
}  // namespace rota::table
