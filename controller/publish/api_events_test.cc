#include "controller/publish/api_events.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/support/memory_transport.h"

namespace rota::publish {
namespace {

using nlohmann::json;
using rota::testing::MemoryTransport;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ApiEventsTest : public ::testing::Test {
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
  std::vector<std::string> Events() {
    while (recorder_.counts().waiting > 0) {
      std::this_thread::yield();
    }
    recorder_.Stop();
    std::vector<std::string> events;
    for (const kube::HttpRequest& request : transport_.requests()) {
      const json event = json::parse(request.body);
      EXPECT_EQ(event["regarding"]["uid"], "uid-chat");
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
  ApiEvents events_{recorder_};
  const reconcile::ConditionStatus true_ = reconcile::ConditionStatus::kTrue;
  const reconcile::ConditionStatus false_ = reconcile::ConditionStatus::kFalse;
};

TEST_F(ApiEventsTest, AnAcceptedAndARejectedGenerationAreTold) {
  events_.OnStatus(Status(true_, true_));
  events_.OnStatus(Status(false_, true_));

  EXPECT_THAT(Events(),
              ElementsAre("Normal Accepted: the word on it", "Warning Rejected: the word on it"));
}

TEST_F(ApiEventsTest, AMissingReferenceIsTold) {
  reconcile::ApiStatus status = Status(true_, false_);
  status.accepted_is_news = false;
  events_.OnStatus(status);

  EXPECT_THAT(Events(), ElementsAre("Warning ReferenceMissing: Secret team/key does not exist"));
}

TEST_F(ApiEventsTest, WhatTheResourceSaidAlreadyIsNoNews) {
  reconcile::ApiStatus status = Status(false_, false_);
  status.accepted_is_news = false;
  status.resolved_refs_is_news = false;
  events_.OnStatus(status);
  events_.OnStatus(
      Status(reconcile::ConditionStatus::kUnknown, reconcile::ConditionStatus::kUnknown));

  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ApiEventsTest, SuspensionsOfOneLookAreOneEventAndRefusedCredentialsAnother) {
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

}  // namespace
}  // namespace rota::publish
