#include "dataplane/rotation/registry.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/suspension_book.h"
#include "gtest/gtest.h"

namespace rota::rotation {
namespace {

using std::chrono::seconds;

class RegistryTest : public testing::Test {
 protected:
  static RotationSpec Spec(const std::string& id, const std::vector<std::string>& targets) {
    RotationSpec spec;
    spec.id = id;
    for (const std::string& target : targets) {
      spec.targets.push_back({.id = target});
    }
    return spec;
  }
  Suspension Remote(const std::string& target, const std::string& origin, uint64_t epoch,
                    int remaining_seconds, bool lifted = false) {
    return {target, Reason::kQuota, clock_.Now() + seconds(remaining_seconds),
            epoch,  origin,         lifted};
  }
  void Apply(const Suspension& item) { registry_.ApplyRemote({item}, clock_.Now()); }
  // Seconds until the target returns; 0 when it is not suspended.
  int64_t Remaining(const std::string& target) {
    for (const Suspension& suspension : registry_.Active(clock_.Now())) {
      if (suspension.target == target) {
        return std::chrono::duration_cast<seconds>(suspension.until - clock_.Now()).count();
      }
    }
    return 0;
  }

  FakeClock clock_;
  std::vector<Suspension> told_;
  Registry registry_{"self", [this](const Suspension& suspension) { told_.push_back(suspension); },
                     1000};
};

TEST_F(RegistryTest, AnUnchangedSpecGivesTheSameRotation) {
  const auto first = registry_.Resolve(Spec("r", {"a", "b"}));

  EXPECT_EQ(registry_.Resolve(Spec("r", {"a", "b"})), first);
  EXPECT_NE(registry_.Resolve(Spec("r", {"b", "a"})), first);
}

TEST_F(RegistryTest, SurvivingTargetsKeepSuspensionsAndFailureCounts) {
  const auto before = registry_.Resolve(Spec("r", {"a", "b", "c"}));
  before->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));
  before->RecordFailures({{1, FailureKind::kConnect}}, clock_.Now());

  RotationSpec spec = Spec("r", {"c", "b", "a", "d"});
  spec.targets[2].weight = 9;
  const auto after = registry_.Resolve(spec);

  EXPECT_TRUE(after->Inspect(clock_.Now())[2].suspension.has_value());
  EXPECT_EQ(after->Inspect(clock_.Now())[1].consecutive_failures, 1u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(after->PickFirst(clock_.Now()).pick->target, 2u);
  }
}

TEST_F(RegistryTest, ARequestOfAnOldSnapshotSuspendsForTheNewOneToo) {
  const auto before = registry_.Resolve(Spec("r", {"a", "b"}));
  const auto after = registry_.Resolve(Spec("r", {"a", "b", "c"}));
  after->PickFirst(clock_.Now());

  before->Suspend(1, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));

  for (int i = 0; i < 20; ++i) {
    EXPECT_NE(after->PickFirst(clock_.Now()).pick->target, 1u);
    EXPECT_NE(before->PickFirst(clock_.Now()).pick->target, 1u);
  }
}

TEST_F(RegistryTest, RemoteSuspensionsTakeTheTargetOffTheRota) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  rotation->PickFirst(clock_.Now());

  Apply(Remote("a", "other", 1, 10));

  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);
  }
  EXPECT_TRUE(told_.empty());
  EXPECT_TRUE(registry_.Own(clock_.Now()).empty());
  EXPECT_EQ(Remaining("a"), 10);
}

TEST_F(RegistryTest, TheLatestEndAcrossOriginsCounts) {
  registry_.Resolve(Spec("r", {"a", "b"}));
  Apply(Remote("a", "x", 1, 10));
  Apply(Remote("a", "y", 1, 30));
  Apply(Remote("a", "z", 1, 20));

  EXPECT_EQ(Remaining("a"), 30);
}

TEST_F(RegistryTest, RemoteStatementsAreIdempotentAndOrderDoesNotMatter) {
  registry_.Resolve(Spec("r", {"a", "b"}));
  const auto old = Remote("a", "x", 1, 10);
  const auto fresh = Remote("a", "x", 2, 20);
  const auto lift = Remote("a", "x", 2, 20, /*lifted=*/true);
  Apply(fresh);
  Apply(old);
  Apply(fresh);
  EXPECT_EQ(Remaining("a"), 20);

  Apply(lift);
  EXPECT_EQ(Remaining("a"), 0);
  // Repetitions of what has been lifted do not bring it back, newer evidence does.
  Apply(old);
  Apply(fresh);
  EXPECT_EQ(Remaining("a"), 0);
  Apply(Remote("a", "x", 3, 5));
  EXPECT_EQ(Remaining("a"), 5);
  // Nor does the lift end what came after it.
  Apply(lift);
  EXPECT_EQ(Remaining("a"), 5);
}

