#include "controller/publish/object_events.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/support/memory_transport.h"

namespace rota::publish {
namespace {

using nlohmann::json;
using rota::testing::MemoryTransport;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ObjectEventsTest : public ::testing::Test {
 protected:
  static reconcile::ApiStatus Status(reconcile::ConditionStatus accepted,
                                     reconcile::ConditionStatus resolved) {
    reconcile::ApiStatus status;
    status.name = {"team", "chat"};
    status.uid = "uid-chat";
    status.accepted.status = accepted;
    status.accepted.message = "the word on it";
    status.resolved_refs.status = resolved;
    status.resolved_refs.message = "Secret team/key does not exist";
    return status;
  }
  // "type reason: note" of the Events, in the order in which they were written, all told.
  std::vector<std::string> Events(const std::string& uid = "uid-chat") {
    while (recorder_.counts().waiting > 0) {
      std::this_thread::yield();
    }
    recorder_.Stop();
    std::vector<std::string> events;
    for (const kube::HttpRequest& request : transport_.requests()) {
      const json event = json::parse(request.body);
      EXPECT_EQ(event["regarding"]["uid"], uid);
      events.push_back(event.value("type", "") + " " + event.value("reason", "") + ": " +
                       event.value("note", ""));
    }
    return events;
  }

  MemoryTransport transport_{
      [](const kube::HttpRequest&) { return MemoryTransport::Answer(201, json::object()); }};
  kube::KubeApi api_{transport_};
  FakeClock clock_;
  kube::EventRecorder recorder_{api_, clock_, {}};
  ObjectEvents events_{recorder_};
  const reconcile::ConditionStatus true_ = reconcile::ConditionStatus::kTrue;
  const reconcile::ConditionStatus false_ = reconcile::ConditionStatus::kFalse;
};

TEST_F(ObjectEventsTest, AnAcceptedAndARejectedGenerationAreTold) {
  events_.OnStatus(Status(true_, true_));
  events_.OnStatus(Status(false_, true_));

  EXPECT_THAT(Events(),
              ElementsAre("Normal Accepted: the word on it", "Warning Rejected: the word on it"));
}

TEST_F(ObjectEventsTest, AMissingReferenceIsTold) {
  reconcile::ApiStatus status = Status(true_, false_);
  status.accepted_is_news = false;
  events_.OnStatus(status);

  EXPECT_THAT(Events(), ElementsAre("Warning ReferenceMissing: Secret team/key does not exist"));
}

TEST_F(ObjectEventsTest, WhatTheResourceSaidAlreadyIsNoNews) {
  reconcile::ApiStatus status = Status(false_, false_);
  status.accepted_is_news = false;
  status.resolved_refs_is_news = false;
  events_.OnStatus(status);
  events_.OnStatus(
      Status(reconcile::ConditionStatus::kUnknown, reconcile::ConditionStatus::kUnknown));

  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ObjectEventsTest, SuspensionsOfOneLookAreOneEventAndRefusedCredentialsAnother) {
  reconcile::ApiStatus status = Status(true_, true_);
  status.accepted_is_news = false;
  events_.OnStatus(status);
  SuspensionChange change;
  change.added = {{"production", "o1", "openai", "quota", "2026-01-01T00:01:00Z"},
                  {"production", "gpt-4o", "openai", "failures", "2026-01-01T00:02:00Z"},
                  {"sandbox", "gpt-4o", "test", "auth", "2026-01-01T00:03:00Z"}};
  events_.OnSuspensions({{{"team", "chat"}, change}, {{"team", "other"}, SuspensionChange()}});

  EXPECT_THAT(Events(),
              ElementsAre("Warning ModelsSuspended: off the rota: gpt-4o (production, openai: "
                          "failures), o1 (production, openai: quota). status.suspensions says "
                          "until when",
                          "Warning CredentialRefused: the provider refuses the credential: gpt-4o "
                          "(sandbox, test: auth). Correct the Secret; the change takes them back "
                          "at once"));
}

class GatewayEventsTest : public ObjectEventsTest {
 protected:
  static reconcile::GatewayStatus Status(reconcile::ConditionStatus accepted,
                                         reconcile::ConditionStatus resolved) {
    reconcile::GatewayStatus status;
    status.gateway = "team/edge";
    status.is_object = true;
    status.uid = "uid-edge";
    status.accepted.status = accepted;
    status.accepted.message = "the word on it";
    status.resolved_refs.status = resolved;
    status.resolved_refs.reason = "InvalidCertificateRef";
    status.resolved_refs.message = "Secret team/tls does not exist";
    return status;
  }
};

TEST_F(GatewayEventsTest, WhatBecomesOfItAndOfItsCertificatesIsTold) {
  events_.OnGatewayStatus(Status(true_, false_));
  events_.OnGatewayStatus(Status(false_, true_));

  EXPECT_THAT(Events("uid-edge"),
              ElementsAre("Normal Accepted: the word on it",
                          "Warning InvalidCertificateRef: Secret team/tls does not exist",
                          "Warning Rejected: the word on it"));
  const json event = json::parse(transport_.requests().at(0).body);
  EXPECT_EQ(event["regarding"]["kind"], "RotaGateway");
  EXPECT_EQ(event["regarding"]["namespace"], "team");
}

TEST_F(GatewayEventsTest, WhatItSaidAlreadyAndWhatHasNoObjectIsNotTold) {
  reconcile::GatewayStatus status = Status(true_, false_);
  status.accepted_is_news = false;
  status.resolved_refs_is_news = false;
  events_.OnGatewayStatus(status);
  reconcile::GatewayStatus of_command_line = Status(true_, true_);
  of_command_line.is_object = false;
  events_.OnGatewayStatus(of_command_line);

  EXPECT_THAT(Events("uid-edge"), IsEmpty());
}

}  // namespace
}  // namespace rota::publish
