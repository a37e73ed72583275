#include "controller/serve/suspension_hub.h"

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::Suspension Item(const std::string& target, uint64_t epoch, int64_t remaining_seconds,
                    v1::SuspensionReason reason = v1::QUOTA) {
  v1::Suspension item;
  item.set_target(target);
  item.set_epoch(epoch);
  item.set_reason(reason);
  item.mutable_remaining()->set_seconds(remaining_seconds);
  return item;
}

SuspensionHub::Items Items(const std::vector<v1::Suspension>& items) {
  return {items.begin(), items.end()};
}

v1::Suspension Of(const std::string& origin, v1::Suspension item) {
  item.set_origin(origin);
  return item;
}

v1::Suspension Lifted(v1::Suspension item) {
  item.set_lifted(true);
  return item;
}

class SuspensionHubTest : public ::testing::Test {
 protected:
  SuspensionHubTest() { hub_.set_connected(3); }
  // What the data planes have to be told.
  std::vector<SharedSuspension> Merge(const std::string& node, const v1::Suspension& item) {
    return hub_.Merge(node, Items({item}), clock_.Now(), clock_.Now()).shared;
  }
  FakeClock clock_;
  SuspensionHub hub_;
};

TEST_F(SuspensionHubTest, TellsANewSuspensionOnceAndADuplicateNever) {
  EXPECT_THAT(Merge("a", Item("t", 1, 60)), SizeIs(1));
  EXPECT_THAT(Merge("a", Item("t", 1, 60)), IsEmpty());
}

TEST_F(SuspensionHubTest, HighestEpochOfAnOriginWinsInAnyOrder) {
  Merge("a", Item("t", 5, 100));

  EXPECT_THAT(Merge("a", Item("t", 4, 500)), IsEmpty());

  ASSERT_THAT(hub_.Active(clock_.Now()), SizeIs(1));
  EXPECT_EQ(hub_.Active(clock_.Now())[0].until, clock_.Now() + seconds(100));
}

TEST_F(SuspensionHubTest, OfOneStatementTheEarliestEndCountsAndIsTold) {
  Merge("a", Item("t", 1, 63));
  EXPECT_THAT(Merge("a", Item("t", 1, 60)), SizeIs(1));
  EXPECT_THAT(Merge("a", Item("t", 1, 62)), IsEmpty());
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(60));
}

TEST_F(SuspensionHubTest, AStatementThatTurnsOutToBeOverEndsAndIsTold) {
  Merge("a", Item("t", 1, 5));  // held up on its way
  EXPECT_THAT(Merge("a", Item("t", 1, 0)), SizeIs(1));
  EXPECT_THAT(hub_.Active(clock_.Now()), IsEmpty());
  EXPECT_THAT(Merge("b", Item("t", 1, 0)), IsEmpty());
}

TEST_F(SuspensionHubTest, AcrossOriginsTheLatestEndCounts) {
  Merge("a", Item("t", 1, 100));
  Merge("b", Item("t", 1, 300));
  Merge("c", Item("t", 1, 200));

  const auto active = hub_.Active(clock_.Now());
  ASSERT_THAT(active, SizeIs(1));
  EXPECT_EQ(active[0].origin, "b");
}

TEST_F(SuspensionHubTest, TheMergeDoesNotDependOnTheOrder) {
  std::vector<std::pair<std::string, v1::Suspension>> statements;
  for (uint64_t epoch = 1; epoch <= 4; ++epoch) {
    for (const char* origin : {"a", "b"}) {
      statements.emplace_back(origin, Item("t", epoch, static_cast<int64_t>(10 * epoch)));
      statements.emplace_back(origin, Item("u", epoch, static_cast<int64_t>(100 / epoch)));
    }
  }
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::shuffle(statements.begin(), statements.end(), random);
    SuspensionHub hub;
    for (const auto& [origin, item] : statements) {
      hub.Merge(origin, Items({item}), clock_.Now(), clock_.Now());
    }
    const auto active = hub.Active(clock_.Now());
    ASSERT_THAT(active, SizeIs(2));
    EXPECT_EQ(active[0].until, clock_.Now() + seconds(40));
    EXPECT_EQ(active[1].until, clock_.Now() + seconds(25));
  }
}

