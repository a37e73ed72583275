#include "dataplane/rotation/rotation.h"

#include <malloc.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/registry.h"
#include "gtest/gtest.h"

namespace rota::rotation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RotationTest : public testing::Test {
 protected:
  static RotationSpec Spec(const std::vector<uint32_t>& weights) {
    RotationSpec spec;
    spec.id = "r";
    for (size_t i = 0; i < weights.size(); ++i) {
      spec.targets.push_back(
          {.id = std::string(1, static_cast<char>('a' + i)), .weight = weights[i]});
    }
    return spec;
  }
  std::shared_ptr<Rotation> Make(const std::vector<uint32_t>& weights) {
    return registry_.Resolve(Spec(weights));
  }
  // "abca": the targets of the next picks, "-" where nothing is eligible.
  std::string Picks(Rotation& rotation, size_t count) {
    std::string picks;
    for (size_t i = 0; i < count; ++i) {
      const PickResult result = rotation.PickFirst(clock_.Now());
      picks += result.pick.has_value() ? static_cast<char>('a' + result.pick->target) : '-';
    }
    return picks;
  }
  static size_t CountOf(const std::string& picks, char target) {
    return static_cast<size_t>(std::count(picks.begin(), picks.end(), target));
  }
  void Suspend(Rotation& rotation, size_t target, Duration length, Reason reason = Reason::kQuota) {
    rotation.Suspend(target, reason, clock_.Now(), clock_.Now() + length);
  }

  FakeClock clock_;
  std::vector<Suspension> told_;
  Registry registry_{"node", [this](const Suspension& suspension) { told_.push_back(suspension); }};
};

TEST_F(RotationTest, EqualWeightsTakeTurns) { EXPECT_EQ(Picks(*Make({1, 1, 1}), 9), "abcabcabc"); }

TEST_F(RotationTest, PicksInterleave) {
  const std::string picks = Picks(*Make({7, 3}), 10);

  EXPECT_EQ(CountOf(picks, 'a'), 7u);
  EXPECT_EQ(picks.find("aaaa"), std::string::npos) << picks;
}

TEST_F(RotationTest, WeightZeroAndUnusableTargetsAreNeverPicked) {
  RotationSpec spec = Spec({1, 0, 5});
  spec.targets[2].usable = false;

  EXPECT_EQ(Picks(*registry_.Resolve(spec), 4), "aaaa");
}

TEST_F(RotationTest, SurvivorsShareInProportionToTheirWeights) {
  const auto rotation = Make({5, 3, 1});
  Suspend(*rotation, 0, seconds(10));

  const std::string picks = Picks(*rotation, 400);

  EXPECT_EQ(CountOf(picks, 'a'), 0u);
  EXPECT_EQ(CountOf(picks, 'b'), 300u);
}

TEST_F(RotationTest, ReturnsToItsShareWithoutABurst) {
  const auto rotation = Make({1, 1, 1});
  Suspend(*rotation, 1, seconds(10));
  EXPECT_EQ(CountOf(Picks(*rotation, 300), 'b'), 0u);

  clock_.Advance(seconds(10));

  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(CountOf(Picks(*rotation, 3), 'b'), 1u);
  }
}

TEST_F(RotationTest, ReturnsByItselfAtTheEndOfItsSuspension) {
  const auto rotation = Make({1, 1});
  Suspend(*rotation, 0, milliseconds(1500));

  clock_.Advance(milliseconds(1499));
  EXPECT_EQ(Picks(*rotation, 2), "bb");
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(CountOf(Picks(*rotation, 2), 'a'), 1u);
}

TEST_F(RotationTest, ALaterEndExtendsASuspensionAndAnEarlierOneDoesNotShortenIt) {
  const auto rotation = Make({1, 1});
  Suspend(*rotation, 0, seconds(10));
  Suspend(*rotation, 0, seconds(5));
  Suspend(*rotation, 0, seconds(20), Reason::kAuth);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].reason, Reason::kAuth);
  EXPECT_GT(told_[1].epoch, told_[0].epoch);

  clock_.Advance(seconds(19));
  EXPECT_EQ(Picks(*rotation, 2), "bb");
  clock_.Advance(seconds(1));
  EXPECT_EQ(CountOf(Picks(*rotation, 2), 'a'), 1u);
}

