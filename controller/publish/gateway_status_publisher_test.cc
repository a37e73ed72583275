#include "controller/publish/gateway_status_publisher.h"

#include <gmock/gmock.h>

#include "tests/support/memory_apis.h"

namespace rota::publish {
namespace {

using rota::testing::Await;
using rota::testing::MemoryApis;

class GatewayStatusPublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    gateways_.Add("edge");
    source::KubeStatusOptions options;
    options.resource = source::GatewayResource();
    options.leads = false;
    writer_ = std::make_unique<source::KubeStatusWriter>(gateways_.api(), clock_, options);
    publisher_ = std::make_unique<GatewayStatusPublisher>(*writer_);
  }
  void Lead() {
    writer_->Lead();
    publisher_->TellAll();
  }
  static reconcile::GatewayStatus Status(size_t attached) {
    reconcile::GatewayStatus status;
    status.gateway = "team/edge";
    status.is_object = true;
    status.uid = "uid-edge";
    status.accepted.type = "Accepted";
    status.programmed.type = "Programmed";
    status.attached_apis = attached;
    return status;
  }
  void AwaitIdle() {
    Await([&] { return writer_->counts().waiting == 0; });
  }
  int Attached() { return gateways_.Status("edge").value("attachedAPIs", -1); }

  MemoryApis gateways_;
  FakeClock clock_;
  std::unique_ptr<source::KubeStatusWriter> writer_;
  std::unique_ptr<GatewayStatusPublisher> publisher_;
};

TEST_F(GatewayStatusPublisherTest, WhoBecomesTheLeaderTellsWhatHasHappenedBefore) {
  publisher_->OnGatewayStatus(Status(1));
  publisher_->OnGatewayStatus(Status(2));
  EXPECT_EQ(gateways_.writes(), 0u);

  Lead();
  AwaitIdle();
  EXPECT_EQ(Attached(), 2);
  EXPECT_EQ(gateways_.writes(), 1u);

  publisher_->OnGatewayStatus(Status(3));
  AwaitIdle();
  EXPECT_EQ(Attached(), 3);
}

TEST_F(GatewayStatusPublisherTest, TheGatewayOfTheCommandLineHasNoObjectToWriteTo) {
  reconcile::GatewayStatus status = Status(1);
  status.is_object = false;
  publisher_->OnGatewayStatus(status);
  Lead();
  AwaitIdle();
  EXPECT_EQ(gateways_.writes(), 0u);
}

TEST_F(GatewayStatusPublisherTest, WhatIsGoneIsNotTold) {
  publisher_->OnGatewayStatus(Status(1));
  publisher_->OnGatewayDeleted("team/edge");
  Lead();
  AwaitIdle();
  EXPECT_EQ(gateways_.writes(), 0u);
}

}  // namespace
}  // namespace rota::publish
