// What a pick costs. Two threads share one rotation: the worst case, each core's loop picks from it
// only.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "benchmark/benchmark.h"
#include "dataplane/rotation/registry.h"

namespace {

thread_local uint64_t allocations = 0;

}  // namespace

// Not inlined: g++ would pair the malloc of one with the delete of another and warn.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace rota::rotation {
namespace {

enum Shape : int64_t { kThreeEqual, kSeventyThirty, kTenWeights, kRandom64 };

RotationSpec SpecOf(int64_t shape) {
  RotationSpec spec;
  spec.id = "r";
  const auto add = [&spec](uint32_t weight) {
    spec.targets.push_back({.id = "t" + std::to_string(spec.targets.size()), .weight = weight});
  };
  switch (shape) {
    case kThreeEqual:
      for (int i = 0; i < 3; ++i) {
        add(1);
      }
      break;
    case kSeventyThirty:
      add(70);
      add(30);
      break;
    case kTenWeights:
      for (uint32_t i = 1; i <= 10; ++i) {
        add(i * 10);
      }
      break;
    default:
      for (uint32_t i = 0; i < kMaxTargets; ++i) {
        add(9973 - i * 131);
      }
  }
  return spec;
}

Registry& SharedRegistry() {
  static Registry registry("node");
  return registry;
}

const MonotonicTime kNow{std::chrono::hours(1)};

void PickFirst(benchmark::State& state) {
  static std::shared_ptr<Rotation> rotation;
  if (state.thread_index() == 0) {
    rotation = SharedRegistry().Resolve(SpecOf(state.range(0)));
    rotation->PickFirst(kNow);
  }
  uint64_t before = 0;
  bool is_warm = false;
  for (auto _ : state) {
    benchmark::DoNotOptimize(rotation->PickFirst(kNow));
    if (!is_warm) {
      is_warm = true;  // the thread has its slot now
      before = allocations;
    }
  }
  state.counters["allocations"] = static_cast<double>(allocations - before);
}
BENCHMARK(PickFirst)->DenseRange(kThreeEqual, kRandom64)->Threads(1)->UseRealTime();
BENCHMARK(PickFirst)->DenseRange(kThreeEqual, kRandom64)->Threads(2)->UseRealTime();

void PickNext(benchmark::State& state) {
  const auto rotation = SharedRegistry().Resolve(SpecOf(state.range(0)));
  TargetSet tried;
  tried.set(0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(rotation->PickNext(kNow, tried));
  }
}
BENCHMARK(PickNext)->Arg(kThreeEqual)->Arg(kRandom64);

// A suspension, the pick that finds it, its end and the pick behind it: two new schedules.
void SuspendAndReturn(benchmark::State& state) {
  RotationSpec spec = SpecOf(state.range(0));
  spec.id = "suspended";
  const auto rotation = SharedRegistry().Resolve(spec);
  MonotonicTime now = kNow;
  for (auto _ : state) {
    rotation->Suspend(1, Reason::kQuota, now, now + std::chrono::seconds(1));
    benchmark::DoNotOptimize(rotation->PickFirst(now));
    now += std::chrono::seconds(2);
    benchmark::DoNotOptimize(rotation->PickFirst(now));
  }
}
BENCHMARK(SuspendAndReturn)->DenseRange(kThreeEqual, kRandom64);

void RecordSuccess(benchmark::State& state) {
  const auto rotation = SharedRegistry().Resolve(SpecOf(kThreeEqual));
  for (auto _ : state) {
    rotation->RecordSuccess(1);
  }
}
BENCHMARK(RecordSuccess);

}  // namespace
}  // namespace rota::rotation

BENCHMARK_MAIN();