TEST_F(RotationTest, SaysWhenTheFirstTargetReturns) {
  const auto rotation = Make({1, 1, 0});
  Suspend(*rotation, 0, seconds(30));
  Suspend(*rotation, 1, seconds(20));

  const PickResult result = rotation->PickFirst(clock_.Now());

  EXPECT_FALSE(result.pick.has_value());
  EXPECT_EQ(result.nothing.earliest_return, clock_.Now() + seconds(20));
  clock_.Advance(seconds(20));
  EXPECT_EQ(Picks(*rotation, 2), "bb");
}

TEST_F(RotationTest, SaysThatNobodyReturnsWhenNobodyCan) {
  RotationSpec spec = Spec({1, 0});
  spec.targets[0].usable = false;
  const auto rotation = registry_.Resolve(spec);

  const PickResult result = rotation->PickFirst(clock_.Now());

  EXPECT_FALSE(result.pick.has_value());
  EXPECT_EQ(result.nothing.earliest_return, std::nullopt);
  EXPECT_EQ(rotation->PickNext(clock_.Now(), {}).nothing.earliest_return, std::nullopt);
}

TEST_F(RotationTest, AHigherTierServesOnlyWhileNoLowerOneIsEligible) {
  RotationSpec spec = Spec({1, 1, 1, 1});
  spec.targets[2].tier = 2;
  spec.targets[3].tier = 7;
  const auto rotation = registry_.Resolve(spec);

  EXPECT_EQ(Picks(*rotation, 4), "abab");
  Suspend(*rotation, 0, seconds(10));
  EXPECT_EQ(Picks(*rotation, 2), "bb");
  Suspend(*rotation, 1, seconds(20));
  EXPECT_EQ(Picks(*rotation, 2), "cc");
  Suspend(*rotation, 2, seconds(30));
  EXPECT_EQ(Picks(*rotation, 2), "dd");
  clock_.Advance(seconds(10));
  EXPECT_EQ(Picks(*rotation, 2), "aa");
}

TEST_F(RotationTest, ATierThatIsNotInUseDoesNotDisturbThePosition) {
  RotationSpec spec = Spec({1, 1, 1});
  spec.targets[2].tier = 2;
  const auto rotation = registry_.Resolve(spec);
  EXPECT_EQ(Picks(*rotation, 1), "a");

  Suspend(*rotation, 2, seconds(1));
  EXPECT_EQ(Picks(*rotation, 1), "b");
  clock_.Advance(seconds(2));

  EXPECT_EQ(Picks(*rotation, 2), "ab");
}

TEST_F(RotationTest, TheNextTryIsNeverOneThatWasTried) {
  const auto rotation = Make({1, 1, 1});
  TargetSet tried;
  tried.set(1);

  std::map<size_t, int> picks;
  for (int i = 0; i < 100; ++i) {
    ++picks[rotation->PickNext(clock_.Now(), tried).pick->target];
  }
  EXPECT_EQ(picks, (std::map<size_t, int>{{0, 50}, {2, 50}}));

  tried.set();
  EXPECT_FALSE(rotation->PickNext(clock_.Now(), tried).pick.has_value());
}

TEST_F(RotationTest, TheNextTryGoesByWeightAndTierAndLeavesFirstPicksAlone) {
  RotationSpec spec = Spec({1, 3, 1, 1});
  spec.targets[3].tier = 2;
  const auto rotation = registry_.Resolve(spec);
  TargetSet tried;
  tried.set(0);
  const std::string before = Picks(*rotation, 5);

  int heavy = 0;
  for (int i = 0; i < 40; ++i) {
    heavy += rotation->PickNext(clock_.Now(), tried).pick->target == 1 ? 1 : 0;
  }

  EXPECT_EQ(heavy, 30);
  EXPECT_EQ(Picks(*rotation, 5), before);
  tried.set(1);
  tried.set(2);
  EXPECT_EQ(rotation->PickNext(clock_.Now(), tried).pick->target, 3u);
}

