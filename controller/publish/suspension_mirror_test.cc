#include "controller/publish/suspension_mirror.h"

#include <gmock/gmock.h>

#include <thread>

#include "controller/publish/test_snapshots.h"

namespace rota::publish {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class SuspensionMirrorTest : public ::testing::Test {
 protected:
  // A change as it was told.
  struct Told {
    SuspensionChanges changes;
    bool is_first = false;
  };

  void SetUp() override {
    MirrorOptions options;
    options.active = [this](MonotonicTime) {
      std::lock_guard guard(mutex_);
      ++looks_;
      return active_;
    };
    options.snapshots = [this] { return Snapshots{snapshot_}; };
    options.on_change = [this](const SuspensionChanges& changes, bool is_first) {
      std::lock_guard guard(mutex_);
      told_.push_back({changes, is_first});
    };
    mirror_ = std::make_unique<SuspensionMirror>(clock_, options);
  }
  void Suspend(Duration remaining) {
    serve::SharedSuspension suspension;
    suspension.target = TargetIdOf("team/chat", "production", "gpt-4o");
    suspension.until = clock_.Now() + remaining;
    std::lock_guard guard(mutex_);
    active_ = {suspension};
  }
  std::vector<Told> told() {
    std::lock_guard guard(mutex_);
    return told_;
  }
  int looks() {
    std::lock_guard guard(mutex_);
    return looks_;
  }
  static void Await(const std::function<bool()>& condition) {
    while (!condition()) {
      std::this_thread::yield();
    }
  }

  const resource::ObjectName chat_{"team", "chat"};
  const std::shared_ptr<const compile::Snapshot> snapshot_ =
      SnapshotOf({ApiWith("team/chat", {"gpt-4o"}, {})});
  FakeClock clock_;
  std::mutex mutex_;
  std::vector<serve::SharedSuspension> active_;
  std::vector<Told> told_;
  int looks_ = 0;
  std::unique_ptr<SuspensionMirror> mirror_;
};

TEST_F(SuspensionMirrorTest, TellsWhatIsSuspendedAlreadyWhenItBeginsToLead) {
  Suspend(std::chrono::seconds(60));

  mirror_->Lead();

  ASSERT_THAT(told(), SizeIs(1));
  EXPECT_TRUE(told()[0].is_first);
  EXPECT_THAT(told()[0].changes.at(chat_).now.items, SizeIs(1));
}

TEST_F(SuspensionMirrorTest, TellsASuspensionAndItsEndWithoutFurtherNews) {
  mirror_->Lead();
  Suspend(std::chrono::seconds(60));
  clock_.Advance(std::chrono::seconds(1));
  mirror_->Wake();
  Await([&] { return looks() == 2; });

  clock_.Advance(kSettleTime);
  Await([&] { return told().size() == 1; });
  EXPECT_FALSE(told()[0].is_first);
  clock_.Advance(std::chrono::seconds(60));
  Await([&] { return told().size() == 2; });

  EXPECT_THAT(told()[1].changes.at(chat_).now.items, IsEmpty());
}

TEST_F(SuspensionMirrorTest, LooksOnceASecondHoweverManyNewsThereAre) {
  mirror_->Lead();
  for (int i = 0; i < 1'000; ++i) {
    mirror_->Wake();
  }
  clock_.Advance(std::chrono::seconds(1));
  Await([&] { return looks() == 2; });
  for (int i = 0; i < 1'000; ++i) {
    mirror_->Wake();
  }
  clock_.Advance(std::chrono::seconds(1));
  Await([&] { return looks() == 3; });
}

TEST_F(SuspensionMirrorTest, WhoDoesNotLeadDoesNotLook) {
  mirror_->Wake();
  clock_.Advance(std::chrono::minutes(1));
  mirror_->Lead();
  mirror_->Retire();
  Suspend(std::chrono::seconds(60));
  mirror_->Wake();
  clock_.Advance(std::chrono::minutes(1));
  mirror_->Stop();

  EXPECT_EQ(looks(), 1);
  EXPECT_THAT(told(), IsEmpty());
}

}  // namespace
}  // namespace rota::publish