TEST_F(SuspensionHubTest, ASuspensionEndsByItself) {
  Merge("a", Item("t", 1, 60));
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(60));

  clock_.Advance(seconds(60));

  EXPECT_THAT(hub_.Active(clock_.Now()), IsEmpty());
  EXPECT_THAT(hub_.Shared(clock_.Now()), IsEmpty());
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), MonotonicTime::max());
}

TEST_F(SuspensionHubTest, AuthIsSharedOnlyWithASecondWitness) {
  EXPECT_THAT(Merge("a", Item("t", 1, 60, v1::AUTH)), IsEmpty());
  EXPECT_THAT(hub_.Shared(clock_.Now()), IsEmpty());
  EXPECT_THAT(hub_.Active(clock_.Now()), SizeIs(1));  // people see it

  EXPECT_THAT(Merge("b", Item("t", 1, 60, v1::AUTH)), SizeIs(2));
  EXPECT_THAT(hub_.Shared(clock_.Now()), SizeIs(2));
}

TEST_F(SuspensionHubTest, SharedAuthStaysSharedWhenTheOtherWitnessEnds) {
  Merge("a", Item("t", 1, 60, v1::AUTH));
  clock_.Advance(seconds(50));
  EXPECT_THAT(Merge("b", Item("t", 1, 60, v1::AUTH)), SizeIs(2));

  clock_.Advance(seconds(15));
  Merge("c", Item("u", 1, 60));  // what is over is forgotten

  auto shared = hub_.Shared(clock_.Now());
  ASSERT_THAT(shared, SizeIs(2));
  EXPECT_EQ(shared[0].origin, "b");
  // What the same origin says in its place is known to all, too: until it is lifted.
  EXPECT_THAT(Merge("b", Item("t", 2, 60, v1::AUTH)), SizeIs(1));
  EXPECT_THAT(Merge("b", Lifted(Item("t", 2, 60, v1::AUTH))), SizeIs(1));
  EXPECT_THAT(Merge("b", Item("t", 3, 60, v1::AUTH)), IsEmpty());
  // Or until it ends.
  EXPECT_THAT(Merge("d", Item("t", 1, 10, v1::AUTH)), SizeIs(2));
  clock_.Advance(seconds(60));
  EXPECT_THAT(Merge("b", Item("t", 4, 60, v1::AUTH)), IsEmpty());
}

TEST_F(SuspensionHubTest, AnAuthStatementThatIsOverIsNoWitness) {
  const auto merge_from_peer = [&](const std::vector<v1::Suspension>& items) {
    return hub_.MergeFromPeer(Items(items), clock_.Now(), clock_.Now()).shared;
  };
  EXPECT_THAT(merge_from_peer({Of("a", Item("t", 1, 5, v1::AUTH))}), IsEmpty());

  EXPECT_THAT(
      merge_from_peer({Of("a", Item("t", 1, 0, v1::AUTH)), Of("b", Item("t", 1, 60, v1::AUTH))}),
      IsEmpty());

  EXPECT_THAT(hub_.Shared(clock_.Now()), IsEmpty());
}

TEST_F(SuspensionHubTest, AQuotaStatementIsNoWitnessOfAuth) {
  Merge("b", Item("t", 1, 60, v1::QUOTA));
  EXPECT_THAT(Merge("a", Item("t", 1, 60, v1::AUTH)), IsEmpty());
}

TEST_F(SuspensionHubTest, AuthOfTheOnlyDataPlaneIsRememberedForItsReturn) {
  hub_.set_connected(1);
  Merge("a", Item("t", 1, 60, v1::AUTH));
  EXPECT_THAT(hub_.Shared(clock_.Now()), SizeIs(1));

  hub_.set_connected(2);
  EXPECT_THAT(hub_.Shared(clock_.Now()), IsEmpty()) << "nobody else has seen it";
}