TEST_F(RotationTest, AnOperationThatNotAllCanHaveIsSharedExactlyByTheOthers) {
  const auto rotation = Make({1, 1, 2});
  const TargetSet without_c(0b100);
  std::string picks;
  for (int i = 0; i < 30; ++i) {
    const PickResult result = rotation->PickFirst(clock_.Now(), without_c);
    picks += static_cast<char>('a' + result.pick->target);
    // Between them others are tried again after a failure of "c".
    EXPECT_TRUE(rotation->PickNext(clock_.Now(), without_c).pick.has_value());
    EXPECT_TRUE(rotation->PickFirst(clock_.Now()).pick.has_value());
  }
  for (size_t n = 1; n <= picks.size(); ++n) {
    EXPECT_LE(
        std::abs(2 * static_cast<int>(CountOf(picks.substr(0, n), 'a')) - static_cast<int>(n)), 1)
        << picks;
  }
  EXPECT_EQ(rotation->Inspect(clock_.Now())[0].first_picks, 15u + 8u);
}

TEST_F(RotationTest, WhatAnOperationCannotHaveIsNotWaitedFor) {
  const auto rotation = Make({1, 1});
  Suspend(*rotation, 0, seconds(60));
  Suspend(*rotation, 1, seconds(5));
  const TargetSet without_b(0b10);

  const PickResult nothing = rotation->PickFirst(clock_.Now(), without_b);

  EXPECT_FALSE(nothing.pick.has_value());
  EXPECT_EQ(nothing.nothing.earliest_return, clock_.Now() + seconds(60));
  EXPECT_EQ(rotation->WhyNothing(clock_.Now(), without_b)->earliest_return,
            clock_.Now() + seconds(60));
  EXPECT_EQ(rotation->WhyNothing(clock_.Now())->earliest_return, clock_.Now() + seconds(5));
  clock_.Advance(seconds(5));
  EXPECT_FALSE(rotation->WhyNothing(clock_.Now()).has_value());
  EXPECT_EQ(rotation->WhyNothing(clock_.Now(), TargetSet(0b11))->earliest_return, std::nullopt);
}

TEST_F(RotationTest, AFailingTargetsTurnsAreSharedWhateverIsTried) {
  // 64 targets fail in turn: more sets of what is left than are remembered.
  const auto rotation = Make(std::vector<uint32_t>(kMaxTargets, 1));
  std::vector<int> picks(kMaxTargets);

  for (size_t i = 0; i < 64 * kMaxTargets; ++i) {
    TargetSet tried;
    tried.set(i % kMaxTargets);
    ++picks[rotation->PickNext(clock_.Now(), tried).pick->target];
  }

  EXPECT_LE(*std::max_element(picks.begin(), picks.end()), 68);
  EXPECT_GE(*std::min_element(picks.begin(), picks.end()), 60);
}

