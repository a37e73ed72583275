// What the controller's numbers hang on: the first snapshot of many APIs, and one change among
// them.

#include "benchmark/benchmark.h"
#include "controller/reconcile/test_objects.h"
#include "controller/reconcile/world.h"

namespace rota::reconcile {
namespace {

using testing_objects::Api;
using testing_objects::Secret;
using testing_objects::Spec;

const MonotonicTime kNow{std::chrono::hours(1)};

void Fill(World& world, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = "api-" + std::to_string(i);
    world.OnApi(Api(name, 1, Spec("/" + name, "keys-" + std::to_string(i % 100))));
  }
  for (int i = 0; i < 100; ++i) {
    world.OnSecret(Secret("keys-" + std::to_string(i), "1", {{"apiKey", "value"}}));
  }
}

void BM_FirstSnapshot(benchmark::State& state) {
  for (auto step : state) {
    World world{compile::GatewaySettings{}};
    Fill(world, state.range(0));
    benchmark::DoNotOptimize(world.Build(kNow));
  }
}
BENCHMARK(BM_FirstSnapshot)->Arg(1000)->Arg(10'000)->Unit(benchmark::kMillisecond);

void BM_OneChange(benchmark::State& state) {
  World world{compile::GatewaySettings{}};
  Fill(world, state.range(0));
  world.Build(kNow);
  int64_t generation = 1;
  for (auto step : state) {
    ++generation;
    world.OnApi(Api("api-7", generation, Spec("/changed-" + std::to_string(generation), "keys-7")));
    benchmark::DoNotOptimize(world.Build(kNow));
  }
}
BENCHMARK(BM_OneChange)->Arg(1000)->Arg(3000)->Arg(10'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace rota::reconcile

BENCHMARK_MAIN();