TEST_F(SuspensionHubTest, ALiftEndsTheStatementThatItNamesAndALateRepetitionDoesNotReviveIt) {
  Merge("a", Item("t", 1, 60));

  const auto told = Merge("b", Lifted(Of("a", Item("t", 1, 60))));

  ASSERT_THAT(told, SizeIs(1));
  EXPECT_TRUE(told[0].lifted);
  EXPECT_EQ(told[0].origin, "a");
  EXPECT_THAT(hub_.Active(clock_.Now()), IsEmpty());
  EXPECT_THAT(Merge("a", Item("t", 1, 55)), IsEmpty());
  EXPECT_THAT(Merge("c", Lifted(Of("a", Item("t", 1, 60)))), IsEmpty());
  // New evidence counts, and a repeated lift does not end it.
  EXPECT_THAT(Merge("a", Item("t", 2, 60)), SizeIs(1));
  EXPECT_THAT(Merge("c", Lifted(Of("a", Item("t", 1, 60)))), IsEmpty());
  EXPECT_THAT(hub_.Active(clock_.Now()), SizeIs(1));
}

TEST_F(SuspensionHubTest, ALiftByHandEndsEveryOriginsAndIsToldToThoseWhoConnectLater) {
  Merge("a", Item("t", 1, 60));
  Merge("b", Item("t", 7, 90));
  const HubChanges changes = hub_.Lift("t", clock_.Now());
  EXPECT_THAT(changes.news, SizeIs(2));
  EXPECT_THAT(changes.shared, SizeIs(2));
  Merge("b", Item("t", 8, 60));

  const auto shared = hub_.Shared(clock_.Now());

  ASSERT_THAT(shared, SizeIs(2));
  EXPECT_TRUE(shared[0].lifted);
  EXPECT_FALSE(shared[1].lifted);
  clock_.Advance(seconds(60));
  EXPECT_THAT(hub_.Shared(clock_.Now()), IsEmpty());
}

TEST_F(SuspensionHubTest, LiftingWhatIsNotSuspendedTellsNobody) {
  EXPECT_THAT(hub_.Lift("t", clock_.Now()).news, IsEmpty());
  Merge("a", Item("t", 1, 60));
  hub_.Lift("t", clock_.Now());
  EXPECT_THAT(hub_.Lift("t", clock_.Now()).news, IsEmpty());
}

TEST_F(SuspensionHubTest, WhatAnotherDataPlaneHeardKeepsItsOriginButIsNoTestimonyOfAuth) {
  EXPECT_THAT(Merge("b", Of("a", Item("t", 5, 60))), SizeIs(1));
  EXPECT_EQ(hub_.Active(clock_.Now())[0].origin, "a");
  EXPECT_THAT(Merge("a", Item("t", 5, 60)), IsEmpty());

  Merge("b", Item("u", 1, 60, v1::AUTH));
  EXPECT_THAT(Merge("b", Of("a", Item("u", 1, 60, v1::AUTH))), IsEmpty());
  EXPECT_THAT(hub_.Shared(clock_.Now()), SizeIs(1));
  // A lift is believed: it takes nothing away from anybody.
  EXPECT_THAT(Merge("a", Lifted(Of("b", Item("u", 1, 60, v1::AUTH)))), SizeIs(1));
}

TEST_F(SuspensionHubTest, AuthCountsWitnessesAndDataPlanesOfOtherReplicas) {
  hub_.set_connected(1);
  hub_.set_connected_elsewhere(1);
  const auto merge_from_peer = [&](const v1::Suspension& item) {
    return hub_.MergeFromPeer(Items({item}), clock_.Now(), clock_.Now());
  };
  const HubChanges first =
      hub_.Merge("a", Items({Item("t", 1, 60, v1::AUTH)}), clock_.Now(), clock_.Now());
  EXPECT_THAT(first.shared, IsEmpty());
  EXPECT_THAT(first.news, SizeIs(1));  // the other replicas count it
  EXPECT_THAT(hub_.Known(clock_.Now()), SizeIs(1));

  const HubChanges second = merge_from_peer(Of("b", Item("t", 9, 50, v1::AUTH)));

  EXPECT_THAT(second.shared, SizeIs(2));
  EXPECT_THAT(second.news, SizeIs(1));
  EXPECT_THAT(merge_from_peer(Of("b", Item("t", 9, 50, v1::AUTH))).news, IsEmpty());
}

