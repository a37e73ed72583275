// A fleet behind a strict round-robin balancer: the sum of the first picks of all data planes
// against the exact share, after every single request. Each data plane is a registry of its own and
// has the number that a controller gives it. The figures are in docs/concepts/rotation.md.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/leads.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/rotation/test_rotations.h"
#include "gtest/gtest.h"

namespace rota::rotation {
namespace {

using namespace testing_rotations;  // NOLINT: test helpers

constexpr size_t kDataPlanes = 8;

// Places 0, 1, 2 ...: the numbers that a controller gives to data planes that come.
std::vector<uint64_t> Places(size_t count) {
  std::vector<uint64_t> places(count);
  std::iota(places.begin(), places.end(), 0);
  return places;
}

class Fleet {
 public:
  Fleet(Weights weights, const std::vector<uint64_t>& places) : weights_(std::move(weights)) {
    for (const uint64_t place : places) {
      registries_.push_back(std::make_unique<Registry>("node-" + std::to_string(place)));
      registries_.back()->SetPhase(place);
      rotations_.push_back(registries_.back()->Resolve(SpecOf(weights_)));
    }
  }

  // Deviations of the fleet's sum from the exact share, in picks.
  struct Deviation {
    double largest = 0;
    double usual = 0;  // root mean square over targets and requests
  };
  // From now on: what was before does not count.
  Deviation Measure(size_t requests) {
    std::vector<double> shares;
    for (size_t i = 0; i < weights_.size(); ++i) {
      shares.push_back(suspended_.test(i) ? 0 : weights_[i]);
    }
    const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
    std::vector<double> picks(weights_.size());
    Deviation deviation;
    double squares = 0;
    for (size_t n = 1; n <= requests; ++n) {
      picks[rotations_[next_++ % rotations_.size()]->PickFirst(clock_.Now()).pick->target] += 1;
      for (size_t i = 0; i < picks.size(); ++i) {
        const double off = std::abs(picks[i] - static_cast<double>(n) * shares[i] / total);
        deviation.largest = std::max(deviation.largest, off);
        squares += off * off;
      }
    }
    deviation.usual = std::sqrt(squares / static_cast<double>(requests * picks.size()));
    return deviation;
  }
  // One data plane has seen it, all know.
  void Suspend(size_t target) {
    suspended_.set(target);
    for (const std::shared_ptr<Rotation>& rotation : rotations_) {
      rotation->Suspend(target, Reason::kQuota, clock_.Now(), clock_.Now() + std::chrono::hours(1));
    }
  }
  void Lift(size_t target) {
    suspended_.reset(target);
    for (const std::unique_ptr<Registry>& registry : registries_) {
      registry->Lift("target-" + std::to_string(target), clock_.Now());
    }
  }

 private:
  const Weights weights_;
  FakeClock clock_;
  std::vector<std::unique_ptr<Registry>> registries_;
  std::vector<std::shared_ptr<Rotation>> rotations_;
  TargetSet suspended_;
  size_t next_ = 0;
};

// What docs/concepts/rotation.md says of eight data planes, rounded up to tenths.
struct Case {
  Weights weights;
  double largest;
  double usual;
};
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {{1, 1}, 0.5, 0.4},       {{7, 3}, 1.5, 0.7},          {{97, 3}, 1.2, 0.6},
      {{1, 1, 1}, 1.0, 0.5},    {{2, 1, 1}, 0.8, 0.4},       {{5, 3, 2}, 2.2, 0.9},
      {{7, 2, 1}, 1.9, 0.8},    {{1, 2, 3, 4}, 2.6, 1.0},    {{50, 30, 15, 5}, 2.1, 0.8},
      {{1, 1, 1, 1}, 0.8, 0.4}, {{1, 1, 1, 1, 1}, 1.2, 0.5}, {{3, 3, 2, 2, 1, 1}, 2.5, 0.8},
  };
  return cases;
}

constexpr double kRounding = 1e-9;

TEST(RotationFleetTest, TheSumOfAFleetStaysNearTheExactShare) {
  for (const Case& each : Cases()) {
    const Fleet::Deviation deviation = Fleet(each.weights, Places(kDataPlanes)).Measure(4000);
    EXPECT_LE(deviation.largest, each.largest + kRounding) << testing::PrintToString(each.weights);
    EXPECT_LE(deviation.usual, each.usual) << testing::PrintToString(each.weights);
  }
}

