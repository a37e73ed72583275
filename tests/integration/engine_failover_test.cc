// Failover inside one request, suspensions, and what happens when nothing is eligible.

#include <sys/resource.h>

#include <atomic>
#include <future>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/coded_text.h"

namespace rota::engine::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kQuota =
    R"({"error":{"message":"slow down","type":"rate_limit","code":"rate_limit_exceeded"}})";

// A port that refuses connections.
uint16_t ClosedPort() { return TestUpstream(Always("")).port(); }

TEST(EngineFailoverTest, TriesTheNextTargetAfterAQuotaErrorAndSuspends) {
  TestUpstream used_up(Always(Answer(429, kQuota, "retry-after: 120\r\n")));
  TestUpstream good(Always(Answer(200, "good")));
  TestGateway gateway(ChatApi({used_up.port(), good.port()}));

  for (int i = 0; i < 10; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest());
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->Field("x-rota-model"), "m1");
  }

  EXPECT_EQ(used_up.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 1u);
  EXPECT_EQ(gateway.Metric("rota_failovers_total", "reason=quota"), 1);
  EXPECT_EQ(gateway.Metric("rota_suspensions_total", "reason=quota"), 1);
}

TEST(EngineFailoverTest, FailsOverFromRefusedConnectionsServerErrorsAndResets) {
  TestUpstream good(Always(Answer(200, "good")));
  TestUpstream broken(Always(Answer(503, "sorry")));
  TestUpstream resets([](const Message&, Wire&) { return false; });
  TestUpstream garbage(Always("SSH-2.0-OpenSSH\r\n\r\n"));
  for (const uint16_t bad : {ClosedPort(), broken.port(), resets.port(), garbage.port()}) {
    TestGateway gateway(ChatApi({bad, good.port()}));
    for (int i = 0; i < 2; ++i) {
      const auto answer = Ask(gateway.port(), ChatRequest());
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->body, "good");
    }
    EXPECT_EQ(gateway.Metric("rota_failovers_total"), 1);
    EXPECT_EQ(gateway.suspended(), 0u);
  }
}

TEST(EngineFailoverTest, SuspendsATargetThatKeepsFailing) {
  TestUpstream good(Always(Answer(200, "good")));
  TestUpstream broken(Always(Answer(500, "sorry")));
  TestGateway gateway(ChatApi({broken.port(), good.port()}));

  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }

  EXPECT_EQ(broken.requests().size(), 3u);
  EXPECT_EQ(gateway.suspended(), 1u);
  EXPECT_EQ(gateway.Metric("rota_suspensions_total", "reason=failures"), 1);
}

// While it exists no descriptor can be made; those that are open go on.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{3, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

TEST(EngineFailoverTest, WhatTheGatewayItselfLacksIsNoFailureOfTheTarget) {
  TestUpstream upstream(Always(Answer(200, "good", "connection: close\r\n")));
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);
  ASSERT_TRUE(wire.Send(ChatRequest()));
  ASSERT_EQ(reader.ReadMessage(true)->status(), 200);
  {
    const NoDescriptors lack;
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(wire.Send(ChatRequest()));
      const auto answer = reader.ReadMessage(true);
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->status(), 503);
      EXPECT_THAT(answer->body, HasSubstr("too_many_connections"));
      EXPECT_EQ(answer->Field("retry-after"), "1");
    }
  }
  EXPECT_EQ(gateway.suspended(), 0u);
  EXPECT_EQ(gateway.Metric("rota_limits_reached_total", "limit=connections"), 5);
  ASSERT_TRUE(wire.Send(ChatRequest()));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
}

