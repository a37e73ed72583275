// `onAllSuspended: Wait` on real sockets: who waits, for how long, and what becomes of them.

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A chat API of one target that may be waited for.
std::string WaitingApi(uint16_t port, int wait_seconds) {
  return ChatApi(
      {port}, absl::StrCat("on_all_suspended: WAIT wait_timeout { seconds: ", wait_seconds, " }"));
}

std::future<std::optional<Message>> Send(TestGateway& gateway, std::string request) {
  return std::async(std::launch::async, [port = gateway.port(), request = std::move(request)] {
    return Ask(port, request);
  });
}

class EngineWaitingTest : public ::testing::Test {
 protected:
  void Suspend(TestGateway& gateway, const std::string& target, Duration time) {
    gateway.registry().ApplyRemote(
        {{target, rotation::Reason::kQuota, clock_.Now() + time, ++epoch_, "other", false}},
        clock_.Now());
  }
  void Lift(TestGateway& gateway, const std::string& target) {
    gateway.registry().Lift(target, clock_.Now());
  }
  // `count` chat requests that wait.
  void SendWaiting(TestGateway& gateway, int count) {
    for (int i = 0; i < count; ++i) {
      answers_.push_back(Send(gateway, ChatRequest()));
    }
    ASSERT_TRUE(Eventually([&] { return gateway.Metric("rota_open_requests") == count; }));
  }
  std::vector<Message> Answers() {
    std::vector<Message> answers;
    for (std::future<std::optional<Message>>& answer : answers_) {
      answers.push_back(answer.get().value_or(Message()));
    }
    return answers;
  }
  static std::multiset<int> Statuses(const std::vector<Message>& answers) {
    std::multiset<int> statuses;
    for (const Message& answer : answers) {
      statuses.insert(answer.status());
    }
    return statuses;
  }

  RealClock clock_;
  uint64_t epoch_ = 0;
  std::vector<std::future<std::optional<Message>>> answers_;
};

TEST_F(EngineWaitingTest, ATargetThatReturnsEarlyIsNoticed) {
  TestUpstream upstream(Always(Answer(200, "good")));
  TestGateway gateway(WaitingApi(upstream.port(), 60));
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 1);

  const MonotonicTime start = clock_.Now();
  Lift(gateway, "t0");

  EXPECT_EQ(Statuses(Answers()), std::multiset<int>{200});
  EXPECT_LT(clock_.Now() - start, seconds(10));
}

TEST_F(EngineWaitingTest, NobodyFollowsAProbeThatIsNotAnsweredInTime) {
  std::atomic<bool> may_answer = false;
  TestUpstream upstream([&may_answer](const Message&, Wire& wire) {
    return Eventually([&may_answer] { return may_answer.load(); }) &&
           wire.Send(Answer(200, "good"));
  });
  TestGateway gateway(WaitingApi(upstream.port(), 2));
  Suspend(gateway, "t0", milliseconds(1500));
  SendWaiting(gateway, 6);

  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_open_requests") == 1; }));
  EXPECT_EQ(upstream.requests().size(), 1u);
  may_answer = true;

  const std::vector<Message> answers = Answers();
  EXPECT_EQ(Statuses(answers), (std::multiset<int>{200, 429, 429, 429, 429, 429}));
  for (const Message& answer : answers) {
    EXPECT_EQ(answer.Field("retry-after"), answer.status() == 429 ? "1" : "");
  }
  EXPECT_EQ(upstream.requests().size(), 1u);
}

TEST_F(EngineWaitingTest, NobodyWaitsForAReturnThatHasBecomeTooLate) {
  TestUpstream upstream(Always(Answer(200, "good")));
  TestGateway gateway(WaitingApi(upstream.port(), 60));
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 2);

  const MonotonicTime start = clock_.Now();
  Suspend(gateway, "t0", seconds(600));
  answers_.push_back(Send(gateway, ChatRequest()));

  for (const Message& answer : Answers()) {
    EXPECT_EQ(answer.status(), 429);
    EXPECT_GT(std::stoi(answer.Field("retry-after")), 500);
  }
  EXPECT_LT(clock_.Now() - start, seconds(10));
  EXPECT_EQ(upstream.requests().size(), 0u);
}

TEST_F(EngineWaitingTest, WhatTheClientHasDoneWrongDoesNotHoldUpTheOthers) {
  TestUpstream upstream(Always(Answer(400, R"({"error":{"message":"bad","code":"bad"}})")));
  TestGateway gateway(WaitingApi(upstream.port(), 60));
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 30);

  const MonotonicTime start = clock_.Now();
  Lift(gateway, "t0");

  EXPECT_EQ(Statuses(Answers()).count(400), 30u);
  EXPECT_LT(clock_.Now() - start, seconds(10));
}

