#include "controller/serve/gateway_registry.h"

#include "controller/serve/test_snapshots.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::SizeIs;

class GatewayRegistryTest : public ::testing::Test {
 protected:
  void Suspend(const std::string& gateway, const std::string& target, int seconds) {
    SuspensionHub::Items items;
    v1::Suspension& item = *items.Add();
    item.set_target(target);
    item.set_epoch(1);
    item.set_reason(v1::QUOTA);
    item.mutable_remaining()->set_seconds(seconds);
    gateways_.Obtain(gateway)->hub.Merge("node", items, clock_.Now(), clock_.Now());
  }

  FakeClock clock_;
  GatewayRegistry gateways_;
};

TEST_F(GatewayRegistryTest, ServesAtMostAsManyGatewaysAsTheBoundSays) {
  for (size_t i = 0; i < compile::kMaxGateways; ++i) {
    EXPECT_NE(gateways_.Obtain("team/" + std::to_string(i)), nullptr);
  }
  EXPECT_EQ(gateways_.Obtain("team/one-more"), nullptr);
  EXPECT_NE(gateways_.Obtain("team/0"), nullptr);

  gateways_.Remove("team/0");

  EXPECT_EQ(gateways_.Find("team/0"), nullptr);
  EXPECT_NE(gateways_.Obtain("team/one-more"), nullptr);
}

TEST_F(GatewayRegistryTest, OfATargetOfTwoGatewaysTheSuspensionThatEndsLastCounts) {
  Suspend("team/a", "both", 60);
  Suspend("team/b", "both", 90);
  Suspend("team/c", "both", 30);
  Suspend("team/a", "only-a", 5);

  const std::vector<SharedSuspension> active = gateways_.ActiveSuspensions(clock_.Now());

  ASSERT_THAT(active, SizeIs(2));
  EXPECT_EQ(active[0].target, "both");
  EXPECT_EQ(active[0].until, clock_.Now() + std::chrono::seconds(90));
  EXPECT_EQ(active[1].target, "only-a");
}

TEST_F(GatewayRegistryTest, GivesTheSnapshotsOfAllGateways) {
  gateways_.Obtain("team/a")->snapshots.Publish(MakeSnapshot({{"ns/a", 1}}));
  gateways_.Obtain("team/b")->snapshots.Publish(MakeSnapshot({{"ns/b", 1}}));

  ASSERT_THAT(gateways_.Snapshots(), SizeIs(2));
  EXPECT_EQ(gateways_.Snapshots()[1], gateways_.Find("team/b")->snapshots.Get());
}

}  // namespace
}  // namespace rota::serve
