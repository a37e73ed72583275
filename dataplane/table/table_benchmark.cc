// What matching costs with 5,000 APIs, and what a change of one of them costs.

#include <string>

#include "benchmark/benchmark.h"
#include "common/hash.h"
#include "dataplane/table/builder.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

constexpr int kApis = 5000;

void Put(ResourceMap& resources, v1::Kind kind, const std::string& name, const std::string& body) {
  v1::Resource resource;
  resource.mutable_id()->set_kind(kind);
  resource.mutable_id()->set_name(name);
  resource.set_hash(Hash64(name + body));
  resource.set_body(body);
  resources[{kind, name}] = std::make_shared<const v1::Resource>(std::move(resource));
}

// Three models per environment and three operations, as a usual apk-conf file has.
std::string ApiBody(int number, uint32_t weight) {
  const std::string name = std::to_string(number);
  v1::Api api;
  api.set_uid("uid-" + name);
  api.set_base_path("/team-" + std::to_string(number % 50) + "/chat-service-" + name);
  api.set_version("1.0");
  api.set_default_version(number % 2 == 0);
  v1::Endpoint& endpoint = *api.add_endpoints();
  endpoint.set_url("https://api.openai.com/v1");
  endpoint.set_provider("openai");
  v1::Credential& credential = *endpoint.mutable_credential();
  credential.set_place(v1::Credential::HEADER);
  credential.set_name("Authorization");
  credential.mutable_value()->set_secret("default/key");
  credential.mutable_value()->set_key("apiKey");
  for (const v1::Environment environment : {v1::PRODUCTION, v1::SANDBOX}) {
    v1::Rotation& rotation = *api.add_rotations();
    rotation.set_id(Sha256Hex(name + std::to_string(environment)).substr(0, 16));
    rotation.set_environment(environment);
    rotation.mutable_quota_suspension()->set_seconds(60);
    for (const char* model : {"gpt-4o", "gpt-4o-mini", "gpt-4.5"}) {
      v1::Target& target = *rotation.add_targets();
      target.set_id(Sha256Hex(rotation.id() + model).substr(0, 16));
      target.set_model(model);
      target.set_weight(weight);
      target.set_tier(1);
    }
  }
  for (const char* target : {"/chat/completions", "/embeddings", "/files/{id}/content"}) {
    v1::Operation& operation = *api.add_operations();
    operation.set_verb("POST");
    operation.set_target(target);
    operation.mutable_production()->set_rotation(1);
    operation.mutable_sandbox()->set_rotation(2);
  }
  return api.SerializeAsString();
}

struct World {
  World() {
    BuilderOptions options;
    options.allow_unauthenticated = true;
    builder.emplace(options, registry);
    v1::Secret secret;
    v1::Secret::Entry& entry = *secret.add_entries();
    entry.set_key("apiKey");
    entry.set_value("sk-0123456789");
    Put(resources, v1::SECRET, "default/key", secret.SerializeAsString());
    for (int i = 0; i < kApis; ++i) {
      Put(resources, v1::API, "default/chat-" + std::to_string(i), ApiBody(i, 1));
    }
    result = builder->Build(resources, "hash");
    builder->Commit(result);
  }
  rotation::Registry registry{"node"};
  std::optional<Builder> builder;
  ResourceMap resources;
  BuildResult result;
};

World& SharedWorld() {
  static World world;
  return world;
}

void FindOperation(benchmark::State& state, const std::string& path, MatchStatus expected) {
  const RouteTable& table = *SharedWorld().result.table;
  for (auto _ : state) {
    const Match match = table.Find("gw.example.com:8080", "POST", path);
    if (match.status != expected) {
      state.SkipWithError("another answer than expected");
    }
    benchmark::DoNotOptimize(match);
  }
}
BENCHMARK_CAPTURE(FindOperation, literal, "/team-17/chat-service-4217/1.0/chat/completions",
                  MatchStatus::kOk);
BENCHMARK_CAPTURE(FindOperation, default_version, "/team-18/chat-service-4218/chat/completions",
                  MatchStatus::kOk);
BENCHMARK_CAPTURE(FindOperation, parameter, "/team-17/chat-service-4217/1.0/files/f-123/content",
                  MatchStatus::kOk);
BENCHMARK_CAPTURE(FindOperation, escaped, "/team-17/chat-service-4217/1.0/files/f%20123/content",
                  MatchStatus::kOk);
BENCHMARK_CAPTURE(FindOperation, unknown, "/no/such/api/here", MatchStatus::kNotFound);

void BuildEverything(benchmark::State& state) {
  World& world = SharedWorld();
  for (auto _ : state) {
    rotation::Registry registry("node");
    BuilderOptions options;
    Builder builder(options, registry);
    benchmark::DoNotOptimize(builder.Build(world.resources, "hash"));
  }
}
BENCHMARK(BuildEverything)->Unit(benchmark::kMillisecond);

void ChangeOneApi(benchmark::State& state) {
  World& world = SharedWorld();
  uint32_t weight = 1;
  for (auto _ : state) {
    weight = weight % 9000 + 1;
    Put(world.resources, v1::API, "default/chat-77", ApiBody(77, weight));
    world.result = world.builder->Build(world.resources, "hash",
                                        std::set<ResourceKey>{{v1::API, "default/chat-77"}});
    world.builder->Commit(world.result);
  }
}
BENCHMARK(ChangeOneApi)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace rota::table

BENCHMARK_MAIN();