TEST_F(RegistryTest, OfOneStatementTheEarliestEndCounts) {
  registry_.Resolve(Spec("r", {"a"}));
  Apply(Remote("a", "x", 1, 33));
  Apply(Remote("a", "x", 1, 30));
  Apply(Remote("a", "x", 1, 31));
  EXPECT_EQ(Remaining("a"), 30);
}

TEST_F(RegistryTest, AStatementThatTurnsOutToBeOverEnds) {
  registry_.Resolve(Spec("r", {"a"}));
  Apply(Remote("a", "x", 1, 5));  // held up on its way
  Apply(Remote("a", "x", 1, 0));

  EXPECT_EQ(Remaining("a"), 0);
}

TEST_F(RegistryTest, WhatAnUpstreamAsksForIsMoreThanAGuess) {
  const std::shared_ptr<Rotation> rotation = registry_.Resolve(Spec("r", {"a"}));
  const auto suspend = [&](Reason reason, int time) {
    rotation->Suspend(0, reason, clock_.Now(), clock_.Now() + seconds(time));
  };
  suspend(Reason::kFailures, 60);
  EXPECT_TRUE(rotation->PickFirst(clock_.Now()).pick.has_value()) << "nobody else is left";

  suspend(Reason::kQuota, 30);
  EXPECT_FALSE(rotation->PickFirst(clock_.Now()).pick.has_value());
  EXPECT_EQ(Remaining("a"), 60) << "nothing makes a window shorter";
  suspend(Reason::kFailures, 90);
  EXPECT_FALSE(rotation->PickFirst(clock_.Now()).pick.has_value());
  EXPECT_EQ(Remaining("a"), 90);
}

TEST_F(RegistryTest, WhatIsLearnedWithTheCredentialBeforeSuspendsNobody) {
  const std::shared_ptr<Rotation> rotation = registry_.Resolve(Spec("r", {"a"}));
  const auto suspend = [&](uint64_t generation) {
    return rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(60),
                             generation);
  };
  registry_.Lift("a", clock_.Now(), /*generation=*/7);

  EXPECT_FALSE(suspend(6));
  EXPECT_EQ(Remaining("a"), 0);
  EXPECT_TRUE(told_.empty());

  EXPECT_TRUE(suspend(7));
  EXPECT_EQ(Remaining("a"), 60);
  registry_.Lift("a", clock_.Now());  // by a person
  EXPECT_TRUE(suspend(7));
}

TEST_F(RegistryTest, FailuresThatOthersHaveSeenDoNotTakeTheLastTargetEither) {
  const std::shared_ptr<Rotation> rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  Suspension failing = Remote("a", "x", 1, 60);
  failing.reason = Reason::kFailures;
  Apply(failing);
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);

  failing.target = "b";
  failing.origin = "y";
  Apply(failing);
  EXPECT_TRUE(rotation->PickFirst(clock_.Now()).pick.has_value());

  // What an upstream asks for is another matter.
  Apply(Remote("a", "x", 2, 30));
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);
  Apply(Remote("b", "x", 3, 20));
  const PickResult nothing = rotation->PickFirst(clock_.Now());
  EXPECT_FALSE(nothing.pick.has_value());
  EXPECT_EQ(nothing.nothing.earliest_return, clock_.Now() + seconds(20));

  // "b" fails, but is the first that may be asked again.
  clock_.Advance(seconds(20));
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);
  clock_.Advance(seconds(10));  // "a" is back for good
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 0u);
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 0u);
}

TEST_F(RegistryTest, ALiftEndsTheStatementThatItNamesAndNoOther) {
  registry_.Resolve(Spec("r", {"a"}));
  Apply(Remote("a", "x", 3, 30, /*lifted=*/true));  // comes before what it lifts
  Apply(Remote("a", "x", 3, 30));
  EXPECT_EQ(Remaining("a"), 0);

  Apply(Remote("a", "y", 1, 10));
  Apply(Remote("a", "x", 3, 30, /*lifted=*/true));

  EXPECT_EQ(Remaining("a"), 10);
}

TEST_F(RegistryTest, WhatThisNodeSaidInAnEarlierLifeIsNotShortenedByWhatItSaysNow) {
  const auto rotation = registry_.Resolve(Spec("r", {"a"}));
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));
  told_.clear();

  Apply(Remote("a", "self", 900, 30));

  EXPECT_EQ(Remaining("a"), 30);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].until, clock_.Now() + seconds(30));
  EXPECT_EQ(told_[0].epoch, 1002u);
  // Once is enough.
  Apply(Remote("a", "self", 900, 30));
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(RegistryTest, AnEchoOfWhatThisProcessLiftedDoesNotBringItBack) {
  const auto rotation = registry_.Resolve(Spec("r", {"a"}));
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(30));
  const Suspension first = told_[0];
  registry_.Lift("a", clock_.Now());
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(5));

  Apply(first);

  EXPECT_EQ(Remaining("a"), 5);
}