TEST_F(RotationTest, ConsecutiveFailuresSuspendAtTheThreshold) {
  const auto rotation = Make({1, 1});
  const std::vector<Failure> failure = {{0, FailureKind::kConnect}};
  rotation->RecordFailures(failure, clock_.Now());
  rotation->RecordFailures(failure, clock_.Now());
  EXPECT_EQ(rotation->Inspect(clock_.Now())[0].consecutive_failures, 2u);
  EXPECT_TRUE(told_.empty());

  rotation->RecordFailures(failure, clock_.Now());

  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].target, "a");
  EXPECT_EQ(told_[0].reason, Reason::kFailures);
  EXPECT_EQ(told_[0].until, clock_.Now() + seconds(60));
  EXPECT_EQ(Picks(*rotation, 2), "bb");
  // Requests that were under way fail too: nothing is counted for them.
  for (int i = 0; i < 5; ++i) {
    rotation->RecordFailures(failure, clock_.Now());
  }
  EXPECT_EQ(told_.size(), 1u);
  clock_.Advance(seconds(60));
  rotation->RecordFailures(failure, clock_.Now());
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(RotationTest, ASuccessStartsTheCountAgain) {
  const auto rotation = Make({1, 1});
  for (int i = 0; i < 10; ++i) {
    rotation->RecordFailures({{0, FailureKind::kServerError}}, clock_.Now());
    rotation->RecordFailures({{0, FailureKind::kServerError}}, clock_.Now());
    rotation->PickFirst(clock_.Now());
    rotation->RecordSuccess(0);
  }

  EXPECT_TRUE(told_.empty());
}

TEST_F(RotationTest, ASuccessCountsAlsoWhenNothingWasPickedSinceTheFailure) {
  const auto rotation = Make({1, 1});
  for (int i = 0; i < 10; ++i) {
    rotation->RecordFailures({{0, FailureKind::kServerError}}, clock_.Now());
    rotation->RecordSuccess(0);
  }

  EXPECT_TRUE(told_.empty());
}

// Sanitizers have an allocator of their own, of which mallinfo2() knows nothing.
TEST_F(RotationTest, SetsThatChangeForEverTakeNoMoreMemory) {
  const auto rotation = Make({3334, 3333, 3333});  // long orders, with and without the last one
  const auto change = [&](int times) {
    for (int i = 0; i < times; ++i) {
      Suspend(*rotation, 2, seconds(1));
      Picks(*rotation, 20);
      clock_.Advance(seconds(1));
      Picks(*rotation, 20);
      told_.clear();
    }
  };
  change(20);
  const size_t before = mallinfo2().uordblks;

  change(1000);

  EXPECT_LT(mallinfo2().uordblks, before + (1 << 20));
}

TEST_F(RotationTest, FailuresNeverTakeTheLastEligibleTarget) {
  const auto rotation = Make({1, 1, 0});
  Suspend(*rotation, 1, seconds(10));
  for (int i = 0; i < 10; ++i) {
    rotation->RecordFailures({{0, FailureKind::kTimeout}}, clock_.Now());
  }
  EXPECT_EQ(Picks(*rotation, 2), "aa");

  // With another one back it is taken at its next failure.
  clock_.Advance(seconds(10));
  rotation->RecordFailures({{0, FailureKind::kTimeout}}, clock_.Now());

  EXPECT_EQ(Picks(*rotation, 2), "bb");
}

TEST_F(RotationTest, ARequestThatFailsAlikeOnTwoTargetsCountsAgainstNeither) {
  const auto rotation = Make({1, 1, 1});
  for (int i = 0; i < 5; ++i) {
    rotation->RecordFailures({{0, FailureKind::kServerError},
                              {1, FailureKind::kServerError},
                              {2, FailureKind::kConnect}},
                             clock_.Now());
  }

  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].target, "c");
  EXPECT_EQ(rotation->Inspect(clock_.Now())[0].consecutive_failures, 0u);
}

TEST_F(RotationTest, ThresholdZeroSwitchesTheCountingOff) {
  RotationSpec spec = Spec({1, 1});
  spec.failure_threshold = 0;
  const auto rotation = registry_.Resolve(spec);
  for (int i = 0; i < 10; ++i) {
    rotation->RecordFailures({{0, FailureKind::kConnect}}, clock_.Now());
  }

  EXPECT_TRUE(told_.empty());
}

TEST_F(RotationTest, IndexesOutOfRangeDoNothing) {
  const auto rotation = Make({1});
  rotation->Suspend(7, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(1));
  rotation->RecordSuccess(7);
  rotation->RecordFailures({{7, FailureKind::kConnect}}, clock_.Now());

  EXPECT_TRUE(told_.empty());
}

