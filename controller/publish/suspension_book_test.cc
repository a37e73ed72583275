#include "controller/publish/suspension_book.h"

#include <gmock/gmock.h>

#include "controller/publish/test_snapshots.h"
#include "nlohmann/json.hpp"

namespace rota::publish {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class SuspensionBookTest : public ::testing::Test {
 protected:
  void SetUp() override {
    places_.Update({SnapshotOf({ApiWith("team/chat", {"gpt-4o", "o1"}, {"gpt-4o"}),
                                ApiWith("team/many", Models(20), {})})});
  }
  static std::vector<std::string> Models(int count) {
    std::vector<std::string> models;
    for (int i = 0; i < count; ++i) {
      models.push_back("m-" + std::to_string(i));
    }
    return models;
  }
  // `model` of the production rotation of `api` is off the rota for `remaining`.
  void Suspend(const std::string& api, const std::string& model, Duration remaining,
               v1::SuspensionReason reason = v1::QUOTA) {
    SuspendTarget(TargetIdOf(api, "production", model), remaining, reason);
  }
  void SuspendTarget(const std::string& target, Duration remaining,
                     v1::SuspensionReason reason = v1::QUOTA) {
    serve::SharedSuspension suspension;
    suspension.target = target;
    suspension.reason = reason;
    suspension.until = now_ + remaining;
    active_.push_back(suspension);
  }
  SuspensionChanges Look(bool wait_for_new = true) {
    return book_.Update(active_, places_, now_, wall_, wait_for_new);
  }
  void Pass(Duration time) {
    now_ += time;
    wall_ += std::chrono::duration_cast<WallTime::duration>(time);
  }

  const resource::ObjectName chat_{"team", "chat"};
  const resource::ObjectName many_{"team", "many"};
  TargetPlaces places_;
  SuspensionBook book_;
  std::vector<serve::SharedSuspension> active_;
  MonotonicTime now_{std::chrono::hours(1)};
  WallTime wall_ = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1);
};

TEST_F(SuspensionBookTest, ASuspensionIsShownWhenItIsTwoSecondsOldAndTakenBackAtItsEnd) {
  Suspend("team/chat", "gpt-4o", std::chrono::seconds(60));

  EXPECT_THAT(Look(), IsEmpty());
  EXPECT_EQ(book_.NextDue(), now_ + kSettleTime);
  Pass(kSettleTime);
  const SuspensionChanges changes = Look();

  ASSERT_THAT(changes, SizeIs(1));
  const ShownSuspension expected{"production", "gpt-4o", "main", "quota", "2026-01-01T00:01:00Z"};
  EXPECT_THAT(changes.at(chat_).now.items, ElementsAre(expected));
  EXPECT_THAT(changes.at(chat_).added, ElementsAre(expected));
  EXPECT_EQ(changes.at(chat_).now.summary, "gpt-4o");
  EXPECT_THAT(Look(), IsEmpty());

  Pass(std::chrono::seconds(58));
  EXPECT_EQ(book_.NextDue(), now_);
  const SuspensionChanges after = Look();
  ASSERT_THAT(after, SizeIs(1));
  EXPECT_THAT(after.at(chat_).now.items, IsEmpty());
}

TEST_F(SuspensionBookTest, OneThatEndsBeforeItIsTwoSecondsOldIsNeverShown) {
  Suspend("team/chat", "gpt-4o", std::chrono::milliseconds(1500));
  EXPECT_THAT(Look(), IsEmpty());

  Pass(std::chrono::seconds(3));

  EXPECT_THAT(Look(), IsEmpty());
  EXPECT_FALSE(book_.NextDue().has_value());
}

TEST_F(SuspensionBookTest, ANewLeaderShowsAtOnceWhatIsSuspendedAlready) {
  Suspend("team/chat", "gpt-4o", std::chrono::seconds(60));

  EXPECT_THAT(Look(false), SizeIs(1));
  EXPECT_THAT(Look(), IsEmpty());
}

