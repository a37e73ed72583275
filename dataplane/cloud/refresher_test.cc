#include "dataplane/cloud/refresher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

namespace rota::cloud {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Grant Token(const std::string& value, Duration lifetime = hours(1)) {
  Grant grant;
  grant.values.emplace("token", SecretString(value));
  grant.lifetime = lifetime;
  return grant;
}

TEST(RefreshPlanTest, AsksAgainWellBeforeTheEnd) {
  const MonotonicTime now{hours(1)};
  for (const double random : {0.0, 0.5, 0.99}) {
    RefreshPlan plan([random] { return random; });
    EXPECT_LE(plan.next_fetch(), now) << "the first one is due at once";

    plan.OnGrant(hours(1), now);

    EXPECT_GE(plan.next_fetch(), now + minutes(42));
    EXPECT_LE(plan.next_fetch(), now + minutes(48));
    EXPECT_EQ(plan.usable_until(), now + minutes(59));
  }
}

TEST(RefreshPlanTest, AShortLifeHasAShortMargin) {
  const MonotonicTime now{hours(1)};
  RefreshPlan plan([] { return 0.0; });

  plan.OnGrant(seconds(10), now);

  EXPECT_EQ(plan.next_fetch(), now + seconds(7));
  EXPECT_EQ(plan.usable_until(), now + seconds(9));
}

TEST(RefreshPlanTest, BacksOffAndKeepsWhatThereIs) {
  MonotonicTime now{hours(1)};
  RefreshPlan plan([] { return 0.0; });
  plan.OnGrant(hours(1), now);
  std::vector<Duration> pauses;
  for (int i = 0; i < 7; ++i) {
    plan.OnFailure(now);
    pauses.push_back(plan.next_fetch() - now);
  }
  EXPECT_THAT(pauses, ElementsAre(seconds(1), seconds(2), seconds(4), seconds(8), seconds(16),
                                  seconds(30), seconds(30)));
  EXPECT_EQ(plan.usable_until(), now + minutes(59));

  plan.OnGrant(hours(1), now);
  plan.OnFailure(now);

  EXPECT_EQ(plan.next_fetch(), now + seconds(1)) << "a success ends the back-off";
}

// Fake time for one thread: Advance() comes back when the thread has acted on the new time and
// waits again, so that also "nothing has happened" can be seen.
class StepClock final : public Clock {
 public:
  MonotonicTime Now() const override { return fake_.Now(); }
  WallTime WallNow() const override { return fake_.WallNow(); }
  void WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any&, MonotonicTime,
                 std::stop_token stop) override {
    lock.unlock();
    {
      std::unique_lock own(mutex_);
      const uint64_t step = step_;
      seen_ = step;
      changed_.notify_all();
      changed_.wait(own, stop, [&] { return step_ != step; });
    }
    lock.lock();
  }
  void Advance(Duration by) {
    std::unique_lock own(mutex_);
    fake_.Advance(by);
    ++step_;
    changed_.notify_all();
    changed_.wait(own, [&] { return seen_ == step_; });
  }

 private:
  FakeClock fake_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  uint64_t step_ = 0;
  uint64_t seen_ = 0;  // the newest step that the thread has come to wait in
};

// A service that answers what the test has put in line, and what is published, in order.
class RefresherTest : public ::testing::Test {
 protected:
  std::unique_ptr<Refresher> Make() {
    return std::make_unique<Refresher>(
        "aws",
        Refresher::Callbacks{[this](std::stop_token) { return Answer(); },
                             [this](absl::StatusOr<Refresher::Values> values) {
                               std::lock_guard guard(mutex_);
                               published_.push_back(values.ok()
                                                        ? std::string(values->at("token").Reveal())
                                                        : std::string(values.status().message()));
                             }},
        clock_, [] { return 0.0; });
  }
  absl::StatusOr<Grant> Answer() {
    std::lock_guard guard(mutex_);
    if (answers_.empty()) {
      return absl::UnavailableError("no more answers");
    }
    absl::StatusOr<Grant> answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }
  void Will(absl::StatusOr<Grant> answer) {
    std::lock_guard guard(mutex_);
    answers_.push_back(std::move(answer));
  }
  std::vector<std::string> published() {
    std::lock_guard guard(mutex_);
    return published_;
  }
  void Want(Refresher& refresher) {
    refresher.Want();
    clock_.Advance({});
  }