TEST_F(RotationTest, InspectCountsFirstPicksAcrossChanges) {
  const auto rotation = Make({2, 1});
  Picks(*rotation, 30);
  Suspend(*rotation, 0, seconds(10));
  Picks(*rotation, 5);
  const std::vector<Rotation::TargetState> states = rotation->Inspect(clock_.Now());

  EXPECT_EQ(states[0].first_picks, 20u);
  EXPECT_EQ(states[1].first_picks, 15u);
  ASSERT_TRUE(states[0].suspension.has_value());
  EXPECT_EQ(states[0].suspension->until, clock_.Now() + seconds(10));
  EXPECT_EQ(states[0].suspension->origin, "node");
  clock_.Advance(seconds(10));
  EXPECT_FALSE(rotation->Inspect(clock_.Now())[0].suspension.has_value());
}

TEST_F(RotationTest, SaysWhatComesNextAndPicksNothing) {
  const auto rotation = Make({2, 1, 1});
  const std::vector<size_t> upcoming = rotation->Upcoming(clock_.Now(), 6);
  EXPECT_EQ(rotation->Upcoming(clock_.Now(), 6), upcoming);
  ASSERT_EQ(upcoming.size(), 6u);
  for (const size_t target : upcoming) {
    EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, target);
  }
  Suspend(*rotation, 0, seconds(10));
  const std::vector<size_t> without = rotation->Upcoming(clock_.Now(), 2);
  ASSERT_EQ(without.size(), 2u);
  for (const size_t target : without) {
    EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, target);
  }
  Suspend(*rotation, 1, seconds(10));
  Suspend(*rotation, 2, seconds(10));
  EXPECT_TRUE(rotation->Upcoming(clock_.Now(), 2).empty());
  clock_.Advance(seconds(10));
  EXPECT_EQ(rotation->Upcoming(clock_.Now(), 2).size(), 2u);
}

// A cycle of 24,997 picks, which is made in parts.
TEST_F(RotationTest, ALongOrderGoesOnFromPartToPart) {
  const auto rotation = Make({9973, 7507, 7517});
  std::vector<uint64_t> picks(3);
  for (uint64_t n = 0; n < 60000; ++n) {
    const PickResult result = rotation->PickFirst(clock_.Now());
    ASSERT_TRUE(result.pick.has_value());
    ASSERT_EQ(result.pick->schedule, 1u);
    ASSERT_EQ(result.pick->position, n);
    ++picks[result.pick->target];
    ASSERT_NEAR(static_cast<double>(picks[0]), static_cast<double>((n + 1) * 9973) / 24997, 1);
    if (n % 1000 == 0) {
      const std::vector<size_t> upcoming = rotation->Upcoming(clock_.Now(), 4);
      ASSERT_FALSE(upcoming.empty());
    }
  }
  const auto states = rotation->Inspect(clock_.Now());
  for (size_t i = 0; i < picks.size(); ++i) {
    EXPECT_EQ(states[i].first_picks, picks[i]);
  }
}

TEST_F(RotationTest, TheFleetsFirstPicksSpreadByPhase) {
  std::map<char, int> first;
  for (uint64_t phase = 0; phase < 10; ++phase) {
    Registry registry("node");
    registry.SetPhase(phase);
    const auto rotation = registry.Resolve(Spec({7, 2, 1}));
    ++first[Picks(*rotation, 1)[0]];
  }

  // As many starts as the order is long: each target comes first about as often as it is due.
  EXPECT_EQ(first.size(), 3u);
  EXPECT_NEAR(first['a'], 7, 1);
}

TEST_F(RotationTest, TheChangeCountTellsWaitersToLookAgain) {
  const auto rotation = Make({1});
  Suspend(*rotation, 0, seconds(10));
  const uint64_t before = rotation->change_count();

  registry_.Lift("a", clock_.Now());

  EXPECT_NE(rotation->change_count(), before);
}

}  // namespace
}  // namespace rota::rotation
