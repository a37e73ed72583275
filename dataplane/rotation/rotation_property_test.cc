// Properties of the order of first picks on random rotations, random histories and real threads,
// and on every small case there is. The share is checked with integers: |picks * W - n * w| < W.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/leads.h"
#include "dataplane/rotation/long_order.h"
#include "dataplane/rotation/paced_order.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/rotation/sequencer.h"
#include "dataplane/rotation/test_rotations.h"
#include "gtest/gtest.h"

namespace rota::rotation {
namespace {

using namespace testing_rotations;  // NOLINT: test helpers
using std::chrono::milliseconds;
using std::chrono::seconds;

// Feed it the targets of one schedule in order; says whether every prefix is exact.
class PrefixChecker {
 public:
  explicit PrefixChecker(std::vector<uint64_t> weights)
      : weights_(std::move(weights)), picks_(weights_.size()) {
    for (const uint64_t weight : weights_) {
      total_ += weight;
    }
  }
  testing::AssertionResult Add(size_t target) {
    ++n_;
    ++picks_[target];
    for (size_t i = 0; i < weights_.size(); ++i) {
      const auto deviation =
          static_cast<int64_t>(picks_[i] * total_) - static_cast<int64_t>(n_ * weights_[i]);
      if (deviation <= -static_cast<int64_t>(total_) || deviation >= static_cast<int64_t>(total_)) {
        return testing::AssertionFailure()
               << "after " << n_ << " picks target " << i << " of weight " << weights_[i] << "/"
               << total_ << " has " << picks_[i];
      }
    }
    return testing::AssertionSuccess();
  }

