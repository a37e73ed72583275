// Events: their form, series, bounds and failures; with a clock that stands still.

#include "controller/kube/event_recorder.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/support/memory_transport.h"

namespace rota::kube {
namespace {

using nlohmann::json;
using rota::testing::MemoryTransport;
using ::testing::HasSubstr;

class EventRecorderTest : public ::testing::Test {
 protected:
  EventRecorder& Start(EventRecorderOptions options = {}) {
    options.instance = "rota-controller-0_ab";
    options.uniform = [] { return 0.0; };
    recorder_ = std::make_unique<EventRecorder>(api_, clock_, std::move(options));
    return *recorder_;
  }
  static Event About(const std::string& name, const std::string& note = "it is so") {
    Event event;
    event.regarding = {"gateway.rota.dev/v1alpha1", "API", "team", name, "uid-" + name};
    event.reason = "Accepted";
    event.action = "Compile";
    event.note = note;
    return event;
  }
  // What the server was sent, once it has been sent that often.
  HttpRequest Sent(size_t number) {
    Await([&] { return transport_.requests().size() >= number; });
    return transport_.requests().at(number - 1);
  }
  void AwaitWritten(uint64_t count) {
    Await([&] { return recorder_->counts().written == count; });
  }
  static void Await(const std::function<bool()>& condition) {
    while (!condition()) {
      std::this_thread::yield();
    }
  }