TEST_F(SuspensionHubTest, TheEndIsReckonedFromWhenTheStatementWasSent) {
  hub_.Merge("a", Items({Item("t", 1, 60)}), clock_.Now() - seconds(7), clock_.Now());
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(53));
}

TEST_F(SuspensionHubTest, IsListedInPartsInTheOrderOfTargetAndOrigin) {
  for (const char* target : {"t1", "t2", "t3"}) {
    Merge("b", Item(target, 1, 60));
    Merge("a", Item(target, 1, 60));
  }
  std::vector<StatementKey> seen;
  StatementKey after;
  while (true) {
    const auto part = hub_.Shared(clock_.Now(), after, 4);
    for (const SharedSuspension& statement : part) {
      seen.emplace_back(statement.target, statement.origin);
    }
    if (part.size() < 4) {
      break;
    }
    after = seen.back();
  }
  EXPECT_EQ(seen,
            (std::vector<StatementKey>{
                {"t1", "a"}, {"t1", "b"}, {"t2", "a"}, {"t2", "b"}, {"t3", "a"}, {"t3", "b"}}));
  EXPECT_THAT(hub_.Known(clock_.Now(), {"t3", "a"}), SizeIs(1));
}

TEST_F(SuspensionHubTest, TheNextEndIsOfWhatCountsForItsTarget) {
  Merge("a", Item("t", 1, 10));
  Merge("b", Item("t", 1, 30));
  Merge("a", Item("u", 1, 20));
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(20));
  hub_.Lift("u", clock_.Now());
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(30));
  Merge("b", Item("t", 2, 5));  // a newer word, an earlier end
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(10));
}

TEST_F(SuspensionHubTest, IsBoundedAndDropsWhatEndsFirst) {
  SuspensionHubOptions options;
  options.max_statements = 10;
  SuspensionHub hub(options);
  for (int i = 0; i < 50; ++i) {
    hub.Merge("a", Items({Item("t" + std::to_string(i), 1, 1000 - i)}), clock_.Now(), clock_.Now());
  }
  const auto active = hub.Active(clock_.Now());
  EXPECT_THAT(active, SizeIs(10));
  EXPECT_EQ(hub.dropped(), 40u);
  EXPECT_THAT(active, ::testing::Contains(::testing::Field(&SharedSuspension::target, "t0")));
}

TEST_F(SuspensionHubTest, ClampsWhatIsLongerThanAPolicyCanAskForAndIgnoresWhatHasNoTarget) {
  constexpr int64_t kLongest = 31'536'000;  // of onQuotaExceedSuspendDuration
  Merge("a", Item("t", 1, kLongest));
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(kLongest));
  Merge("a", Item("t", 2, int64_t{1} << 60));
  EXPECT_EQ(hub_.NextEnd(clock_.Now()), clock_.Now() + seconds(kLongest));
  EXPECT_THAT(Merge("a", Item("", 1, 60)), IsEmpty());
  EXPECT_THAT(Merge("a", Item(std::string(300, 'x'), 1, 60)), IsEmpty());
  EXPECT_THAT(Merge("a", Item("u", 1, -5)), IsEmpty());
  EXPECT_EQ(hub_.dropped(), 2u);
}

TEST_F(SuspensionHubTest, WhatRemainsIsReckonedWhenItIsSent) {
  Merge("a", Item("t", 1, 60));
  clock_.Advance(seconds(20));
  const v1::Suspension message = ToProto(hub_.Shared(clock_.Now())[0], clock_.Now());
  EXPECT_EQ(message.remaining().seconds(), 40);
  EXPECT_EQ(message.origin(), "a");
}

}  // namespace
}  // namespace rota::serve