TEST_F(EngineWaitingTest, ATargetThatFailsDoesNotHoldUpWhoIsServedByAnother) {
  TestUpstream bad(Always(Answer(503, "bad")));
  TestUpstream good(Always(Answer(200, "good")));
  // Without passive health checks nothing takes the bad one off the rota.
  TestGateway gateway(ChatApi({bad.port(), good.port()},
                              "on_all_suspended: WAIT wait_timeout { seconds: 60 } "
                              "failure_threshold: 0"));
  Suspend(gateway, "t0", seconds(50));
  Suspend(gateway, "t1", seconds(50));
  SendWaiting(gateway, 30);

  const MonotonicTime start = clock_.Now();
  Lift(gateway, "t0");
  Lift(gateway, "t1");

  EXPECT_EQ(Statuses(Answers()).count(200), 30u);
  EXPECT_LT(clock_.Now() - start, seconds(10));
}

TEST_F(EngineWaitingTest, WhoHasWaitedIsSentWithTheCredentialOfNow) {
  TestUpstream upstream([](const Message& request, Wire& wire) {
    return wire.Send(request.Field("authorization") == "Bearer sk-new" ? Answer(200, "good")
                                                                       : Answer(429, "exhausted"));
  });
  const std::string api = WaitingApi(upstream.port(), 60);
  TestGateway gateway(api);
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 10);

  const MonotonicTime start = clock_.Now();
  gateway.Configure(api, "sk-new");

  EXPECT_EQ(Statuses(Answers()).count(200), 10u);
  EXPECT_LT(clock_.Now() - start, seconds(10));
  EXPECT_EQ(upstream.requests().size(), 10u);
}

TEST_F(EngineWaitingTest, ACredentialThatWasWithdrawnIsNotSentByWhoHasWaited) {
  TestUpstream upstream(Always(Answer(200, "good")));
  const std::string api = WaitingApi(upstream.port(), 60);
  TestGateway gateway(api);
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 3);

  gateway.Configure(api, std::nullopt);

  EXPECT_EQ(Statuses(Answers()).count(503), 3u);
  EXPECT_EQ(upstream.requests().size(), 0u);
}

TEST_F(EngineWaitingTest, AnOperationThatIsGoneWhenTheTurnComesIsNotFound) {
  TestUpstream upstream(Always(Answer(200, "good")));
  const std::string api = WaitingApi(upstream.port(), 60);
  TestGateway gateway(api);
  Suspend(gateway, "t0", seconds(50));
  SendWaiting(gateway, 3);

  std::string other = api;
  other.replace(other.find("/chat/completions"), 17, "/chat/elsewhere");
  gateway.Configure(other);
  Lift(gateway, "t0");

  EXPECT_EQ(Statuses(Answers()).count(404), 3u);
  EXPECT_EQ(upstream.requests().size(), 0u);
}

TEST_F(EngineWaitingTest, WhoCanBeServedDoesNotWaitBehindWhoCannot) {
  TestUpstream upstream([](const Message& request, Wire& wire) {
    return wire.Send(
        Answer(200,
               request.start.find("/messages") == std::string::npos
                   ? "good"
                   : R"({"id":"m","type":"message","role":"assistant","model":"m1",)"
                     R"("content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn",)"
                     R"("usage":{"input_tokens":1,"output_tokens":1}})",
               "content-type: application/json\r\n"));
  });
  // Embeddings can only be had from the first target.
  std::string api = ChatApi({upstream.port(), upstream.port()},
                            "on_all_suspended: WAIT wait_timeout { seconds: 60 }");
  api.replace(api.rfind("openai"), 6, "anthropic");
  api += R"( operations { verb: "POST" target: "/embeddings" kind: EMBEDDINGS
                          production { rotation: 1 endpoint: 0 } })";
  TestGateway gateway(api);
  Suspend(gateway, "t0", seconds(50));
  std::string embeddings = ChatRequest(R"({"model":"x","input":"a"})");
  embeddings.replace(embeddings.find("chat/completions"), 16, "embeddings");
  std::future<std::optional<Message>> waiting = Send(gateway, embeddings);
  ASSERT_TRUE(Eventually([&] { return gateway.Metric("rota_open_requests") == 1; }));

  const MonotonicTime start = clock_.Now();
  const std::optional<Message> chat = Ask(
      gateway.port(),
      ChatRequest(R"({"model":"x","max_tokens":9,"messages":[{"role":"user","content":"a"}]})"));
  EXPECT_EQ(chat->status(), 200) << chat->body;
  EXPECT_EQ(chat->Field("x-rota-model"), "m1");
  EXPECT_LT(clock_.Now() - start, seconds(10));

  Lift(gateway, "t0");
  EXPECT_EQ(waiting.get()->status(), 200);
}

}  // namespace
}  // namespace rota::engine::testing
