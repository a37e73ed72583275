#include "controller/publish/api_status_publisher.h"

#include <gmock/gmock.h>

#include "tests/support/memory_apis.h"

namespace rota::publish {
namespace {

using nlohmann::json;
using rota::testing::Await;
using rota::testing::MemoryApis;

class ApiStatusPublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    apis_.Add("chat");
    source::KubeStatusOptions options;
    options.leads = false;
    writer_ = std::make_unique<source::KubeStatusWriter>(apis_.api(), clock_, options);
    publisher_ = std::make_unique<ApiStatusPublisher>(*writer_);
  }
  void Lead() {
    writer_->Lead();
    publisher_->TellAll();
  }
  static reconcile::ApiStatus Status(const std::string& message, const std::string& uid) {
    reconcile::ApiStatus status;
    status.name = {"team", "chat"};
    status.uid = uid;
    status.accepted.type = "Accepted";
    status.accepted.message = message;
    return status;
  }
  static SuspensionChanges Suspended(const std::string& model) {
    SuspensionChange change;
    if (!model.empty()) {
      change.now = {{{"production", model, "main", "quota", "2026-01-01T00:01:00Z"}}, model};
    }
    return {{{"team", "chat"}, change}};
  }
  void AwaitIdle() {
    Await([&] { return writer_->counts().waiting == 0; });
  }
  std::string MessageStored() { return apis_.Status("chat")["conditions"][0].value("message", ""); }

  const std::string uid_ = "uid-chat";
  MemoryApis apis_;
  FakeClock clock_;
  std::unique_ptr<source::KubeStatusWriter> writer_;
  std::unique_ptr<ApiStatusPublisher> publisher_;
};

TEST_F(ApiStatusPublisherTest, AStatusHasWhatTheReconcilerSaysAndWhatIsSuspended) {
  Lead();
  publisher_->OnStatus(Status("fine", uid_));
  publisher_->OnSuspensions(Suspended("gpt-4o"));
  AwaitIdle();

  EXPECT_EQ(MessageStored(), "fine");
  EXPECT_EQ(apis_.Status("chat")["suspended"], "gpt-4o");
  EXPECT_EQ(apis_.Status("chat")["suspensions"][0]["until"], "2026-01-01T00:01:00Z");

  publisher_->OnStatus(Status("better", uid_));
  AwaitIdle();
  EXPECT_EQ(MessageStored(), "better");
  EXPECT_EQ(apis_.Status("chat")["suspended"], "gpt-4o");

  publisher_->OnSuspensions(Suspended(""));
  AwaitIdle();
  EXPECT_FALSE(apis_.Status("chat").contains("suspended"));
  EXPECT_FALSE(apis_.Status("chat").contains("suspensions"));
}

TEST_F(ApiStatusPublisherTest, WhoBecomesTheLeaderTellsWhatHasHappenedBefore) {
  publisher_->OnStatus(Status("old", uid_));
  publisher_->OnStatus(Status("new", uid_));
  EXPECT_EQ(apis_.writes(), 0u);

  Lead();
  AwaitIdle();

  EXPECT_EQ(MessageStored(), "new");
  EXPECT_EQ(apis_.writes(), 1u);
}

TEST_F(ApiStatusPublisherTest, SuspensionsThatAreKnownBeforeTheStatusAreNotLost) {
  Lead();
  publisher_->OnSuspensions(Suspended("gpt-4o"));
  publisher_->OnStatus(Status("fine", uid_));
  AwaitIdle();

  EXPECT_EQ(apis_.Status("chat")["suspended"], "gpt-4o");
}

TEST_F(ApiStatusPublisherTest, ANamesakeHasNoSuspensionsOfItsPredecessor) {
  Lead();
  publisher_->OnStatus(Status("fine", "uid-of-another"));
  publisher_->OnSuspensions(Suspended("gpt-4o"));
  publisher_->OnStatus(Status("fine", uid_));
  AwaitIdle();

  EXPECT_EQ(MessageStored(), "fine");
  EXPECT_FALSE(apis_.Status("chat").contains("suspended"));
}

TEST_F(ApiStatusPublisherTest, WhatIsDeletedOrForgottenIsNotTold) {
  publisher_->OnStatus(Status("fine", uid_));
  publisher_->OnSuspensions(Suspended("gpt-4o"));
  publisher_->ForgetSuspensions();
  Lead();
  AwaitIdle();
  EXPECT_FALSE(apis_.Status("chat").contains("suspended"));

  publisher_->OnApiDeleted({"team", "chat"});
  writer_->Retire();
  Lead();
  AwaitIdle();
  EXPECT_EQ(apis_.writes(), 1u);
}

}  // namespace
}  // namespace rota::publish