  std::atomic<int> code_{201};
  std::atomic<int> answers_with_code_{1'000'000};  // then 201
  MemoryTransport transport_{[this](const HttpRequest&) {
    return --answers_with_code_ >= 0 && code_ != 201 ? MemoryTransport::Error(code_)
                                                     : MemoryTransport::Answer(201, json::object());
  }};
  KubeApi api_{transport_};
  FakeClock clock_;
  std::unique_ptr<EventRecorder> recorder_;
};

TEST_F(EventRecorderTest, AnEventHasTheFormOfTheApi) {
  Start().Record(About("chat"));

  const HttpRequest request = Sent(1);
  const json event = json::parse(request.body);

  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/apis/events.k8s.io/v1/namespaces/team/events");
  EXPECT_THAT(event["metadata"]["name"].get<std::string>(),
              ::testing::MatchesRegex("chat\\.[0-9a-f]+"));
  EXPECT_EQ(event["eventTime"], "2026-01-01T00:00:00.000000Z");
  EXPECT_EQ(event["reportingController"], "gateway.rota.dev/controller");
  EXPECT_EQ(event["reportingInstance"], "rota-controller-0_ab");
  EXPECT_EQ(event["type"], "Normal");
  EXPECT_EQ(event["reason"], "Accepted");
  EXPECT_EQ(event["action"], "Compile");
  EXPECT_EQ(event["note"], "it is so");
  EXPECT_EQ(event["regarding"], (json{{"apiVersion", "gateway.rota.dev/v1alpha1"},
                                      {"kind", "API"},
                                      {"namespace", "team"},
                                      {"name", "chat"},
                                      {"uid", "uid-chat"}}));
  EXPECT_FALSE(event.contains("series"));
}

TEST_F(EventRecorderTest, WhatHappensAgainIsCountedInTheEventThatIsThere) {
  EventRecorder& recorder = Start();
  recorder.Record(About("chat"));
  AwaitWritten(1);
  clock_.Advance(std::chrono::minutes(5));
  recorder.Record(About("chat"));
  AwaitWritten(2);
  clock_.Advance(std::chrono::minutes(7));  // too long ago
  recorder.Record(About("chat"));
  AwaitWritten(3);

  const std::string name = json::parse(Sent(1).body)["metadata"]["name"].get<std::string>();
  EXPECT_EQ(Sent(2).method, "PATCH");
  EXPECT_THAT(Sent(2).target, HasSubstr("/events/" + name));
  EXPECT_EQ(Sent(2).content_type, "application/merge-patch+json");
  EXPECT_EQ(
      json::parse(Sent(2).body),
      (json{{"series", {{"count", 2}, {"lastObservedTime", "2026-01-01T00:05:00.000000Z"}}}}));
  EXPECT_EQ(Sent(3).method, "POST");
}

TEST_F(EventRecorderTest, AnotherNoteIsAnotherEvent) {
  EventRecorder& recorder = Start();
  recorder.Record(About("chat", "one"));
  recorder.Record(About("chat", "two"));
  AwaitWritten(2);

  EXPECT_EQ(Sent(1).method, "POST");
  EXPECT_EQ(Sent(2).method, "POST");
  EXPECT_NE(json::parse(Sent(1).body)["metadata"]["name"],
            json::parse(Sent(2).body)["metadata"]["name"]);
}

TEST_F(EventRecorderTest, AnEventThatHasExpiredIsMadeAnew) {
  EventRecorder& recorder = Start();
  recorder.Record(About("chat"));
  AwaitWritten(1);
  code_ = 404;
  answers_with_code_ = 1;
  recorder.Record(About("chat"));
  AwaitWritten(2);

  EXPECT_EQ(Sent(2).method, "PATCH");
  EXPECT_EQ(Sent(3).method, "POST");
}

TEST_F(EventRecorderTest, FortyAtOnceThenTwentyASecond) {
  EventRecorder& recorder = Start();
  for (int i = 0; i < 100; ++i) {
    recorder.Record(About("api-" + std::to_string(i)));
  }
  AwaitWritten(40);
  clock_.Advance(std::chrono::seconds(1));
  AwaitWritten(60);
  EXPECT_EQ(recorder.counts().waiting, 40u);
}

TEST_F(EventRecorderTest, MoreThanTheQueueHoldsIsDroppedAndCountedAndNobodyWaits) {
  code_ = 503;
  EventRecorder& recorder = Start();
  recorder.Record(About("first"));
  Await([&] { return transport_.requests().size() == 1; });  // and tries for two minutes

  for (int i = 0; i < 1'500; ++i) {
    recorder.Record(About("api-" + std::to_string(i)));
  }

  EXPECT_EQ(recorder.counts().dropped, 500u);
  EXPECT_EQ(recorder.counts().waiting, 1'001u);
}

TEST_F(EventRecorderTest, AFailureIsTriedTwelveTimesTenSecondsApartUnderOneName) {
  code_ = 503;
  EventRecorder& recorder = Start();
  recorder.Record(About("chat"));
  for (size_t tries = 1; tries < 12; ++tries) {
    Await([&] { return transport_.requests().size() == tries; });
    clock_.AwaitWaiters(1);
    clock_.Advance(std::chrono::seconds(10));
  }

  Await([&] { return recorder.counts().failed == 1; });
  EXPECT_EQ(transport_.requests().size(), 12u);
  EXPECT_EQ(Sent(1).body, Sent(12).body);
}

TEST_F(EventRecorderTest, ARefusalIsNotRepeated) {
  code_ = 403;
  EventRecorder& recorder = Start();
  recorder.Record(About("chat"));

  Await([&] { return recorder.counts().failed == 1; });
  EXPECT_EQ(transport_.requests().size(), 1u);
}

TEST_F(EventRecorderTest, WhoDoesNotLeadWritesNothing) {
  EventRecorderOptions options;
  options.leads = false;
  EventRecorder& recorder = Start(options);
  recorder.Record(About("chat"));
  EXPECT_EQ(recorder.counts().waiting, 0u);

  recorder.Lead();
  recorder.Record(About("chat"));
  AwaitWritten(1);
  code_ = 503;
  recorder.Record(About("other"));
  Await([&] { return transport_.requests().size() == 2; });
  recorder.Record(About("third"));
  recorder.Retire();
  Await([&] { return recorder.counts().waiting == 0; });

  recorder.Lead();
  code_ = 201;
  recorder.Record(About("fourth"));
  AwaitWritten(2);
  EXPECT_EQ(transport_.requests().size(), 3u);
}

TEST_F(EventRecorderTest, LongTextsAreCutBetweenCharacters) {
  std::string note(1022, 'x');
  note += "\xC3\xA9\xC3\xA9";  // two characters of two bytes
  Start().Record(About("chat", note));

  EXPECT_EQ(json::parse(Sent(1).body)["note"].get<std::string>(), std::string(1021, 'x') + "...");
}

}  // namespace
}  // namespace rota::kube