  StepClock clock_;
  std::mutex mutex_;
  std::deque<absl::StatusOr<Grant>> answers_;
  std::vector<std::string> published_;
};

TEST_F(RefresherTest, AsksNobodyUntilItIsWanted) {
  Will(Token("a"));
  const auto refresher = Make();
  EXPECT_FALSE(refresher->state().has_asked);

  refresher->Want();
  Want(*refresher);

  EXPECT_THAT(published(), ElementsAre("a"));
  EXPECT_EQ(refresher->state().fetched, 1U);
  EXPECT_EQ(refresher->state().usable_until, clock_.Now() + minutes(59));
}

TEST_F(RefresherTest, CanBeEndedWithoutEverBeingWanted) {
  const auto refresher = Make();

  EXPECT_FALSE(refresher->state().is_wanted);
  EXPECT_THAT(published(), IsEmpty());
}

TEST_F(RefresherTest, AsksAgainBeforeTheEndAndNotSooner) {
  Will(Token("a"));
  Will(Token("b"));
  const auto refresher = Make();
  Want(*refresher);

  clock_.Advance(minutes(41));
  EXPECT_THAT(published(), ElementsAre("a"));
  clock_.Advance(minutes(1));
  EXPECT_THAT(published(), ElementsAre("a", "b"));
  EXPECT_EQ(refresher->state().usable_until, clock_.Now() + minutes(59));
}

TEST_F(RefresherTest, KeepsWhatThereIsWhileTheServiceFails) {
  Will(Token("a"));
  Will(absl::UnavailableError("out of order"));
  Will(Token("b"));
  const auto refresher = Make();
  Want(*refresher);

  clock_.Advance(minutes(42));
  EXPECT_THAT(published(), ElementsAre("a")) << "nothing is taken away";
  EXPECT_EQ(refresher->state().failed, 1U);
  EXPECT_EQ(refresher->state().problem, "out of order");
  clock_.Advance(seconds(1));

  EXPECT_THAT(published(), ElementsAre("a", "b"));
  EXPECT_EQ(refresher->state().problem, "");
}

TEST_F(RefresherTest, TakesAwayWhatHasExpiredAndGoesOnAsking) {
  Will(Token("a", seconds(10)));
  const auto refresher = Make();
  Want(*refresher);
  for (int i = 0; i < 9; ++i) {
    clock_.Advance(seconds(1));
  }

  ASSERT_EQ(published().size(), 2U);
  EXPECT_THAT(published()[1], HasSubstr("it has expired (no more answers)"));
  EXPECT_EQ(refresher->state().usable_until, std::nullopt);
  Will(Token("b"));
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(seconds(1));
  }

  ASSERT_EQ(published().size(), 3U) << "once, and no more often than the back-off says";
  EXPECT_EQ(published()[2], "b");
}

TEST_F(RefresherTest, TellsFailuresFromTheStart) {
  const auto refresher = Make();
  Want(*refresher);

  EXPECT_TRUE(refresher->state().has_asked);
  EXPECT_EQ(refresher->state().usable_until, std::nullopt);
  EXPECT_THAT(published(), IsEmpty());
}

TEST_F(RefresherTest, EndsAFetchThatIsUnderWay) {
  std::atomic<bool> has_begun{false};
  auto refresher = std::make_unique<Refresher>(
      "aws",
      Refresher::Callbacks{
          [&](std::stop_token stop) -> absl::StatusOr<Grant> {
            std::mutex mutex;
            std::condition_variable_any never;
            std::unique_lock lock(mutex);
            has_begun = true;
            has_begun.notify_all();
            never.wait(lock, stop, [] { return false; });
            return absl::CancelledError("stopped");
          },
          [this](absl::StatusOr<Refresher::Values>) { published_.emplace_back("something"); }},
      clock_);
  refresher->Want();
  has_begun.wait(false);

  refresher.reset();

  EXPECT_THAT(published_, IsEmpty());
}

}  // namespace
}  // namespace rota::cloud
