#include "controller/serve/peer_session.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::seconds;
using ::testing::SizeIs;

constexpr char kGateway[] = "default/rota";

void Serves(v1::PeerStatus& status, const std::string& gateway, uint32_t data_planes) {
  v1::PeerStatus::Gateway& added = *status.add_gateways();
  added.set_name(gateway);
  added.set_data_planes(data_planes);
}

v1::PeerMessage Hello(const std::string& replica, uint32_t data_planes = 0) {
  v1::PeerMessage message;
  message.mutable_hello()->set_replica(replica);
  Serves(*message.mutable_hello()->mutable_status(), kGateway, data_planes);
  return message;
}

v1::PeerStatus Status(uint32_t data_planes, const std::string& snapshot_hash = "") {
  v1::PeerStatus status;
  Serves(status, kGateway, data_planes);
  if (!snapshot_hash.empty()) {
    status.mutable_gateways(0)->add_acknowledged()->set_snapshot_hash(snapshot_hash);
  }
  return status;
}

v1::PeerMessage Statements(int count) {
  v1::PeerMessage message;
  for (int i = 0; i < count; ++i) {
    v1::Suspension& item = *message.mutable_suspensions()->add_items();
    item.set_target("t" + std::to_string(i));
    item.set_origin("node-1");
    item.mutable_remaining()->set_seconds(60);
  }
  return message;
}

class PeerSessionTest : public ::testing::Test {
 protected:
  PeerSessionTest() { options_.replica = "self"; }
  void Open(bool opened_here, PeerIdentity peer = {}) {
    session_.emplace(options_, opened_here, std::move(peer), Status(3), clock_.Now());
  }
  // Both Hellos and the first SuspensionUpdate are through.
  void OpenAndIntroduce() {
    Open(true);
    EXPECT_TRUE(Next()->has_hello());
    EXPECT_TRUE(Receive(Hello("other")).ok());
    EXPECT_TRUE(Next()->suspensions().full());
  }
  absl::Status Receive(const v1::PeerMessage& message) {
    effects_ = {};
    return session_->OnMessage(message, clock_.Now(), effects_);
  }
  std::optional<v1::PeerMessage> Next() { return session_->NextMessage(gateways_, clock_.Now()); }

  FakeClock clock_;
  PeerOptions options_;
  GatewayRegistry gateways_;
  SuspensionHub& hub_ = gateways_.Obtain(kGateway)->hub;
  std::optional<PeerSession> session_;
  PeerEffects effects_;
};

TEST_F(PeerSessionTest, WhoOpenedTheStreamSpeaksFirstAndBothTellEverythingAfterHello) {
  hub_.Merge("node-9", Statements(2).suspensions().items(), clock_.Now(), clock_.Now());
  Open(true);
  auto message = Next();
  ASSERT_TRUE(message->has_hello());
  EXPECT_EQ(message->hello().replica(), "self");
  EXPECT_EQ(message->hello().status().gateways(0).data_planes(), 3u);
  EXPECT_FALSE(Next().has_value());

  ASSERT_TRUE(Receive(Hello("other", 7)).ok());

  EXPECT_TRUE(effects_.introduced);
  EXPECT_EQ(session_->peer_status()->gateways(0).data_planes(), 7u);
  EXPECT_EQ(session_->data_planes(), (DataPlaneCounts{{kGateway, 7}}));
  message = Next();
  EXPECT_TRUE(message->suspensions().full());
  EXPECT_THAT(message->suspensions().items(), SizeIs(2));
  EXPECT_EQ(message->suspensions().items(0).origin(), "node-1");
  EXPECT_FALSE(Next().has_value());
}

TEST_F(PeerSessionTest, WhoAcceptsSaysNothingToAStranger) {
  Open(false);
  EXPECT_FALSE(Next().has_value());
  session_->Add(kGateway, {{"t", "node-1", v1::QUOTA, 1, clock_.Now() + seconds(60), false}});
  EXPECT_FALSE(Next().has_value());
  ASSERT_TRUE(Receive(Hello("other")).ok());
  EXPECT_TRUE(Next()->has_hello());
  EXPECT_TRUE(Next()->has_suspensions());
}

