// Every small rotation (up to four targets, weights up to 4) through every interleaving of
// suspensions, returns and picks up to a depth: after each change of the eligible set the share is
// exact on every prefix, so that survivors share in proportion and a return brings no burst; and
// over the whole history nobody gains or loses by the changes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/rotation/test_rotations.h"
#include "gtest/gtest.h"

namespace rota::rotation {
namespace {

using namespace testing_rotations;  // NOLINT: test helpers

// A sequence of symbols 0..`symbols`-1 in which every word of `length` symbols occurs (a de Bruijn
// sequence, by Fredricksen, Kessler and Maiorana). Walking along it is cheaper than starting anew
// for every word, and each word is met in the state that the ones before it have left.
class EveryWord {
 public:
  EveryWord(size_t symbols, size_t length) : symbols_(symbols), word_(symbols * length + 1) {
    Extend(1, 1, length);
    sequence_.insert(sequence_.end(), sequence_.begin(),
                     sequence_.begin() + static_cast<std::ptrdiff_t>(length - 1));
  }
  const std::vector<size_t>& sequence() const { return sequence_; }

 private:
  void Extend(size_t place, size_t period, size_t length) {
    if (place > length) {
      if (length % period == 0) {
        sequence_.insert(sequence_.end(), word_.begin() + 1,
                         word_.begin() + 1 + static_cast<std::ptrdiff_t>(period));
      }
      return;
    }
    word_[place] = word_[place - period];
    Extend(place + 1, period, length);
    for (size_t symbol = word_[place - period] + 1; symbol < symbols_; ++symbol) {
      word_[place] = symbol;
      Extend(place + 1, place, length);
    }
  }

  const size_t symbols_;
  std::vector<size_t> word_;
  std::vector<size_t> sequence_;
};

TEST(EveryWordTest, HoldsEveryWordOnce) {
  EXPECT_EQ(EveryWord(2, 2).sequence(), (std::vector<size_t>{0, 0, 1, 1, 0}));
  EXPECT_EQ(EveryWord(3, 4).sequence().size(), 81u + 3u);
}

// One rotation, its suspensions, and what it has to do after each pick.
class Walk {
 public:
  explicit Walk(const Weights& weights) : weights_(weights), total_picks_(weights.size()) {
    rotation_ = registry_.Resolve(SpecOf(weights));
    expected_.resize(weights.size());
    SetEligible((uint64_t{1} << weights.size()) - 1);
  }

  // Suspends and lifts until exactly these targets are on the rota.
  void SetEligible(uint64_t eligible) {
    for (size_t i = 0; i < weights_.size(); ++i) {
      const bool is_on = (eligible >> i & 1) != 0;
      if (is_on && suspended_.test(i)) {
        registry_.Lift("target-" + std::to_string(i), clock_.Now());
      } else if (!is_on && !suspended_.test(i)) {
        rotation_->Suspend(i, Reason::kQuota, clock_.Now(), clock_.Now() + std::chrono::hours(1));
      }
      suspended_.set(i, !is_on);
    }
    TargetSet on_rota;
    for (size_t i = 0; i < weights_.size(); ++i) {
      on_rota.set(i, WeightOf(i) > 0);
    }
    if (on_rota == on_rota_) {
      return;  // the same order goes on
    }
    on_rota_ = on_rota;
    n_ = 0;
    picks_.assign(weights_.size(), 0);
    total_ = 0;
    for (size_t i = 0; i < weights_.size(); ++i) {
      total_ += WeightOf(i);
    }
  }