TEST_F(SuspensionBookTest, AnEndThatMovesByLessThanASecondIsNoChange) {
  Suspend("team/chat", "gpt-4o", std::chrono::milliseconds(60'400));
  Look(false);
  active_.clear();
  Suspend("team/chat", "gpt-4o", std::chrono::milliseconds(59'700));
  EXPECT_THAT(Look(), IsEmpty());

  active_.clear();
  Suspend("team/chat", "gpt-4o", std::chrono::seconds(90));
  const SuspensionChanges changes = Look();

  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes.at(chat_).now.items[0].until, "2026-01-01T00:01:30Z");
  EXPECT_THAT(changes.at(chat_).added, IsEmpty());
}

TEST_F(SuspensionBookTest, TheLastToEndComeFirstAndTheSandboxIsNamed) {
  Suspend("team/chat", "gpt-4o", std::chrono::seconds(60));
  Suspend("team/chat", "o1", std::chrono::seconds(120), v1::AUTH);
  SuspendTarget(TargetIdOf("team/chat", "sandbox", "gpt-4o"), std::chrono::seconds(90),
                v1::FAILURES);

  const ShownSuspensions shown = Look(false).at(chat_).now;

  EXPECT_EQ(shown.summary, "o1, gpt-4o (sandbox), gpt-4o");
  ASSERT_THAT(shown.items, SizeIs(3));
  EXPECT_EQ(shown.items[0].reason, "auth");
  EXPECT_EQ(shown.items[1].environment, "sandbox");
  EXPECT_EQ(shown.items[1].reason, "failures");
}

TEST_F(SuspensionBookTest, OfMoreThanSixteenTheFirstToEndAreLeftOutAndTheSummaryCountsThem) {
  for (int i = 0; i < 20; ++i) {
    Suspend("team/many", "m-" + std::to_string(i), std::chrono::seconds(60 + i));
  }

  const ShownSuspensions shown = Look(false).at(many_).now;

  EXPECT_THAT(shown.items, SizeIs(kMaxShown));
  EXPECT_EQ(shown.items.front().model, "m-19");
  EXPECT_EQ(shown.items.back().model, "m-4");
  EXPECT_EQ(shown.summary, "m-19, m-18, m-17, m-16 and 16 more");
}

TEST_F(SuspensionBookTest, ATargetThatNoSnapshotHasIsShownWhenOneHasIt) {
  SuspendTarget(TargetIdOf("team/new", "production", "x"), std::chrono::seconds(60));
  EXPECT_THAT(Look(false), IsEmpty());

  places_.Update({nullptr, SnapshotOf({ApiWith("team/new", {"x"}, {})})});

  EXPECT_THAT(Look(), SizeIs(1));
}

TEST_F(SuspensionBookTest, AnApiThatIsGoneShowsNothingMore) {
  Suspend("team/chat", "gpt-4o", std::chrono::seconds(60));
  Look(false);

  places_.Update({SnapshotOf({})});

  EXPECT_THAT(Look().at(chat_).now.items, IsEmpty());
  EXPECT_EQ(places_.Find(TargetIdOf("team/chat", "production", "gpt-4o")), nullptr);
}

TEST(TargetPlacesTest, FollowsTheSnapshotsApiByApi) {
  TargetPlaces places;
  const auto first = SnapshotOf({ApiWith("team/a", {"x"}, {}), ApiWith("team/b", {"x"}, {"y"})});
  const auto second = SnapshotOf({ApiWith("team/a", {"z"}, {})});
  places.Update({first});
  const TargetPlace* const place = places.Find(TargetIdOf("team/b", "sandbox", "y"));
  ASSERT_NE(place, nullptr);
  EXPECT_EQ(place->api, (resource::ObjectName{"team", "b"}));
  EXPECT_EQ(place->environment, "sandbox");
  EXPECT_EQ(place->endpoint, "main");

  places.Update({second});

  EXPECT_EQ(places.Find(TargetIdOf("team/a", "production", "x")), nullptr);
  EXPECT_NE(places.Find(TargetIdOf("team/a", "production", "z")), nullptr);
  EXPECT_EQ(places.Find(TargetIdOf("team/b", "production", "x")), nullptr);
}

TEST(AddToTest, WritesBothMembersOrNone) {
  nlohmann::json status = nlohmann::json::object();
  AddTo(ShownSuspensions(), status);
  EXPECT_THAT(status, IsEmpty());

  AddTo({{{"production", "gpt-4o", "main", "quota", "2026-01-01T00:01:00Z"}}, "gpt-4o"}, status);

  EXPECT_EQ(status["suspended"], "gpt-4o");
  EXPECT_EQ(status["suspensions"], nlohmann::json::array({{{"environment", "production"},
                                                           {"model", "gpt-4o"},
                                                           {"endpoint", "main"},
                                                           {"reason", "quota"},
                                                           {"until", "2026-01-01T00:01:00Z"}}}));
}

}  // namespace
}  // namespace rota::publish
