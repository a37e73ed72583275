#include "controller/identity/keeper.h"

#include <functional>
#include <utility>

#include "common/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Objects with versions, as an API server keeps them: of two writers that have seen the same
// version one loses.
class MemoryStore final : public Store {
 public:
  absl::StatusOr<Seen> Read(bool with_authority, std::stop_token) override {
    std::lock_guard guard(mutex_);
    if (!failure_.ok()) {
      return failure_;
    }
    Seen seen;
    seen.stored.serving = stored_.serving;
    seen.stored.bundle = stored_.bundle;
    seen.serving_version = Version(stored_.serving.has_value(), versions_[2]);
    seen.bundle_version = Version(stored_.bundle.has_value(), versions_[1]);
    if (with_authority) {
      ++authority_reads_;
      seen.stored.authority = stored_.authority;
      seen.authority_version = Version(stored_.authority.has_value(), versions_[0]);
    }
    return seen;
  }

  absl::Status Write(const Change& change, const Seen& seen, std::stop_token) override {
    if (before_write_) {
      before_write_();
    }
    std::lock_guard guard(mutex_);
    if (!write_failure_.ok()) {
      return write_failure_;
    }
    switch (change.object) {
      case Change::Object::kAuthority:
        return Put(stored_.authority, change.secret, seen.authority_version, versions_[0]);
      case Change::Object::kBundle:
        return Put(stored_.bundle, change.bundle, seen.bundle_version, versions_[1]);
      case Change::Object::kServing:
        RETURN_IF_ERROR(Put(stored_.serving, change.secret, seen.serving_version, versions_[2]));
        if (loses_certificates_) {
          stored_.serving.reset();
        }
        return absl::OkStatus();
    }
    return absl::InternalError("");
  }

  Stored stored() {
    std::lock_guard guard(mutex_);
    return stored_;
  }
  int writes() {
    std::lock_guard guard(mutex_);
    return versions_[0] + versions_[1] + versions_[2];
  }
  int authority_reads() {
    std::lock_guard guard(mutex_);
    return authority_reads_;
  }
  void Fail(absl::Status status) {
    std::lock_guard guard(mutex_);
    failure_ = std::move(status);
  }
  void FailWrites(absl::Status status) {
    std::lock_guard guard(mutex_);
    write_failure_ = std::move(status);
  }
  // REQUIRES of both: no keeper runs.
  void LoseEveryCertificate() { loses_certificates_ = true; }
  void BeforeWrite(std::function<void()> hook) { before_write_ = std::move(hook); }

 private:
  static std::string Version(bool exists, int version) {
    return exists ? std::to_string(version) : "";
  }
  template <typename T>
  static absl::Status Put(std::optional<T>& object, const T& value, const std::string& seen,
                          int& version) {
    if (seen != Version(object.has_value(), version)) {
      return absl::AbortedError("somebody else has written");
    }
    object = value;
    ++version;
    return absl::OkStatus();
  }

  std::mutex mutex_;
  std::function<void()> before_write_;
  Stored stored_;
  bool loses_certificates_ = false;
  int versions_[3] = {0, 0, 0};
  int authority_reads_ = 0;
  absl::Status failure_;
  absl::Status write_failure_;
};

class KeeperTest : public ::testing::Test {
 protected:
  std::unique_ptr<Keeper> Make(std::function<bool()> is_leader = {}) {
    KeeperOptions options;
    options.policy.dns_names = {"rota.svc"};
    options.is_leader = std::move(is_leader);
    options.random = [] { return 0.0; };
    auto keeper = Keeper::Create(std::move(options), store_, clock_);
    EXPECT_TRUE(keeper.ok()) << keeper.status();
    return *std::move(keeper);
  }
  // Until it wants to wait; how long.
  static Duration Settle(Keeper& keeper) {
    Duration wait = Duration::zero();
    for (int steps = 0; wait == Duration::zero(); ++steps) {
      EXPECT_LT(steps, 20);
      wait = keeper.Step({});
    }
    return wait;
  }
  std::string Stored() {
    const std::optional<KeyPair> pair = UsableServing(store_.stored());
    return pair.has_value() ? pair->certificate : "";
  }

  FakeClock clock_;
  MemoryStore store_;
};

TEST_F(KeeperTest, ALeaderMakesEverythingAndShowsIt) {
  const auto keeper = Make();
  ASSERT_NE(keeper->certificate().Get(), nullptr) << "a server can start before there is one";
  EXPECT_NE(keeper->missing(), "");
  EXPECT_EQ(keeper->trust(), "");
  EXPECT_FALSE(keeper->expires().has_value());
  EXPECT_EQ(Settle(*keeper), seconds(15));
  EXPECT_EQ(keeper->missing(), "");
  EXPECT_EQ(keeper->certificate().Get()->chain, Stored());
  EXPECT_EQ(keeper->trust(), store_.stored().bundle->certificates);
  EXPECT_EQ(*keeper->expires(), ReadCertificate(Stored())->validity.not_after);
  EXPECT_EQ(store_.writes(), 3);
}