TEST_F(RegistryTest, WhatWasLiftedInAnEarlierLifeStaysSoWhateverIsSaidNow) {
  for (const bool lifted_elsewhere : {false, true}) {
    const std::string target = lifted_elsewhere ? "b" : "a";
    const auto rotation = registry_.Resolve(Spec("r of " + target, {target}));
    Apply(Remote(target, "self", 10, 3600));
    if (lifted_elsewhere) {
      Apply(Remote(target, "self", 10, 3600, /*lifted=*/true));
    } else {
      registry_.Lift(target, clock_.Now());
    }
    rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(60));
    told_.clear();

    Apply(Remote(target, "self", 10, 3600));  // by a controller that has not heard of the lift

    EXPECT_EQ(Remaining(target), 60);
    EXPECT_TRUE(told_.empty());
  }
}

TEST_F(RegistryTest, KnownIsEveryStatementOfEveryOriginLiftedOnesToo) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));
  Apply(Remote("a", "x", 1, 20));
  Apply(Remote("b", "y", 4, 30));
  registry_.Lift("b", clock_.Now());

  const auto known = registry_.Known(clock_.Now());

  ASSERT_EQ(known.size(), 3u);
  for (const Suspension& statement : known) {
    EXPECT_EQ(statement.lifted, statement.origin == "y");
  }
  EXPECT_EQ(registry_.Known(clock_.Now() + seconds(10)).size(), 2u);
}

TEST_F(RegistryTest, WhatThisNodeSaidBeforeARestartCountsAndItsEpochsGoOn) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  Apply(Remote("a", "self", 5000, 10));
  EXPECT_EQ(Remaining("a"), 10);
  EXPECT_TRUE(registry_.Own(clock_.Now()).empty());

  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(20));

  ASSERT_EQ(told_.size(), 1u);
  EXPECT_GT(told_[0].epoch, 5000u);
  // The echo of one's own statement changes nothing.
  Apply(told_[0]);
  EXPECT_EQ(registry_.Own(clock_.Now()).size(), 1u);
}

TEST_F(RegistryTest, ATargetThatIsConfiguredLaterIsSuspendedFromTheStart) {
  Apply(Remote("a", "other", 1, 10));
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));

  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);
  EXPECT_EQ(rotation->PickFirst(clock_.Now()).pick->target, 1u);
  clock_.Advance(seconds(10));
  EXPECT_NE(rotation->PickFirst(clock_.Now()).pick->target,
            rotation->PickFirst(clock_.Now()).pick->target);
}

TEST_F(RegistryTest, UnknownTargetsAndOriginsAreBounded) {
  for (size_t i = 0; i < 2 * SuspensionBook::kMaxUnknownTargets; ++i) {
    Apply(Remote("unknown-" + std::to_string(i), "x", 1, 10));
  }
  EXPECT_EQ(registry_.Active(clock_.Now()).size(), SuspensionBook::kMaxUnknownTargets);

  registry_.Resolve(Spec("r", {"a"}));
  for (int i = 0; i < 1000; ++i) {
    Apply(Remote("a", "origin-" + std::to_string(i), 1, 10 + i));
  }
  EXPECT_EQ(Remaining("a"), 1009);

  // Expired ones make room.
  clock_.Advance(seconds(11));
  Apply(Remote("late", "x", 1, 10));
  EXPECT_EQ(Remaining("late"), 10);
}

TEST_F(RegistryTest, LiftEndsEverySuspensionAndTellsOthers) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  rotation->Suspend(0, Reason::kAuth, clock_.Now(), clock_.Now() + seconds(10));
  Apply(Remote("a", "other", 1, 30));
  told_.clear();

  registry_.Lift("a", clock_.Now());

  ASSERT_EQ(told_.size(), 2u);
  for (const Suspension& told : told_) {
    EXPECT_TRUE(told.lifted);
    EXPECT_EQ(told.until, clock_.Now() + seconds(told.origin == "self" ? 10 : 30));
  }
  EXPECT_EQ(Remaining("a"), 0);
  EXPECT_TRUE(registry_.Own(clock_.Now()).empty());
  EXPECT_NE(rotation->PickFirst(clock_.Now()).pick->target,
            rotation->PickFirst(clock_.Now()).pick->target);
  Apply(Remote("a", "other", 1, 30));
  EXPECT_EQ(Remaining("a"), 0);

  registry_.Lift("a", clock_.Now());
  registry_.Lift("never seen", clock_.Now());
  EXPECT_EQ(told_.size(), 2u);

  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(3));
  EXPECT_EQ(Remaining("a"), 3);
}

