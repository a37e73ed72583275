// Who holds the lease, by the answers of the server and the passing of time.

#include "controller/kube/lease.h"

#include <gmock/gmock.h>

#include "controller/kube/error.h"

namespace rota::kube {
namespace {

using nlohmann::json;
using Kind = LeaseRequest::Kind;

// A server that holds one lease, and the time that it and its clients see.
class Server {
 public:
  absl::StatusOr<json> Answer(const LeaseRequest& request) {
    if (request.kind == Kind::kRead && !lease.is_null()) {
      return lease;
    }
    if (request.kind == Kind::kRead) {
      return Error(404);
    }
    if (request.kind == Kind::kCreate) {
      if (!lease.is_null()) {
        return Error(409);
      }
      if (request.body.at("metadata").contains("resourceVersion")) {
        return Error(500);  // as 1.20 does
      }
    } else if (lease.is_null()) {
      return Error(404);
    } else if (request.body.at("metadata").value("resourceVersion", "") !=
               lease["metadata"].value("resourceVersion", "")) {
      return Error(409);
    }
    lease = request.body;
    lease["metadata"]["resourceVersion"] = std::to_string(++version);
    return lease;
  }
  static absl::Status Error(int code) {
    ApiError error;
    error.http_code = code;
    return MakeError(error, "ordered by the test");
  }
  json Spec() const { return lease.at("spec"); }

  json lease;
  int version = 10;
};

class LeaseTest : public ::testing::Test {
 protected:
  // One turn against the server.
  void Turn(LeaseState& state) {
    std::optional<LeaseRequest> request = state.Begin(wall_);
    for (int i = 0; request.has_value(); ++i) {
      ASSERT_LT(i, 4) << "a turn has at most three requests";
      request = state.OnAnswer(server_.Answer(*request), now_, now_, wall_);
    }
  }
  // One turn in which nobody answers.
  void LostTurn(LeaseState& state) {
    state.Begin(wall_);
    EXPECT_FALSE(state.OnAnswer(absl::UnavailableError("refused"), now_, now_, wall_).has_value());
  }
  void Pass(Duration time) {
    now_ += time;
    wall_ += std::chrono::duration_cast<WallTime::duration>(time);
  }
  LeaseState Candidate(const std::string& identity) {
    return LeaseState("ns", "rota", identity, LeaseTimings());
  }

  Server server_;
  MonotonicTime now_{std::chrono::hours(1)};
  WallTime wall_ = std::chrono::sys_days(std::chrono::year(2026) / 11 / 20) +
                   std::chrono::hours(10) + std::chrono::microseconds(1500);
};

TEST_F(LeaseTest, TheFirstOneCreatesItInTheFormThatTheServerWants) {
  LeaseState state = Candidate("a");

  Turn(state);

  EXPECT_TRUE(state.Leads(now_));
  EXPECT_EQ(server_.lease["apiVersion"], "coordination.k8s.io/v1");
  EXPECT_EQ(server_.lease["metadata"]["name"], "rota");
  EXPECT_EQ(server_.lease["metadata"]["namespace"], "ns");
  EXPECT_EQ(server_.Spec(), (json{{"holderIdentity", "a"},
                                  {"leaseDurationSeconds", 15},
                                  {"acquireTime", "2026-11-20T10:00:00.001500Z"},
                                  {"renewTime", "2026-11-20T10:00:00.001500Z"},
                                  {"leaseTransitions", 0}}));
}

TEST_F(LeaseTest, OfTwoThatCreateAtOnceOneLeads) {
  LeaseState a = Candidate("a");
  LeaseState b = Candidate("b");
  std::optional<LeaseRequest> of_a = a.Begin(wall_);
  std::optional<LeaseRequest> of_b = b.Begin(wall_);
  of_a = a.OnAnswer(server_.Answer(*of_a), now_, now_, wall_);
  of_b = b.OnAnswer(server_.Answer(*of_b), now_, now_, wall_);
  ASSERT_EQ(of_a->kind, Kind::kCreate);
  ASSERT_EQ(of_b->kind, Kind::kCreate);

  EXPECT_FALSE(a.OnAnswer(server_.Answer(*of_a), now_, now_, wall_).has_value());
  EXPECT_FALSE(b.OnAnswer(server_.Answer(*of_b), now_, now_, wall_).has_value());

  EXPECT_TRUE(a.Leads(now_));
  EXPECT_FALSE(b.Leads(now_));
}

TEST_F(LeaseTest, TheHolderRenewsWithOneRequestAndKeepsItsAcquireTime) {
  LeaseState state = Candidate("a");
  Turn(state);
  const json before = server_.Spec();
  Pass(std::chrono::seconds(2));

  const LeaseRequest request = state.Begin(wall_);
  EXPECT_EQ(request.kind, Kind::kReplace);
  EXPECT_FALSE(state.OnAnswer(server_.Answer(request), now_, now_, wall_).has_value());

  EXPECT_EQ(server_.Spec()["acquireTime"], before["acquireTime"]);
  EXPECT_EQ(server_.Spec()["renewTime"], "2026-11-20T10:00:02.001500Z");
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 0);
  EXPECT_EQ(state.NextTurn(0.9), std::chrono::seconds(2));
}

TEST_F(LeaseTest, OthersTakeItOnlyAfterItHasNotChangedForItsWholeLength) {
  LeaseState a = Candidate("a");
  LeaseState b = Candidate("b");
  Turn(a);
  Turn(b);
  EXPECT_EQ(b.holder(), "a");
  Pass(std::chrono::seconds(10));
  Turn(a);  // renewed, which b sees only now
  Turn(b);

  Pass(std::chrono::seconds(15));
  Turn(b);
  EXPECT_FALSE(b.Leads(now_));
  Pass(std::chrono::milliseconds(1));
  Turn(b);

  EXPECT_TRUE(b.Leads(now_));
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 1);
  EXPECT_EQ(server_.Spec()["acquireTime"], server_.Spec()["renewTime"]);
}