TEST(EngineFailoverTest, AnAnswerToTheCredentialBeforeSuspendsNobody) {
  std::atomic<bool> may_answer = false;
  TestUpstream upstream([&may_answer](const Message&, Wire& wire) {
    return Eventually([&may_answer] { return may_answer.load(); }) &&
           wire.Send(Answer(429, kQuota, "retry-after: 600\r\n"));
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  std::future<std::optional<Message>> answer =
      std::async(std::launch::async, [port = gateway.port()] { return Ask(port, ChatRequest()); });
  ASSERT_TRUE(Eventually([&] { return upstream.requests().size() == 1; }));

  // As when the next configuration brings a new credential.
  gateway.registry().Lift("t0", RealClock().Now(), /*generation=*/1000);
  may_answer = true;

  EXPECT_EQ(answer.get()->status(), 429);
  EXPECT_EQ(gateway.suspended(), 0u);
  EXPECT_EQ(gateway.Metric("rota_suspensions_total"), 0);
}

TEST(EngineFailoverTest, DoesNotReplayOtherOperationsOnceTheyWereSent) {
  TestUpstream good(Always(Answer(200, "good")));
  TestUpstream broken(Always(Answer(500, "sorry")));
  TestGateway gateway(ChatApi({broken.port(), good.port()}));
  const std::string request =
      "POST /chat/1.0/other HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";

  std::multiset<int> statuses;
  for (int i = 0; i < 2; ++i) {
    statuses.insert(Ask(gateway.port(), request)->status());
  }

  EXPECT_EQ(statuses, (std::multiset<int>{200, 500}));
}

TEST(EngineFailoverTest, AServerErrorThatNamesATimeIsAServerErrorToo) {
  TestUpstream good(Always(Answer(200, "good")));
  TestUpstream busy(Always(Answer(503, "later", "retry-after: 30\r\n")));
  TestGateway gateway(ChatApi({busy.port(), good.port()}));
  const std::string request =
      "POST /chat/1.0/other HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";

  std::multiset<int> statuses;
  for (int i = 0; i < 2; ++i) {
    statuses.insert(Ask(gateway.port(), request)->status());
  }

  EXPECT_EQ(statuses, (std::multiset<int>{200, 503}));
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineFailoverTest, PassesTheLastAnswerOnWhenTriesAreUsedUp) {
  TestUpstream first(
      Always(Answer(429, kQuota, "x-which: 1\r\ncontent-type: application/json\r\n")));
  TestUpstream second(Always(Answer(500, "second", "x-which: 2\r\n")));
  TestGateway gateway(ChatApi({first.port(), second.port()}));

  const auto answer = Ask(gateway.port(), ChatRequest());

  EXPECT_EQ(first.requests().size() + second.requests().size(), 2u);
  EXPECT_EQ(answer->status(), answer->Field("x-which") == "1" ? 429 : 500);
  EXPECT_EQ(answer->body, answer->Field("x-which") == "1" ? kQuota : "second");
}

TEST(EngineFailoverTest, PassesASavedAnswerOnWhenTheLastTryGivesNone) {
  TestUpstream first(Always(Answer(500, "first", "x-which: 1\r\n")));
  TestGateway gateway(ChatApi({first.port(), ClosedPort()}, "attempts: 2"));

  for (int i = 0; i < 2; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest());
    EXPECT_EQ(answer->status(), 500);
    EXPECT_EQ(answer->body, "first");
    EXPECT_EQ(answer->Field("x-which"), "1");
  }
}

TEST(EngineFailoverTest, PassesALongSavedAnswerOnWhenTheLastTryGivesNone) {
  const std::string body(300'000, 'x');
  TestUpstream first(Always(Answer(500, body, "x-which: 1\r\n")));
  TestGateway gateway(ChatApi({first.port(), ClosedPort()}, "attempts: 2"));

  for (int i = 0; i < 2; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest());
    EXPECT_EQ(answer->status(), 500);
    EXPECT_EQ(answer->Field("x-which"), "1");
    EXPECT_TRUE(answer->complete);
    EXPECT_EQ(answer->body, body);
  }
}

TEST(EngineFailoverTest, PassesALongSavedAnswerOnWhenTheLastTryTakesTooLong) {
  const std::string body(300'000, 'x');
  TestUpstream first(Always(Answer(500, body)));
  TestUpstream silent([](const Message&, Wire& wire) { return !wire.Receive().empty(); });
  GatewayOptions options;
  options.limits.first_byte_time = std::chrono::milliseconds(200);
  TestGateway gateway(ChatApi({first.port(), silent.port()}, "attempts: 2"), options);

  std::multiset<int> statuses;
  for (int i = 0; i < 2; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest());
    EXPECT_TRUE(answer->complete);
    EXPECT_TRUE(answer->status() == 504 || answer->body == body);
    statuses.insert(answer->status());
  }
  // Of a request whose first try takes too long there is no second one.
  EXPECT_EQ(statuses, (std::multiset<int>{500, 504}));
}

TEST(EngineFailoverTest, KeepsNoConnectionOfAnAnswerThatIsNotNeeded) {
  TestUpstream first(Always(Answer(500, std::string(300'000, 'x'))));
  std::atomic<bool> may_end = false;
  TestUpstream good([&may_end](const Message&, Wire& wire) {
    return wire.Send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf") &&
           Eventually([&may_end] { return may_end.load(); }) && wire.Send("rest");
  });
  TestGateway gateway(ChatApi({first.port(), good.port()}));
  Wire client(Connect(gateway.port()));
  client.Send(ChatRequest());
  Reader reader(client);
  reader.ReadUntil("half");  // no id has these letters

  EXPECT_TRUE(Eventually([&first] { return first.open() == 0; }));
  may_end = true;
  EXPECT_EQ(reader.ReadUntil("rest"), "rest");
}

TEST(EngineFailoverTest, OfSeveralLongAnswersTheLastIsPassedOn) {
  std::atomic<int> asked = 0;
  const auto nth = [&asked](const Message&, Wire& wire) {
    return wire.Send(Answer(500, std::string(300'000, static_cast<char>('a' + asked++))));
  };
  TestUpstream first(nth);
  TestUpstream second(nth);
  TestGateway gateway(ChatApi({first.port(), second.port(), ClosedPort()}, "attempts: 3"));

  std::multiset<char> last;
  for (int i = 0; i < 3; ++i) {
    asked = 0;
    const auto answer = Ask(gateway.port(), ChatRequest());
    EXPECT_TRUE(answer->complete);
    last.insert(answer->body.empty() ? '-' : answer->body.front());
  }

  EXPECT_EQ(last, (std::multiset<char>{'b', 'b', 'b'}));
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_upstream_connections") <= 2; }));
}

TEST(EngineFailoverTest, AnswersConnectFailuresAndTimeouts) {
  TestGateway refused(ChatApi({ClosedPort()}));
  const auto unreachable = Ask(refused.port(), ChatRequest());
  EXPECT_EQ(unreachable->status(), 503);
  EXPECT_EQ(unreachable->Field("x-rota-error"), "102503");
  EXPECT_THAT(unreachable->body, Not(HasSubstr("127.0.0.1")));

  TestUpstream silent([](const Message&, Wire& wire) { return !wire.Receive().empty(); });
  TestUpstream good(Always(Answer(200, "good")));
  GatewayOptions options;
  options.limits.first_byte_time = std::chrono::milliseconds(200);
  TestGateway slow(ChatApi({silent.port(), good.port()}), options);
  std::multiset<int> statuses;
  for (int i = 0; i < 2; ++i) {
    statuses.insert(Ask(slow.port(), ChatRequest())->status());
  }
  // A time-out after the request was sent is not replayed.
  EXPECT_EQ(statuses, (std::multiset<int>{200, 504}));
}

TEST(EngineFailoverTest, LeavesTheClientsOwnErrorsAlone) {
  TestUpstream picky(Always(
      Answer(400, R"({"error":{"message":"bad","code":"invalid_request"}})", "x-which: 1\r\n")));
  TestGateway gateway(ChatApi({picky.port(), picky.port()}));

  const auto answer = Ask(gateway.port(), ChatRequest());

  EXPECT_EQ(answer->status(), 400);
  EXPECT_EQ(picky.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 0u);
}

constexpr std::string_view kTooLarge =
    R"({"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, )"
    R"(Requested 40000.","type":"tokens","code":"rate_limit_exceeded"}})";

// An upstream chooses from what the client accepts, which need not be what we like best.
TEST(EngineFailoverTest, SuspendsNobodyForOneLargeRequestWhateverTheAnswersCoding) {
  const std::pair<std::string, std::string> answers[] = {{"br", rota::testing::Brotli(kTooLarge)},
                                                         {"zstd", rota::testing::Zstd(kTooLarge)}};
  for (const auto& [coding, body] : answers) {
    TestUpstream upstream(Always(Answer(
        429, body, "content-encoding: " + coding + "\r\ncontent-type: application/json\r\n")));
    TestGateway gateway(ChatApi({upstream.port(), upstream.port()}));

    const auto answer = Ask(gateway.port(), ChatRequest());

    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 429) << coding;
    EXPECT_EQ(answer->Field("content-encoding"), coding);
    EXPECT_EQ(answer->body, body) << coding;
    EXPECT_EQ(upstream.requests().size(), 1u) << coding;
    EXPECT_EQ(gateway.suspended(), 0u) << coding;
  }
}

TEST(EngineFailoverTest, SuspendsForAQuotaCodeWhateverTheAnswersCoding) {
  TestUpstream used_up(
      Always(Answer(402, rota::testing::Brotli(R"({"error":{"code":"insufficient_quota"}})"),
                    "content-encoding: br\r\n")));
  TestUpstream good(Always(Answer(200, "good")));
  TestGateway gateway(ChatApi({used_up.port(), good.port()}));

  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }

  EXPECT_EQ(used_up.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineFailoverTest, SuspendsATargetWhoseCredentialIsRefused) {
  TestUpstream closed(Always(Answer(401, R"({"error":{"code":"invalid_api_key"}})")));
  TestUpstream good(Always(Answer(200, "good")));
  TestGateway gateway(ChatApi({closed.port(), good.port()}));

  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }

  EXPECT_EQ(closed.requests().size(), 1u);
  EXPECT_EQ(gateway.Metric("rota_suspensions_total", "reason=auth"), 1);
}

TEST(EngineFailoverTest, SuspendsAfterASuccessThatLeavesNothing) {
  TestUpstream last(Always(Answer(200, "last",
                                  "x-ratelimit-remaining-requests: 0\r\n"
                                  "x-ratelimit-reset-requests: 6m0s\r\n")));
  TestUpstream good(Always(Answer(200, "good")));
  TestGateway gateway(ChatApi({last.port(), good.port()}));

  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }

  EXPECT_EQ(last.requests().size(), 1u);
  EXPECT_EQ(good.requests().size(), 5u);
}

TEST(EngineFailoverTest, RejectsWithRetryAfterWhenEverythingIsSuspended) {
  TestUpstream used_up(Always(Answer(429, kQuota, "retry-after: 90\r\n")));
  TestGateway gateway(ChatApi({used_up.port()}));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 429);
  const auto rejected = Ask(gateway.port(), ChatRequest());

  EXPECT_EQ(rejected->status(), 429);
  EXPECT_EQ(rejected->Field("x-rota-error"), "rate_limit_exceeded");
  EXPECT_EQ(rejected->Field("retry-after"), "90");
  EXPECT_THAT(rejected->body, HasSubstr(R"("type":"rate_limit_exceeded")"));
  EXPECT_EQ(used_up.requests().size(), 1u);
}