TEST_F(RegistryTest, OwnIsWhatThisProcessDecidedAndHasNotEnded) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));
  Apply(Remote("b", "other", 1, 30));

  const std::vector<Suspension> own = registry_.Own(clock_.Now());
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0].target, "a");
  EXPECT_EQ(own[0].epoch, 1001u);
  clock_.Advance(seconds(10));
  EXPECT_TRUE(registry_.Own(clock_.Now()).empty());
  EXPECT_EQ(registry_.Active(clock_.Now()).size(), 1u);
}

TEST_F(RegistryTest, ForgetsWhatIsGoneAndKeepsWhatIsNotConfiguredYet) {
  registry_.Resolve(Spec("r", {"a", "b"}));
  registry_.Resolve(Spec("s", {"c"}));
  Apply(Remote("a", "x", 1, 30));
  Apply(Remote("c", "x", 1, 30));
  Apply(Remote("future", "x", 1, 30));

  registry_.Forget({"s", "never"}, {"c", "a", "never"});

  EXPECT_EQ(Remaining("a"), 30);
  EXPECT_EQ(Remaining("c"), 0);
  EXPECT_EQ(Remaining("future"), 30);
}

TEST_F(RegistryTest, ALiftedStatementMakesRoomForOneThatCounts) {
  registry_.Resolve(Spec("r", {"a"}));
  for (size_t i = 0; i < SuspensionBook::kMaxOrigins; ++i) {
    Apply(Remote("a", "origin-" + std::to_string(i), 1, 3600));
  }
  registry_.Lift("a", clock_.Now());

  Apply(Remote("a", "new", 1, 60));
  EXPECT_EQ(Remaining("a"), 60);

  Apply(Remote("a", "lifted", 1, 3600, /*lifted=*/true));
  EXPECT_EQ(Remaining("a"), 60);
}

TEST_F(RegistryTest, ARotationThatIsGoneStillServesTheRequestsThatHoldIt) {
  const auto rotation = registry_.Resolve(Spec("r", {"a", "b"}));
  rotation->RecordFailures({{0, FailureKind::kConnect}}, clock_.Now());
  rotation->PickFirst(clock_.Now());
  registry_.Forget({"r"}, {"a", "b"});

  rotation->RecordSuccess(0);
  rotation->Suspend(0, Reason::kQuota, clock_.Now(), clock_.Now() + seconds(10));

  EXPECT_TRUE(rotation->PickFirst(clock_.Now()).pick.has_value());
}

// For ThreadSanitizer: everything that may happen at once does.
TEST(RegistryThreadTest, EveryCallMayRunWhileAnyOtherDoes) {
  std::atomic<uint64_t> told{0};
  Registry registry("self", [&told](const Suspension&) { told.fetch_add(1); });
  const auto spec = [](uint32_t weight) {
    RotationSpec made;
    made.id = "r";
    for (const char* id : {"a", "b", "c"}) {
      made.targets.push_back({.id = id, .weight = weight});
      weight = 1;
    }
    return made;
  };
  registry.Resolve(spec(1));
  constexpr int kRounds = 3000;
  const auto time = [](int i) {
    return MonotonicTime(seconds(100) + std::chrono::milliseconds(i));
  };
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto rotation = registry.Resolve(spec(1 + static_cast<uint32_t>(i / 100 % 3)));
        const PickResult pick = rotation->PickFirst(time(i));
        if (pick.pick.has_value() && i % 7 == t) {
          TargetSet tried;
          tried.set(pick.pick->target);
          rotation->PickNext(time(i), tried);
          rotation->RecordFailures({{pick.pick->target, FailureKind::kConnect}}, time(i));
        } else if (pick.pick.has_value() && i % 11 == t) {
          rotation->Suspend(pick.pick->target, Reason::kQuota, time(i), time(i + 20));
        } else if (pick.pick.has_value()) {
          rotation->RecordSuccess(pick.pick->target);
        }
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) {
      const auto epoch = static_cast<uint64_t>(i) + 1;
      registry.ApplyRemote({{"a", Reason::kQuota, time(i + 5), epoch, "x", i % 5 == 0}}, time(i));
      registry.Lift("b", time(i));
      registry.Active(time(i));
      registry.Own(time(i));
      registry.Known(time(i));
      registry.Resolve(spec(1))->Inspect(time(i));
      registry.Forget({"other"}, {"a", "b", "c"});
    }
  });
  threads.clear();

  EXPECT_GT(told.load(), 0u);
  EXPECT_TRUE(registry.Resolve(spec(1))->PickFirst(time(2 * kRounds)).pick.has_value());
}

}  // namespace
}  // namespace rota::rotation
