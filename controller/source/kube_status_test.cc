// The two lanes of status writes, and who writes at all: with a clock that stands still.

#include "controller/source/kube_status.h"

#include <gmock/gmock.h>

#include <atomic>

#include "tests/support/memory_apis.h"

namespace rota::source {
namespace {

using nlohmann::json;
using resource::ObjectName;
using testing::Await;
using testing::MemoryApis;

class KubeStatusLaneTest : public ::testing::Test {
 protected:
  void Start(KubeStatusOptions options = {}) {
    writer_ = std::make_unique<KubeStatusWriter>(apis_.api(), clock_, std::move(options));
  }
  static std::string NameOf(int number) { return "api-" + std::to_string(number); }
  static json Status(const std::string& note, const std::string& suspended = "") {
    json status = {{"note", note}};
    if (!suspended.empty()) {
      status["suspended"] = suspended;
    }
    return status;
  }
  void Write(int number, json status, StatusCause cause = StatusCause::kSpec) {
    writer_->Write({"team", NameOf(number)}, "uid-" + NameOf(number), std::move(status), cause);
  }
  void AwaitIdle() {
    Await([&] { return writer_->counts().waiting == 0; });
  }

  MemoryApis apis_;
  FakeClock clock_;
  std::unique_ptr<KubeStatusWriter> writer_;
};

TEST_F(KubeStatusLaneTest, TenThousandSuspensionsAreTwentyWritesASecondAndNoChangeOfASpecWaits) {
  constexpr int kApis = 10'000;
  constexpr int kEdited = 60;
  for (int i = 0; i < kApis; ++i) {
    apis_.Add(NameOf(i), Status("served"));
  }
  Start();
  for (int i = 0; i < kApis; ++i) {
    Write(i, Status("served", "gpt-4o"), StatusCause::kSuspension);
  }
  Await([&] { return apis_.writes() == 20; });  // what one second may save up
  EXPECT_LT(apis_.lists() + apis_.reads(), 100u);

  for (int i = 0; i < kEdited; ++i) {
    Write(kApis - 1 - i, Status("edited", "gpt-4o"));
  }
  Await([&] { return apis_.writes() == 20 + kEdited; });  // at the same moment
  EXPECT_EQ(apis_.Status(NameOf(kApis - kEdited))["note"], "edited");

  for (size_t second = 1; second <= 3; ++second) {
    clock_.Advance(std::chrono::seconds(1));
    Await([&] { return apis_.writes() == 20 + kEdited + 20 * second; });
  }
}

TEST_F(KubeStatusLaneTest, SuspensionsThatAreOverBeforeTheirTurnCostNeitherAWriteNorATurn) {
  for (int i = 0; i < 200; ++i) {
    apis_.Add(NameOf(i), Status("served"));
  }
  Start();
  for (int i = 0; i < 200; ++i) {
    Write(i, Status("served", "gpt-4o"), StatusCause::kSuspension);
  }
  Await([&] { return apis_.writes() == 20; });

  for (int i = 0; i < 200; ++i) {
    Write(i, Status("served"), StatusCause::kSuspension);
  }
  Await([&] {
    clock_.Advance(std::chrono::milliseconds(100));
    return writer_->counts().waiting == 0;
  });

  EXPECT_EQ(apis_.writes(), 40u);  // what had been written is taken back
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(apis_.Status(NameOf(i)), Status("served"));
  }
}

TEST_F(KubeStatusLaneTest, WhatDiffersInItsSuspensionsOnlyGoesIntoTheirLaneWhoeverSaysOtherwise) {
  for (int i = 0; i < 100; ++i) {
    apis_.Add(NameOf(i), Status("served", "gpt-4o"));
  }
  Start();

  for (int i = 0; i < 100; ++i) {
    Write(i, Status("served"));  // a new leader that has not heard of them yet
  }

  Await([&] { return apis_.writes() == 20; });
  clock_.Advance(std::chrono::seconds(1));
  Await([&] { return apis_.writes() == 40; });
}

TEST_F(KubeStatusLaneTest, ANewLeaderComparesAllWithOneListAndWritesWhatDiffers) {
  for (int i = 0; i < 400; ++i) {
    apis_.Add(NameOf(i), Status(i < 5 ? "old" : "served"));
  }
  KubeStatusOptions options;
  options.leads = false;
  Start(options);
  Write(0, Status("nobody listens"));

  writer_->Lead();
  for (int i = 0; i < 400; ++i) {
    Write(i, Status("served"));
  }
  // While the list is under way the other thread reads one by one; when that has used up what a
  // second may save up, the five writes wait for the clock.
  Await([&] {
    clock_.Advance(std::chrono::milliseconds(1));
    return writer_->counts().waiting == 0;
  });

  EXPECT_EQ(apis_.writes(), 5u);
  EXPECT_GE(apis_.lists(), 1u);
  EXPECT_LE(apis_.lists(), 4u);
  EXPECT_LT(apis_.reads(), 400u);
  EXPECT_EQ(writer_->counts().unchanged, 395u);
}

TEST_F(KubeStatusLaneTest, WhoHasRetiredWritesNothingMoreAndBeginsAgainWithNothing) {
  apis_.Add(NameOf(0), Status("old"));
  apis_.FailWrites(500);
  Start();
  Write(0, Status("new"));
  Await([&] { return writer_->counts().failed == 1; });

  writer_->Retire();
  apis_.FailWrites(0);
  clock_.Advance(std::chrono::minutes(10));
  Write(0, Status("newer"));
  EXPECT_EQ(writer_->counts().waiting, 0u);
  EXPECT_EQ(apis_.Status(NameOf(0)), Status("old"));

  writer_->Lead();
  Write(0, Status("newest"));
  AwaitIdle();
  EXPECT_EQ(apis_.Status(NameOf(0)), Status("newest"));
}

TEST_F(KubeStatusLaneTest, NothingIsSentAfterTheEndOfTheTermEvenBeforeAnybodyHasBeenTold) {
  apis_.Add(NameOf(0), Status("old"));
  std::atomic<bool> may_write = false;
  KubeStatusOptions options;
  options.may_write = [&may_write] { return may_write.load(); };
  Start(options);

  Write(0, Status("new"));
  Await([&] { return writer_->counts().failed == 1; });
  EXPECT_EQ(apis_.writes(), 0u);

  may_write = true;  // the lease was renewed at the last moment
  clock_.Advance(std::chrono::minutes(1));
  AwaitIdle();
  EXPECT_EQ(apis_.Status(NameOf(0)), Status("new"));
}

}  // namespace
}  // namespace rota::source