TEST(RotationFleetTest, EqualStartsWouldMarchInStep) {
  for (const Case& each : Cases()) {
    const Fleet::Deviation deviation =
        Fleet(each.weights, std::vector<uint64_t>(kDataPlanes)).Measure(4000);
    EXPECT_GE(deviation.largest, 4) << testing::PrintToString(each.weights);
    EXPECT_GE(deviation.usual, 2.3) << testing::PrintToString(each.weights);
  }
}

// Cycles of 10,000 to 374,000 picks, which are made in parts: eight data planes go through two and
// more of them.
const std::vector<Case>& LongCases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all = {{{4999, 5003}, 1.5, 0.7},
                             {{7001, 4999, 2503, 1009, 97}, 4.3, 1.0},
                             {{10000}, 4.0, 0.5},
                             {{}, 7.1, 1.2}};
    all[2].weights.insert(all[2].weights.end(), kMaxTargets - 1, 1);
    for (uint32_t i = 0; i < kMaxTargets; ++i) {
      all[3].weights.push_back(9973 - i * 131);
    }
    return all;
  }();
  return cases;
}

TEST(RotationFleetTest, TheSameHoldsForLongCycles) {
  for (const Case& each : LongCases()) {
    const Fleet::Deviation deviation = Fleet(each.weights, Places(kDataPlanes)).Measure(20000);
    EXPECT_LE(deviation.largest, each.largest + kRounding) << testing::PrintToString(each.weights);
    EXPECT_LE(deviation.usual, each.usual) << testing::PrintToString(each.weights);
    const Fleet::Deviation equal =
        Fleet(each.weights, std::vector<uint64_t>(kDataPlanes)).Measure(20000);
    EXPECT_GE(equal.usual, 2.3) << testing::PrintToString(each.weights);
  }
}

// Data planes have come and gone: any eight of the first sixteen places.
TEST(RotationFleetTest, GapsAmongThePlacesCostLittle) {
  std::mt19937_64 random(8);
  for (const Case& each : Cases()) {
    for (int round = 0; round < 20; ++round) {
      std::vector<uint64_t> places = Places(2 * kDataPlanes);
      std::shuffle(places.begin(), places.end(), random);
      places.resize(kDataPlanes);
      EXPECT_LE(Fleet(each.weights, places).Measure(2000).usual, 2.5)
          << testing::PrintToString(each.weights) << testing::PrintToString(places);
    }
  }
}

TEST(RotationFleetTest, TheDeviationHardlyGrowsWithTheFleet) {
  for (const Case& each : Cases()) {
    for (const size_t count : {2, 3, 5, 16, 32, 64}) {
      const double bound = std::max(2.2, 0.065 * static_cast<double>(count));
      EXPECT_LE(Fleet(each.weights, Places(count)).Measure(500 * count).usual, bound)
          << testing::PrintToString(each.weights) << " " << count << " data planes";
    }
  }
}

// A target leaves all data planes at one moment, wherever each of them is, and returns alike.
TEST(RotationFleetTest, ItStaysSoWhileATargetIsAwayAndAfterItsReturn) {
  for (const Case& each : Cases()) {
    for (const size_t before : {1000, 1003, 1234, 4321}) {
      Fleet fleet(each.weights, Places(kDataPlanes));
      fleet.Measure(before);
      fleet.Suspend(0);
      EXPECT_LE(fleet.Measure(1001).usual, 2) << testing::PrintToString(each.weights);
      fleet.Lift(0);
      EXPECT_LE(fleet.Measure(2000).usual, 2) << testing::PrintToString(each.weights);
    }
  }
}

TEST(RotationFleetTest, EveryPlaceBeginsWithinTheOrderAndTheFirstAtItsBeginning) {
  const std::vector<Sequencer::Item> items = {{0, 3}, {1, 2}, {2, 2}};
  std::vector<uint64_t> starts;
  for (uint64_t place = 0; place < 7; ++place) {
    starts.push_back(FleetStart(place, items));
  }
  EXPECT_EQ(starts.front(), 0u);
  std::sort(starts.begin(), starts.end());
  EXPECT_EQ(starts, (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6})) << "each one once";
  EXPECT_LT(FleetStart(uint64_t{1} << 40, items), 7u);
}

}  // namespace
}  // namespace rota::rotation