TEST_F(LeaseTest, ClocksOfTheHostsDoNotMatter) {
  LeaseState a = Candidate("a");
  LeaseState b = Candidate("b");
  Turn(a);
  wall_ += std::chrono::hours(24);  // b's host lives in the future

  Turn(b);
  EXPECT_FALSE(b.Leads(now_));
  wall_ -= std::chrono::hours(48);
  Pass(std::chrono::seconds(16));
  Turn(b);

  EXPECT_TRUE(b.Leads(now_));
}

TEST_F(LeaseTest, TheHolderEndsTenSecondsAfterItSentTheLastGoodRenewal) {
  LeaseState state = Candidate("a");
  std::optional<LeaseRequest> request = state.Begin(wall_);
  request = state.OnAnswer(server_.Answer(*request), now_, now_, wall_);
  const MonotonicTime sent = now_;
  Pass(std::chrono::seconds(3));  // the answer was slow; others count from when it was written
  state.OnAnswer(server_.Answer(*request), sent, now_, wall_);

  EXPECT_TRUE(state.Leads(sent + std::chrono::milliseconds(9999)));
  EXPECT_FALSE(state.Leads(sent + std::chrono::seconds(10)));
}

TEST_F(LeaseTest, RenewalsThatFailKeepTheTermUntilItsDeadline) {
  LeaseState state = Candidate("a");
  Turn(state);
  for (int i = 0; i < 4; ++i) {
    Pass(std::chrono::seconds(2));
    LostTurn(state);
    EXPECT_TRUE(state.Leads(now_));
  }

  Pass(std::chrono::seconds(2));
  LostTurn(state);

  EXPECT_FALSE(state.Leads(now_));
  EXPECT_FALSE(state.IsStuck(now_));
}

TEST_F(LeaseTest, ARenewalThatWasAppliedAndNotAnsweredIsNoLoss) {
  LeaseState state = Candidate("a");
  Turn(state);
  Pass(std::chrono::seconds(2));
  ASSERT_TRUE(server_.Answer(state.Begin(wall_)).ok());
  state.OnAnswer(absl::UnavailableError("reset"), now_, now_, wall_);

  Pass(std::chrono::seconds(2));
  Turn(state);  // a conflict, a look, and its own name

  EXPECT_EQ(state.leads_until(), now_ + std::chrono::seconds(10));
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 0);
}