 private:
  std::vector<uint64_t> weights_;
  std::vector<uint64_t> picks_;
  uint64_t total_ = 0;
  uint64_t n_ = 0;
};

std::vector<uint32_t> RandomWeights(std::mt19937_64& random) {
  const size_t count = 1 + random() % (random() % 4 == 0 ? kMaxTargets : 6);
  const uint32_t largest = std::vector<uint32_t>{1, 3, 10, 100, 10000}[random() % 5];
  std::vector<uint32_t> weights(count);
  for (uint32_t& weight : weights) {
    weight = static_cast<uint32_t>(random() % (largest + 1));
  }
  if (std::all_of(weights.begin(), weights.end(), [](uint32_t w) { return w == 0; })) {
    weights[0] = 1;
  }
  return weights;
}

void ForEverySmallCase(uint32_t largest, const std::function<void(const Weights&)>& check) {
  for (size_t count = 1; count <= 4; ++count) {
    ForEveryWeights(count, 1, largest, check);
  }
}

TEST(SequencerPropertyTest, EveryPrefixIsExactForEverySmallCaseAndEveryFirstTarget) {
  // In every order: the first item is picked first whatever it is.
  ForEverySmallCase(6, [](const Weights& weights) {
    std::vector<Sequencer::Item> items;
    for (uint32_t i = 0; i < weights.size(); ++i) {
      items.push_back({i, weights[i]});
    }
    Sequencer sequencer(items);
    PrefixChecker checker({weights.begin(), weights.end()});
    const uint64_t length = sequencer.cycle_length();
    for (uint64_t n = 0; n < 2 * length + 1; ++n) {
      const uint32_t target = sequencer.Next();
      ASSERT_TRUE(n > 0 || target == 0);
      ASSERT_TRUE(checker.Add(target)) << testing::PrintToString(weights);
    }
  });
}

TEST(SequencerPropertyTest, EveryPrefixIsExactForRandomWeights) {
  std::mt19937_64 random(20260101);
  for (int round = 0; round < 300; ++round) {
    std::vector<Sequencer::Item> items;
    std::vector<uint64_t> weights;
    for (const uint32_t weight : RandomWeights(random)) {
      if (weight > 0) {
        items.push_back({static_cast<uint32_t>(items.size()), weight});
        weights.push_back(weight);
      }
    }
    std::shuffle(items.begin(), items.end(), random);
    Sequencer sequencer(items);
    PrefixChecker checker(weights);
    for (uint64_t n = 0; n < std::min<uint64_t>(2 * sequencer.cycle_length() + 1, 4000); ++n) {
      ASSERT_TRUE(checker.Add(sequencer.Next())) << testing::PrintToString(weights);
    }
  }
}

// The picks of `count` steps, made in parts of various lengths.
template <typename Order>
std::vector<uint8_t> MakeInParts(Order& order, uint64_t count) {
  const std::vector<size_t> lengths = {1, 1000, 7, 300};
  std::vector<uint8_t> all;
  std::vector<uint8_t> part;
  for (size_t i = 0; all.size() < count; ++i) {
    order.Make(std::min<size_t>(lengths[i % lengths.size()], count - all.size()), part);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<Sequencer::Item> ItemsOf(const std::vector<uint32_t>& weights) {
  std::vector<Sequencer::Item> items;
  for (const uint32_t weight : weights) {
    if (weight > 0) {
      const auto item = static_cast<uint32_t>(items.size());
      items.push_back({item, weight, EvenLead(item, weights.size())});
    }
  }
  return Sequencer(items).items();
}

// Whether every prefix of so many picks is exact, and every cycle as it should be.
testing::AssertionResult IsExact(const std::vector<Sequencer::Item>& items, uint64_t count) {
  PacedOrder order(items);
  std::vector<uint64_t> weights;
  for (const Sequencer::Item& item : items) {
    weights.push_back(item.weight);
  }
  PrefixChecker checker(weights);
  for (const uint8_t target : MakeInParts(order, count)) {
    if (testing::AssertionResult result = checker.Add(target); !result) {
      return result << " of " << testing::PrintToString(weights);
    }
  }
  return testing::AssertionSuccess();
}

// Leads decide who comes first and how targets follow each other; never whether a share is exact.
TEST(PacedOrderPropertyTest, EveryPrefixIsExactForEverySmallCaseAndManyLeads) {
  const std::vector<int64_t> leads = {-kOnePick, 0, kOnePick / 3, kOnePick, 2 * kOnePick};
  ForEverySmallCase(4, [&](const Weights& weights) {
    std::vector<Sequencer::Item> items = ItemsOf(weights);
    uint64_t combinations = 1;
    uint64_t total = 0;
    for (const Sequencer::Item& item : items) {
      combinations *= leads.size();
      total += item.weight;
    }
    for (uint64_t combination = 0; combination < combinations; ++combination) {
      uint64_t rest = combination;
      for (Sequencer::Item& item : items) {
        item.lead = leads[rest % leads.size()];
        rest /= leads.size();
      }
      ASSERT_TRUE(IsExact(items, 2 * total + 1)) << " leads " << combination;
    }
  });
}

TEST(PacedOrderPropertyTest, EveryPrefixIsExactForRandomWeightsAndLeads) {
  std::mt19937_64 random(20261126);
  for (int round = 0; round < 300; ++round) {
    std::vector<Sequencer::Item> items = ItemsOf(RandomWeights(random));
    for (Sequencer::Item& item : items) {
      item.lead = static_cast<int64_t>(random() % (3 * kOnePick)) - kOnePick;
    }
    ASSERT_TRUE(IsExact(items, 4000)) << " round " << round;
  }
}

std::vector<uint32_t> RepeatedWeights(size_t many, uint32_t weight, std::vector<uint32_t> others) {
  others.insert(others.end(), many, weight);
  return others;
}

// Cycles far longer than what is looked ahead, in which some targets come more rarely than that.
const std::vector<std::vector<uint32_t>>& LongCycles() {
  static const std::vector<std::vector<uint32_t>> cycles = {
      RepeatedWeights(63, 1, {10000}),
      RepeatedWeights(63, 10000, {1}),
      RepeatedWeights(31, 1, RepeatedWeights(31, 9973, {7})),
      {10000, 9999},
      {10000, 1, 1, 1},
      {640000 - 3, 2, 1},
      {1, 10, 100, 1000, 10000, 7001},
  };
  return cycles;
}

TEST(PacedOrderPropertyTest, EveryPrefixOfALongCycleIsExactAndItEndsExactly) {
  std::vector<std::vector<uint32_t>> cases = LongCycles();
  std::mt19937_64 random(7);
  std::vector<uint32_t> unrelated(kMaxTargets);
  for (uint32_t& weight : unrelated) {
    weight = static_cast<uint32_t>(1 + random() % 10000);
  }
  cases.push_back(unrelated);
  for (const std::vector<uint32_t>& weights : cases) {
    const std::vector<Sequencer::Item> items = ItemsOf(weights);
    const PacedOrder order(items);
    EXPECT_TRUE(IsExact(items, order.cycle_length() + 5000));
  }
}

TEST(LongOrderTest, IsThatOfThePacedOrderInEveryCycleWhetherItIsRememberedOrNot) {
  const std::vector<Sequencer::Item> items = ItemsOf({10000, 9000, 7001, 10, 1});
  const uint64_t count = 3 * uint64_t{PacedOrder(items).cycle_length()} + 100;
  PacedOrder paced(items);
  const std::vector<uint8_t> expected = MakeInParts(paced, count);
  // More than what may be remembered for all of them.
  std::vector<std::unique_ptr<LongOrder>> orders;
  for (size_t bytes = 0; bytes <= LongOrder::kMaxRemembered;
       bytes += orders.back()->cycle_length()) {
    orders.push_back(std::make_unique<LongOrder>(PacedOrder(items)));
  }
  for (LongOrder* order : {orders.front().get(), orders.back().get()}) {
    EXPECT_TRUE(MakeInParts(*order, count) == expected);
    std::vector<uint8_t> part;
    order->Make(1, part);
    std::vector<uint32_t> picks(items.size());
    ++picks[part.front()];
    for (uint64_t n = count - 100; n < count; ++n) {
      ++picks[expected[n]];
    }
    for (size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(order->picks_in_cycle_of(i), picks[items[i].target]);
    }
  }
}

TEST(SequencerPropertyTest, ALongCycleEndsExactly) {
  std::vector<Sequencer::Item> items;
  std::mt19937_64 random(7);
  for (uint32_t i = 0; i < kMaxTargets; ++i) {
    items.push_back({i, static_cast<uint32_t>(1 + random() % 10000)});
  }
  Sequencer sequencer(items);
  std::vector<uint64_t> picks(kMaxTargets);
  for (uint64_t n = 0; n < sequencer.cycle_length(); ++n) {
    ++picks[sequencer.Next()];
  }
  for (const Sequencer::Item& item : sequencer.items()) {
    EXPECT_EQ(picks[item.target], item.weight);
  }
}

// What a random history is checked against: the eligible set by the book of the test.
struct Model {
  RotationSpec spec;
  std::vector<MonotonicTime> until;
  TargetSet Active(MonotonicTime now) const {
    TargetSet eligible;
    uint32_t tier = UINT32_MAX;
    for (size_t i = 0; i < spec.targets.size(); ++i) {
      const TargetSpec& target = spec.targets[i];
      if (target.weight > 0 && target.usable && until[i] <= now) {
        tier = std::min(tier, target.tier);
      }
    }
    for (size_t i = 0; i < spec.targets.size(); ++i) {
      const TargetSpec& target = spec.targets[i];
      eligible.set(i, target.weight > 0 && target.usable && until[i] <= now && target.tier == tier);
    }
    return eligible;
  }
};

TEST(RotationPropertyTest, EveryPrefixSinceAChangeIsExactInRandomHistories) {
  std::mt19937_64 random(42);
  for (int round = 0; round < 200; ++round) {
    FakeClock clock;
    Registry registry("node");
    registry.SetPhase(random() % 1000);
    Model model{SpecOf(RandomWeights(random)), {}};
    for (TargetSpec& target : model.spec.targets) {
      target.tier = 1 + static_cast<uint32_t>(random() % 2) * static_cast<uint32_t>(round % 3 == 0);
      target.usable = random() % 10 != 0;
    }
    model.until.resize(model.spec.targets.size());
    std::shared_ptr<Rotation> rotation = registry.Resolve(model.spec);
    TargetSet active;
    std::optional<PrefixChecker> checker;
    for (int step = 0; step < 1500; ++step) {
      switch (random() % 24) {
        case 0: {
          const size_t target = random() % model.spec.targets.size();
          const MonotonicTime until = clock.Now() + milliseconds(random() % 50);
          rotation->Suspend(target, Reason::kQuota, clock.Now(), until);
          model.until[target] = std::max(model.until[target], until);
          break;
        }
        case 1: {
          const size_t target = random() % model.spec.targets.size();
          registry.Lift(model.spec.targets[target].id, clock.Now());
          model.until[target] = clock.Now();
          break;
        }
        case 2:
          clock.Advance(milliseconds(random() % 30));
          break;
        case 3:
          // A snapshot that changes nothing, or only another weight.
          if (random() % 4 == 0) {
            uint32_t& weight = model.spec.targets[random() % model.spec.targets.size()].weight;
            const auto other = static_cast<uint32_t>(random() % 8);
            if (std::exchange(weight, other) != other) {
              checker.reset();
            }
          }
          rotation = registry.Resolve(model.spec);
          break;
        default: {
          const TargetSet expected = model.Active(clock.Now());
          const PickResult result = rotation->PickFirst(clock.Now());
          ASSERT_EQ(result.pick.has_value(), expected.any());
          if (!result.pick.has_value()) {
            active.reset();
            break;
          }
          ASSERT_TRUE(expected.test(result.pick->target));
          if (expected != active || !checker.has_value()) {
            active = expected;
            std::vector<uint64_t> weights;
            for (size_t i = 0; i < model.spec.targets.size(); ++i) {
              weights.push_back(expected.test(i) ? model.spec.targets[i].weight : 0);
            }
            checker.emplace(std::move(weights));
          }
          ASSERT_TRUE(checker->Add(result.pick->target)) << "round " << round << " step " << step;
        }
      }
    }
  }
}

// The eligible set of a schedule cannot be seen from outside: some set of targets must explain the
// order.
bool IsExactForSomeSet(const std::map<uint64_t, size_t>& order,
                       const std::vector<uint32_t>& weights) {
  for (uint64_t set = 1; set < (uint64_t{1} << weights.size()); ++set) {
    std::vector<uint64_t> shares;
    for (size_t i = 0; i < weights.size(); ++i) {
      shares.push_back((set >> i & 1) != 0 ? weights[i] : 0);
    }
    if (std::all_of(shares.begin(), shares.end(), [](uint64_t share) { return share == 0; })) {
      continue;
    }
    PrefixChecker checker(shares);
    if (std::all_of(order.begin(), order.end(), [&](const auto& pick) {
          return shares[pick.second] > 0 && checker.Add(pick.second);
        })) {
      return true;
    }
  }
  return false;
}

TEST(RotationPropertyTest, TheCheckItselfRefusesAnOrderThatIsNotExact) {
  EXPECT_TRUE(IsExactForSomeSet({{0, 0}, {1, 1}, {2, 0}}, {2, 1}));
  EXPECT_FALSE(IsExactForSomeSet({{0, 0}, {1, 0}, {2, 1}, {3, 1}, {4, 1}}, {1, 1}));
  EXPECT_FALSE(IsExactForSomeSet({{0, 1}}, {1, 0}));
}

// What the threads of one round share. Snapshots are published by number, as a table is.
struct Shared {
  Registry registry{"node"};
  std::vector<std::shared_ptr<Rotation>> snapshots;  // constant while the threads run
  std::atomic<size_t> current{0};
  std::atomic<int64_t> now{1'000'000};
};

// One thread: picks, and for the first one also suspends, lifts, lets time pass and publishes.
std::vector<std::pair<size_t, Pick>> PickAndDisturb(Shared& shared, bool disturbs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::pair<size_t, Pick>> picks;
  for (int i = 0; i < 4000; ++i) {
    const size_t snapshot = shared.current.load();
    Rotation& rotation = *shared.snapshots[snapshot];
    const MonotonicTime time{Duration(shared.now.load())};
    if (disturbs) {
      const size_t target = random() % rotation.spec().targets.size();
      switch (random() % 64) {
        case 0:
          rotation.Suspend(target, Reason::kQuota, time, time + Duration(random() % 200));
          break;
        case 1:
          shared.registry.Lift(rotation.spec().targets[target].id, time);
          break;
        case 2:
          // Requests that hold the old one go on with it.
          shared.current.store(random() % shared.snapshots.size());
          break;
        case 3:
        case 4:
        case 5:
        case 6:
          shared.now.fetch_add(20);
          break;
        default:
          break;
      }
    }
    const PickResult result = rotation.PickFirst(time);
    if (result.pick.has_value()) {
      picks.emplace_back(snapshot, *result.pick);
    }
  }
  return picks;
}

// Puts the picks of all threads into their serial order and checks every prefix of every schedule.
void CheckSerialOrder(const Shared& shared,
                      const std::vector<std::vector<std::pair<size_t, Pick>>>& picks) {
  std::map<std::pair<size_t, uint64_t>, std::map<uint64_t, size_t>> schedules;
  std::vector<std::vector<uint64_t>> totals(shared.snapshots.size());
  for (const auto& of_thread : picks) {
    for (const auto& [snapshot, pick] : of_thread) {
      std::map<uint64_t, size_t>& order = schedules[std::pair(snapshot, pick.schedule)];
      ASSERT_TRUE(order.emplace(pick.position, pick.target).second);
      totals[snapshot].resize(shared.snapshots[snapshot]->spec().targets.size());
      ++totals[snapshot][pick.target];
    }
  }
  for (const auto& [key, order] : schedules) {
    std::vector<uint32_t> weights;
    for (const TargetSpec& target : shared.snapshots[key.first]->spec().targets) {
      weights.push_back(target.weight);
    }
    // Every position was handed out, and once.
    ASSERT_EQ(order.rbegin()->first + 1, order.size());
    ASSERT_TRUE(IsExactForSomeSet(order, weights))
        << testing::PrintToString(weights) << " schedule " << key.second;
  }
  for (size_t snapshot = 0; snapshot < totals.size(); ++snapshot) {
    const auto states = shared.snapshots[snapshot]->Inspect(MonotonicTime{});
    for (size_t i = 0; i < totals[snapshot].size(); ++i) {
      EXPECT_EQ(states[i].first_picks, totals[snapshot][i]);
    }
  }
}

TEST(RotationPropertyTest, ThePicksOfManyThreadsFormExactPrefixesBetweenChanges) {
  std::mt19937_64 random(4711);
  for (int round = 0; round < 24; ++round) {
    const size_t threads = 1 + static_cast<size_t>(round) % 8;
    Shared shared;
    shared.registry.SetPhase(random() % 16);
    // Three snapshots of the same targets, with other weights: tables and long orders.
    const uint32_t largest = std::vector<uint32_t>{3, 10, 10000}[random() % 3];
    const size_t count = 1 + random() % 6;
    for (int i = 0; i < 3; ++i) {
      std::vector<uint32_t> weights(count);
      for (uint32_t& weight : weights) {
        weight = static_cast<uint32_t>(random() % (largest + 1));
      }
      std::shared_ptr<Rotation> rotation = shared.registry.Resolve(SpecOf(weights));
      if (shared.snapshots.empty() || shared.snapshots.back() != rotation) {
        shared.snapshots.push_back(std::move(rotation));
      }
    }
    std::vector<std::vector<std::pair<size_t, Pick>>> picks(threads);
    std::vector<std::jthread> workers;
    for (size_t t = 0; t < threads; ++t) {
      workers.emplace_back([&picks, &shared, t, seed = random()] {
        picks[t] = PickAndDisturb(shared, t == 0, seed);
      });
    }
    workers.clear();
    CheckSerialOrder(shared, picks);
  }
}

// With a change after each few picks the shares still come out right in the long run.
TEST(RotationPropertyTest, FrequentChangesFavourNobody) {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{1, 1, 1, 1, 1}, std::vector<uint32_t>{7, 3, 1},
        std::vector<uint32_t>{1, 3, 7}}) {
    std::vector<uint32_t> with_decoy = weights;
    with_decoy.push_back(1);
    RotationSpec spec = SpecOf(with_decoy);
    FakeClock clock;
    Registry registry("node");
    const std::shared_ptr<Rotation> rotation = registry.Resolve(spec);
    std::vector<double> picks(weights.size());
    double total = 0;
    // The decoy leaves and returns between any two picks; the shares of the others are compared.
    for (int i = 0; i < 6000; ++i) {
      const size_t decoy = weights.size();
      if (i % 2 == 0) {
        rotation->Suspend(decoy, Reason::kQuota, clock.Now(), clock.Now() + seconds(10));
      } else {
        registry.Lift(spec.targets[decoy].id, clock.Now());
      }
      const PickResult result = rotation->PickFirst(clock.Now());
      ASSERT_TRUE(result.pick.has_value());
      if (result.pick->target != decoy) {
        picks[result.pick->target] += 1;
        total += 1;
      }
    }
    double sum = 0;
    for (const uint32_t weight : weights) {
      sum += weight;
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_NEAR(picks[i] / total, weights[i] / sum, 0.01) << testing::PrintToString(weights);
    }
  }
}

}  // namespace
}  // namespace rota::rotation