TEST(EngineFailoverTest, PassesThroughToTheFirstEndpointIfConfigured) {
  TestUpstream used_up([](const Message& request, Wire& wire) {
    const bool is_own = absl::StrContains(request.body, "mine");
    return wire.Send(is_own ? Answer(200, "own") : Answer(429, kQuota, "retry-after: 90\r\n"));
  });
  TestGateway gateway(ChatApi({used_up.port()}, "on_all_suspended: PASS_THROUGH"));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest(R"({"model":"mine"})"))->status(), 429);
  const auto passed = Ask(gateway.port(), ChatRequest(R"({"model":"mine"})"));

  EXPECT_EQ(passed->status(), 200);
  EXPECT_EQ(used_up.requests().back().body, R"({"model":"mine"})");
}

TEST(EngineFailoverTest, HoldsRequestsUntilATargetReturns) {
  std::atomic<int> count{0};
  TestUpstream upstream([&count](const Message&, Wire& wire) {
    return wire.Send(count++ == 0 ? Answer(429, kQuota) : Answer(200, "good"));
  });
  std::string api =
      ChatApi({upstream.port()}, "on_all_suspended: WAIT wait_timeout { seconds: 10 }");
  const size_t at = api.find("quota_suspension { seconds: 60 }");
  api.replace(at, 32, "quota_suspension { seconds: 1 }");
  GatewayOptions options;
  options.loops = 2;
  TestGateway gateway(api, options);

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 429);
  std::atomic<int> good{0};
  std::vector<std::jthread> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back([&] {
      const auto answer = Ask(gateway.port(), ChatRequest());
      good += answer.has_value() && answer->status() == 200 ? 1 : 0;
    });
  }
  // One more comes and goes: its place in the queue is given up.
  {
    Wire leaver(Connect(gateway.port()));
    leaver.Send(ChatRequest());
  }
  clients.clear();

  EXPECT_EQ(good, 20);
  EXPECT_EQ(count, 21);
}

TEST(EngineFailoverTest, RejectsAtOnceWhenTheReturnIsTooFarAway) {
  TestUpstream used_up(Always(Answer(429, kQuota, "retry-after: 90\r\n")));
  TestGateway gateway(
      ChatApi({used_up.port()}, "on_all_suspended: WAIT wait_timeout { seconds: 5 }"));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 429);
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->Field("retry-after"), "90");
}

TEST(EngineFailoverTest, RefusesLocalUpstreamsUnlessAllowed) {
  TestUpstream upstream(Always(Answer(200, "good")));
  GatewayOptions options;
  options.allow_local = false;
  TestGateway gateway(ChatApi({upstream.port()}), options);
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 503);

  options.resolve = {{"api.example.com", 443, {"127.0.0.1", upstream.port()}}};
  std::string api = ChatApi({1});
  const std::string url = "http://127.0.0.1:1/v1";
  api.replace(api.find(url), url.size(), "http://api.example.com:443/v1");
  TestGateway overridden(api, options);
  EXPECT_EQ(Ask(overridden.port(), ChatRequest())->body, "good");
  EXPECT_EQ(upstream.requests().size(), 1u);
}

}  // namespace
}  // namespace rota::engine::testing