TEST_F(LeaseTest, TheHolderThatFindsAnotherNameEndsAtOnce) {
  LeaseState state = Candidate("a");
  Turn(state);
  server_.lease["spec"]["holderIdentity"] = "b";
  server_.lease["metadata"]["resourceVersion"] = "99";
  Pass(std::chrono::seconds(2));

  Turn(state);

  EXPECT_FALSE(state.Leads(now_));
  EXPECT_EQ(state.holder(), "b");
  EXPECT_EQ(server_.Spec()["holderIdentity"], "b");
}

TEST_F(LeaseTest, ATermThatWasGivenUpIsTakenAgainWhenNobodyElseHas) {
  LeaseState state = Candidate("a");
  Turn(state);
  Pass(std::chrono::seconds(11));
  state.GiveUp();
  EXPECT_FALSE(state.Leads(now_));

  Turn(state);

  EXPECT_TRUE(state.Leads(now_));
}

TEST_F(LeaseTest, AReleasedLeaseIsTakenAtTheNextLook) {
  LeaseState a = Candidate("a");
  LeaseState b = Candidate("b");
  Turn(a);
  Turn(b);
  a.GiveUp();
  const std::optional<LeaseRequest> release = a.Release(wall_);
  ASSERT_TRUE(release.has_value());
  ASSERT_TRUE(server_.Answer(*release).ok());
  EXPECT_EQ(server_.Spec()["holderIdentity"], "");
  EXPECT_EQ(server_.Spec()["leaseDurationSeconds"], 1);

  Turn(b);

  EXPECT_TRUE(b.Leads(now_));
  EXPECT_EQ(server_.Spec()["leaseTransitions"], 1);
  EXPECT_FALSE(Candidate("c").Release(wall_).has_value());
}

TEST_F(LeaseTest, AClaimWithoutAnAnswerIsLookedAtBeforeTheLeaseIsReleased) {
  LeaseState state = Candidate("a");
  const LeaseRequest claim = *state.OnAnswer(server_.Answer(state.Begin(wall_)), now_, now_, wall_);
  ASSERT_TRUE(server_.Answer(claim).ok());  // and nobody hears of it

  const std::optional<LeaseRequest> look = state.Release(wall_);
  ASSERT_TRUE(look.has_value());
  EXPECT_EQ(look->kind, Kind::kRead);
  state.Look(*server_.Answer(*look), now_);
  const std::optional<LeaseRequest> release = state.Release(wall_);
  ASSERT_TRUE(release.has_value());
  state.Look(*server_.Answer(*release), now_);

  EXPECT_EQ(server_.Spec()["holderIdentity"], "");
  EXPECT_FALSE(state.Release(wall_).has_value());
}

TEST_F(LeaseTest, ADeletedLeaseIsMadeAnew) {
  LeaseState state = Candidate("a");
  Turn(state);
  server_.lease = json();
  Pass(std::chrono::seconds(2));

  Turn(state);

  EXPECT_TRUE(state.Leads(now_));
  EXPECT_EQ(server_.Spec()["holderIdentity"], "a");
}

TEST_F(LeaseTest, LabelsAndUnknownMembersOfTheRecordStay) {
  LeaseState state = Candidate("a");
  Turn(state);
  server_.lease["metadata"]["labels"] = {{"team", "x"}};
  server_.lease["metadata"]["managedFields"] = json::array({json::object()});
  server_.lease["metadata"]["resourceVersion"] = "98";
  server_.lease["spec"]["strategy"] = "OldestEmulationVersion";
  Pass(std::chrono::seconds(2));

  Turn(state);

  EXPECT_EQ(server_.lease["metadata"]["labels"]["team"], "x");
  EXPECT_FALSE(server_.lease["metadata"].contains("managedFields"));
  EXPECT_EQ(server_.Spec()["strategy"], "OldestEmulationVersion");
}

TEST_F(LeaseTest, WhoWaitsLooksAtSpreadTimes) {
  LeaseState state = Candidate("a");

  EXPECT_EQ(state.NextTurn(0.0), std::chrono::seconds(2));
  EXPECT_EQ(state.NextTurn(0.5), std::chrono::milliseconds(3200));
}

TEST_F(LeaseTest, ATermThatNobodyEndedIsStuck) {
  LeaseState state = Candidate("a");
  Turn(state);

  EXPECT_FALSE(state.IsStuck(now_ + std::chrono::seconds(35)));
  EXPECT_TRUE(state.IsStuck(now_ + std::chrono::seconds(36)));
}

}  // namespace
}  // namespace rota::kube