TEST_F(KeeperTest, TheThreadDoesItByItselfAndEndsWithTheKeeper) {
  const auto keeper = Make();
  keeper->Start();
  clock_.AwaitWaiters(1);
  EXPECT_EQ(keeper->missing(), "");
  EXPECT_EQ(keeper->certificate().Get()->chain, Stored());
}

TEST_F(KeeperTest, ItIsRenewedInTimeAndShownWithoutARestart) {
  const auto keeper = Make();
  Settle(*keeper);
  const std::string first = keeper->certificate().Get()->chain;
  clock_.Advance(hours(24 * 5));
  Settle(*keeper);
  EXPECT_NE(keeper->certificate().Get()->chain, first);
  EXPECT_EQ(keeper->certificate().Get()->chain, Stored());
}

TEST_F(KeeperTest, ItLooksWhenSomethingIsDueNotOnlyEveryPoll) {
  const auto keeper = Make();
  Settle(*keeper);
  clock_.Advance(hours(1) - seconds(4));
  EXPECT_EQ(Settle(*keeper), seconds(4)) << "the end of the first CA's overlap";
}

TEST_F(KeeperTest, WhoDoesNotLeadWritesNothingReadsNoCaKeyAndShowsWhatTheLeaderIssues) {
  const auto follower = Make([] { return false; });
  EXPECT_EQ(Settle(*follower), seconds(1)) << "it looks often as long as there is none";
  EXPECT_THAT(follower->missing(), HasSubstr("none is stored"));
  EXPECT_EQ(store_.writes(), 0);

  const auto leader = Make([] { return true; });
  Settle(*leader);
  const int reads = store_.authority_reads();
  EXPECT_EQ(Settle(*follower), seconds(15));
  EXPECT_EQ(follower->missing(), "");
  EXPECT_EQ(follower->certificate().Get()->chain, leader->certificate().Get()->chain);
  EXPECT_EQ(follower->trust(), leader->trust());
  EXPECT_EQ(store_.authority_reads(), reads);
}

TEST_F(KeeperTest, WhoComesToLeadTakesOver) {
  bool leads = false;
  const auto keeper = Make([&] { return leads; });
  Settle(*keeper);
  leads = true;
  Settle(*keeper);
  EXPECT_EQ(keeper->missing(), "");
}

TEST_F(KeeperTest, AnApiServerThatIsAwayChangesNothingThatIsShown) {
  const auto keeper = Make();
  Settle(*keeper);
  const auto shown = keeper->certificate().Get();
  store_.Fail(absl::UnavailableError("no route"));
  clock_.Advance(hours(24 * 5));
  EXPECT_EQ(Settle(*keeper), milliseconds(500));
  EXPECT_EQ(Settle(*keeper), seconds(1));
  EXPECT_EQ(keeper->certificate().Get(), shown);
  EXPECT_EQ(keeper->missing(), "");
  store_.Fail(absl::OkStatus());
  Settle(*keeper);
  EXPECT_NE(keeper->certificate().Get(), shown) << "renewed as soon as that could be done";
}

TEST_F(KeeperTest, WhatKeepsItFromItsFirstCertificateIsSaid) {
  store_.FailWrites(absl::PermissionDeniedError("secrets is forbidden"));
  const auto keeper = Make();
  Settle(*keeper);
  EXPECT_THAT(keeper->missing(), HasSubstr("secrets is forbidden"));
  store_.FailWrites(absl::OkStatus());
  Settle(*keeper);
  EXPECT_EQ(keeper->missing(), "");
}

TEST_F(KeeperTest, OfTwoLeadersOneWinsEachStepAndBothShowTheSame) {
  // Before the first one writes each of its steps, the second one does what it can do.
  const auto first = Make();
  const auto second = Make();
  bool inside = false;
  store_.BeforeWrite([&] {
    if (!std::exchange(inside, true)) {
      Settle(*second);
      inside = false;
    }
  });
  EXPECT_EQ(Settle(*first), milliseconds(50)) << "its write came too late";
  EXPECT_EQ(store_.writes(), 3) << "only the other one has written";
  Settle(*first);
  Settle(*second);
  EXPECT_EQ(store_.writes(), 3);
  EXPECT_EQ(first->certificate().Get()->chain, second->certificate().Get()->chain);
  EXPECT_EQ(first->certificate().Get()->chain, Stored());
}

TEST_F(KeeperTest, AQuarrelWithSomebodyWhoDeletesIsNoBusyLoop) {
  store_.LoseEveryCertificate();
  const auto keeper = Make();
  EXPECT_EQ(Settle(*keeper), seconds(15));
  EXPECT_EQ(store_.writes(), 8);
}

}  // namespace
}  // namespace rota::identity