  testing::AssertionResult PickOne() {
    const PickResult result = rotation_->PickFirst(clock_.Now());
    if (total_ == 0) {
      return result.pick.has_value() ? testing::AssertionFailure() << "picked what is suspended"
                                     : testing::AssertionSuccess();
    }
    if (!result.pick.has_value() || WeightOf(result.pick->target) == 0) {
      return testing::AssertionFailure() << "not one of the eligible targets";
    }
    ++n_;
    ++picks_[result.pick->target];
    ++total_picks_[result.pick->target];
    for (size_t i = 0; i < weights_.size(); ++i) {
      expected_[i] += static_cast<double>(WeightOf(i)) / static_cast<double>(total_);
      const int64_t deviation = picks_[i] * total_ - n_ * WeightOf(i);
      if (std::abs(deviation) >= total_) {
        return testing::AssertionFailure()
               << "target " << i << " has " << picks_[i] << " of " << n_ << " picks";
      }
    }
    return testing::AssertionSuccess();
  }

  // The largest difference between picks and shares over all that has been, in picks, for `picks`.
  double Drift() const {
    double drift = 0;
    for (size_t i = 0; i < expected_.size(); ++i) {
      drift = std::max(drift, std::abs(static_cast<double>(total_picks_[i]) - expected_[i]));
    }
    return drift;
  }
  double total_picks() const {
    return static_cast<double>(
        std::accumulate(total_picks_.begin(), total_picks_.end(), uint64_t{0}));
  }

 private:
  int64_t WeightOf(size_t target) const { return suspended_.test(target) ? 0 : weights_[target]; }

  const Weights weights_;
  FakeClock clock_;
  Registry registry_{"node"};
  std::shared_ptr<Rotation> rotation_;
  TargetSet suspended_;
  TargetSet on_rota_;
  int64_t total_ = 0;
  int64_t n_ = 0;
  std::vector<int64_t> picks_;
  std::vector<uint64_t> total_picks_;
  std::vector<double> expected_;
};

// Walks along every word of `depth` steps; a step is an eligible set and a number of picks from it.
void CheckEveryWord(const Weights& weights, const std::vector<size_t>& picks_of_step,
                    size_t depth) {
  const size_t sets = size_t{1} << weights.size();
  Walk walk(weights);
  const EveryWord words(sets * picks_of_step.size(), depth);
  for (const size_t step : words.sequence()) {
    walk.SetEligible(step % sets);
    for (size_t i = 0; i < picks_of_step[step / sets]; ++i) {
      ASSERT_TRUE(walk.PickOne()) << testing::PrintToString(weights);
    }
  }
  EXPECT_LE(walk.Drift(), 3 + 0.02 * walk.total_picks()) << testing::PrintToString(weights);
}

// `sorted`: one order only of the same weights.
void ForEveryRotation(size_t count, bool sorted, const std::function<void(const Weights&)>& check) {
  ForEveryWeights(count, 0, 4, [&](const Weights& weights) {
    const bool has_any =
        std::any_of(weights.begin(), weights.end(), [](uint32_t weight) { return weight > 0; });
    if (has_any && (!sorted || std::is_sorted(weights.begin(), weights.end()))) {
      check(weights);
    }
  });
}

TEST(RotationStatesTest, OneAndTwoTargetsThroughFourChanges) {
  for (const size_t count : {1, 2}) {
    ForEveryRotation(count, false, [](const Weights& weights) {
      CheckEveryWord(weights, {1, 2, 5}, 4);
    });
  }
}

TEST(RotationStatesTest, ThreeTargetsThroughThreeChanges) {
  ForEveryRotation(3, true, [](const Weights& weights) { CheckEveryWord(weights, {1, 3}, 3); });
}

TEST(RotationStatesTest, ThreeTargetsInEveryOrderThroughTwoChanges) {
  ForEveryRotation(3, false, [](const Weights& weights) {
    CheckEveryWord(weights, {1, 2, 3, 13}, 2);
  });
}

TEST(RotationStatesTest, FourTargetsThroughThreeChanges) {
  ForEveryRotation(4, true, [](const Weights& weights) { CheckEveryWord(weights, {1}, 3); });
}

TEST(RotationStatesTest, FourTargetsInEveryOrderThroughTwoChanges) {
  ForEveryRotation(4, false, [](const Weights& weights) { CheckEveryWord(weights, {1, 2}, 2); });
}

}  // namespace
}  // namespace rota::rotation