TEST_F(PeerSessionTest, OneselfIsRecognised) {
  Open(false);
  EXPECT_EQ(Receive(Hello("self")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(effects_.is_self);
}

TEST_F(PeerSessionTest, WhoIsNoReplicaIsRefused) {
  Open(false);
  EXPECT_EQ(Receive(Statements(1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Receive(Hello("")).code(), absl::StatusCode::kInvalidArgument);
  Open(false, {"10.0.0.1:1", true, {"urn:rota:node:node-7"}, "", ""});
  EXPECT_EQ(Receive(Hello("other")).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(session_->introduced());
  Open(false, {"10.0.0.1:1", true, {"urn:rota:gateway:default/rota"}, "", ""});
  EXPECT_TRUE(Receive(Hello("other")).ok());
  EXPECT_EQ(Receive(Hello("other")).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PeerSessionTest, ChangesAreToldOnceAndTheNumberOfDataPlanesToo) {
  OpenAndIntroduce();
  session_->Add(kGateway, {{"t", "node-1", v1::QUOTA, 1, clock_.Now() + seconds(60), false}});
  session_->SetStatus(Status(5));

  auto message = Next();
  EXPECT_FALSE(message->suspensions().full());
  ASSERT_THAT(message->suspensions().items(), SizeIs(1));
  message = Next();
  EXPECT_EQ(message->status().gateways(0).data_planes(), 5u);
  EXPECT_FALSE(Next().has_value());
  session_->SetStatus(Status(5));
  EXPECT_FALSE(Next().has_value());
}

TEST_F(PeerSessionTest, WhatDataPlanesHaveIsToldWhenItChangesAndTakenFromTheOtherEnd) {
  OpenAndIntroduce();
  session_->SetStatus(Status(3, "one"));
  session_->SetStatus(Status(3, "two"));

  auto message = Next();
  EXPECT_EQ(message->status().gateways(0).acknowledged(0).snapshot_hash(), "two");
  EXPECT_FALSE(Next().has_value());

  v1::PeerMessage told;
  *told.mutable_status() = Status(0, "three");
  ASSERT_TRUE(Receive(told).ok());
  EXPECT_TRUE(effects_.status_changed);
  EXPECT_EQ(session_->peer_status()->gateways(0).acknowledged(0).snapshot_hash(), "three");
  ASSERT_TRUE(Receive(told).ok());
  EXPECT_FALSE(effects_.status_changed);  // a heartbeat
}

TEST_F(PeerSessionTest, StatementsComeWithTheTimeAtWhichTheyWereSent) {
  Open(true);
  v1::PeerMessage hello = Hello("other");
  hello.mutable_sent_at()->set_seconds(0);
  ASSERT_TRUE(Receive(hello).ok());
  v1::PeerMessage statements = Statements(1);
  statements.mutable_sent_at()->set_seconds(1);
  clock_.Advance(seconds(9));

  ASSERT_TRUE(Receive(statements).ok());

  ASSERT_THAT(effects_.dated, SizeIs(1));
  EXPECT_EQ(effects_.dated[0].sent, clock_.Now() - seconds(8));
  // The first message in time shows that Hello itself had been held up.
  v1::PeerMessage status;
  Serves(*status.mutable_status(), kGateway, 1);
  status.mutable_sent_at()->set_seconds(11);
  ASSERT_TRUE(Receive(status).ok());
  ASSERT_THAT(effects_.dated, SizeIs(1));
  EXPECT_EQ(effects_.dated[0].sent, clock_.Now() - seconds(10));
}

TEST_F(PeerSessionTest, AMessageOverTheLimitEndsTheStream) {
  options_.max_items = 2;
  OpenAndIntroduce();
  EXPECT_TRUE(Receive(Statements(2)).ok());
  EXPECT_EQ(Receive(Statements(3)).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PeerSessionTest, HeartbeatsAreSaidAndTheirAbsenceEndsTheStream) {
  OpenAndIntroduce();
  EXPECT_EQ(session_->NextDeadline(), clock_.Now() + seconds(5));
  clock_.Advance(seconds(5));
  EXPECT_TRUE(Next()->has_status());
  EXPECT_TRUE(session_->CheckTimeouts(clock_.Now()).ok());
  clock_.Advance(seconds(10));
  EXPECT_EQ(session_->CheckTimeouts(clock_.Now()).code(), absl::StatusCode::kDeadlineExceeded);
  v1::PeerMessage status;
  Serves(*status.mutable_status(), kGateway, 0);
  ASSERT_TRUE(Receive(status).ok());
  EXPECT_TRUE(session_->CheckTimeouts(clock_.Now()).ok());
}

TEST_F(PeerSessionTest, SuspensionsOfAGatewayAreToldOnceBothEndsServeIt) {
  OpenAndIntroduce();
  const SharedSuspension statement{"t", "node-1", v1::QUOTA, 1, clock_.Now() + seconds(60), false};
  session_->Add("team/edge", {statement});
  EXPECT_FALSE(Next().has_value());
  v1::PeerMessage status;
  Serves(*status.mutable_status(), kGateway, 0);
  Serves(*status.mutable_status(), "team/edge", 2);
  ASSERT_TRUE(Receive(status).ok());
  EXPECT_TRUE(effects_.status_changed);
  EXPECT_FALSE(Next().has_value()) << "it is not served here";

  gateways_.Obtain("team/edge");
  auto message = Next();
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->suspensions().gateway(), "team/edge");
  EXPECT_TRUE(message->suspensions().full());
  session_->Add("team/edge", {statement});
  message = Next();
  EXPECT_EQ(message->suspensions().gateway(), "team/edge");
  EXPECT_THAT(message->suspensions().items(), SizeIs(1));
  EXPECT_FALSE(Next().has_value());
}

TEST_F(PeerSessionTest, AStreamWithoutHelloDoesNotStay) {
  Open(false);
  clock_.Advance(seconds(5));
  EXPECT_EQ(session_->CheckTimeouts(clock_.Now()).code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace rota::serve
