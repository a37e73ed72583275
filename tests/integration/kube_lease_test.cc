// The election of a leader against the API server in this process: several candidates, a server
// that fails, a leader that disappears. Timings are a tenth of the real ones.

#include <gmock/gmock.h>

#include <atomic>

#include "controller/kube/lease_elector.h"
#include "tests/integration/kube_test_support.h"
#include "tests/support/fake_apiserver.h"

namespace rota::testing {
namespace {

using kube::LeaseElector;
using nlohmann::json;
using ::testing::ElementsAre;

constexpr kube::LeaseTimings kTimings = {std::chrono::seconds(2), std::chrono::milliseconds(1200),
                                         std::chrono::milliseconds(200), 1.2};

// A replica that would write.
class Candidate {
 public:
  Candidate(const FakeApiServer& server, const std::string& identity)
      : client_(server.ClientConfig()) {
    kube::LeaseOptions options;
    options.ns = "rota";
    options.name = "rota-controller";
    options.identity = identity;
    options.timings = kTimings;
    options.on_change = [this](bool leads) {
      std::lock_guard guard(mutex_);
      told_.push_back(leads);
    };
    elector_ = std::make_unique<LeaseElector>(client_.api, client_.clock, options);
    elector_->Start();
  }
  LeaseElector& elector() { return *elector_; }
  std::vector<bool> told() const {
    std::lock_guard guard(mutex_);
    return told_;
  }

 private:
  KubeClient client_;
  mutable std::mutex mutex_;
  std::vector<bool> told_;
  std::unique_ptr<LeaseElector> elector_;  // last: stops before what it uses
};

class KubeLeaseTest : public ::testing::Test {
 protected:
  void SetUp() override { server_.Register(kube::LeaseResource()); }
  std::string Holder() {
    return server_.Get(kube::LeaseResource(), "rota", "rota-controller")["spec"].value(
        "holderIdentity", "");
  }

  FakeApiServer server_{{true, "token-of-the-test"}};
  RealClock clock_;
};

TEST_F(KubeLeaseTest, OneOfThreeLeadsAndTheLeaseIsHandedOnWithoutAWait) {
  auto a = std::make_unique<Candidate>(server_, "a");
  ASSERT_TRUE(Eventually([&] { return a->elector().leads(); }));
  Candidate b(server_, "b");
  ASSERT_TRUE(Eventually([&] { return b.elector().report().holder == "a"; }));
  EXPECT_FALSE(b.elector().leads());

  const MonotonicTime start = clock_.Now();
  a.reset();
  EXPECT_EQ(Holder(), "");
  ASSERT_TRUE(Eventually([&] { return b.elector().leads(); }));

  EXPECT_LT(clock_.Now() - start, kTimings.lease_duration);
  EXPECT_EQ(Holder(), "b");
  EXPECT_TRUE(Eventually([&] { return b.told() == std::vector<bool>{true}; }));
}

TEST_F(KubeLeaseTest, ALeaderThatCannotRenewHasEndedBeforeTheNextOneBegins) {
  FakeApiServer& server = server_;
  Candidate a(server, "a");
  ASSERT_TRUE(Eventually([&] { return a.elector().leads(); }));
  Candidate b(server, "b");
  ASSERT_TRUE(Eventually([&] { return b.elector().report().holder == "a"; }));
  // From here on the server never answers to replacements: "a" waits for an answer when its term
  // ends.
  server.Inject(Fault::kHang, "write", "/leases/rota-controller", 1);

  bool both = false;
  ASSERT_TRUE(Eventually([&] {
    both = both || (a.elector().leads() && b.elector().leads());
    return !a.elector().leads();
  }));
  EXPECT_TRUE(Eventually([&] { return a.told() == std::vector<bool>({true, false}); }));
  ASSERT_TRUE(Eventually([&] {
    both = both || (a.elector().leads() && b.elector().leads());
    return a.elector().leads() || b.elector().leads();
  }));

  EXPECT_FALSE(both);
}

TEST_F(KubeLeaseTest, AServerThatIsAwayEndsTheTermAndItsReturnBeginsAnother) {
  Candidate a(server_, "a");
  ASSERT_TRUE(Eventually([&] { return a.elector().leads(); }));

  server_.Stop();
  ASSERT_TRUE(Eventually([&] { return !a.elector().leads(); }));
  EXPECT_TRUE(a.elector().healthy());
  server_.Start();
  ASSERT_TRUE(Eventually([&] { return a.elector().leads(); }));

  EXPECT_TRUE(Eventually([&] { return a.told() == std::vector<bool>({true, false, true}); }));
  EXPECT_EQ(a.elector().report().changes, 3u);
  EXPECT_GT(a.elector().report().failures, 0u);
}

TEST_F(KubeLeaseTest, OneFailureIsNoReasonToEnd) {
  Candidate a(server_, "a");
  ASSERT_TRUE(Eventually([&] { return a.elector().leads(); }));
  for (const Fault fault :
       {Fault::kServerError, Fault::kTooManyRequests, Fault::kResetBeforeHead}) {
    server_.Inject(fault, "write");
  }

  ASSERT_TRUE(Eventually([&] { return server_.AllFaultsMet(); }));
  const json before = server_.Get(kube::LeaseResource(), "rota", "rota-controller");
  ASSERT_TRUE(Eventually(
      [&] { return server_.Get(kube::LeaseResource(), "rota", "rota-controller") != before; }));

  EXPECT_TRUE(a.elector().leads());
  EXPECT_THAT(a.told(), ElementsAre(true));
}

TEST_F(KubeLeaseTest, ALeaseThatSomebodyHasTouchedIsReleasedAllTheSame) {
  auto a = std::make_unique<Candidate>(server_, "a");
  ASSERT_TRUE(Eventually([&] { return a->elector().leads(); }));

  json lease = server_.Get(kube::LeaseResource(), "rota", "rota-controller");
  lease["spec"]["strategy"] = "x";
  server_.Replace(kube::LeaseResource(), "rota", "rota-controller", lease);
  a.reset();

  EXPECT_EQ(Holder(), "");
}

TEST_F(KubeLeaseTest, ALeaseThatWasTakenWithoutOurHearingOfItIsReleasedAllTheSame) {
  server_.Create(kube::LeaseResource(), "rota",
                 {{"metadata", {{"name", "rota-controller"}}}, {"spec", {{"holderIdentity", ""}}}});
  server_.Inject(Fault::kHang, "write");
  auto a = std::make_unique<Candidate>(server_, "a");
  ASSERT_TRUE(Eventually([&] { return Holder() == "a"; }));
  ASSERT_FALSE(a->elector().leads());

  a.reset();

  EXPECT_EQ(Holder(), "");
}

}  // namespace
}  // namespace rota::testing
