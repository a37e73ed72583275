// Bad input on the wire: each gets a clear error (malformed framing: engine_framing_test.cc).

#include <string>

#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::HasSubstr;

const std::string kPost = "POST /chat/1.0/chat/completions HTTP/1.1\r\n";

class EngineInputTest : public ::testing::Test {
 protected:
  static GatewayOptions ShortLimits() {
    GatewayOptions options;
    options.limits.head_time = std::chrono::milliseconds(300);
    options.limits.body_read_time = std::chrono::milliseconds(300);
    options.limits.keep_alive_time = std::chrono::milliseconds(300);
    options.limits.head_bytes = 8192;
    options.limits.body_bytes = 100000;
    return options;
  }
  EngineInputTest()
      : upstream_(Always(Answer(200, "{}"))),
        gateway_(ChatApi({upstream_.port()}), ShortLimits()) {}

  TestUpstream upstream_;
  TestGateway gateway_;
};

TEST_F(EngineInputTest, AnswersWrongBodiesAndGoesOn) {
  const struct {
    const char* body;
    const char* message;
  } cases[] = {{"", "empty"},
               {"nonsense", "not JSON"},
               {"[1]", "object"},
               {"{\"model\":\"a\",\"model\":\"b\"}", "twice"},
               {"{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "twice"},
               {"{\"model\":7}", "string"},
               {"{\"model\":\"a\"", "JSON"}};
  Wire wire(Connect(gateway_.port()));
  Reader reader(wire);
  for (const auto& bad : cases) {
    wire.Send(ChatRequest(bad.body));
    const auto answer = reader.ReadMessage(true);
    ASSERT_TRUE(answer.has_value()) << bad.body;
    EXPECT_EQ(answer->status(), 400) << bad.body;
    EXPECT_EQ(answer->Field("x-rota-error"), "bad_request_body") << bad.body;
  }
  wire.Send(ChatRequest("{}"));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(upstream_.requests().at(0).body, "{\"model\":\"m0\"}");
}

TEST_F(EngineInputTest, AnswersPathsMethodsAndAuthentication) {
  const auto ask = [this](const std::string& line, const std::string& host = "a") {
    return Ask(gateway_.port(), absl::StrCat(line, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n"));
  };
  EXPECT_EQ(ask("GET /chat/1.0/nothing")->status(), 404);
  const auto wrong_method = ask("DELETE /chat/1.0/chat/completions");
  EXPECT_EQ(wrong_method->status(), 405);
  EXPECT_THAT(wrong_method->Field("allow"), HasSubstr("POST"));
  EXPECT_EQ(ask("GET /chat/1.0/files/a%2Fb")->status(), 400);
  EXPECT_EQ(ask("GET /chat/1.0/files/../../../../x")->status(), 400);
  EXPECT_EQ(ask("POST /chat/1.0/chat/completions", "sandbox.example.com")->status(), 404);
  // The authority of an absolute target overrides Host.
  EXPECT_EQ(ask("GET http://sandbox.a/chat/1.0/models", "a")->status(), 404);
  EXPECT_EQ(ask("GET http://a/chat/1.0/models", "sandbox.a")->status(), 200);

  GatewayOptions strict;
  strict.allow_unauthenticated = false;
  std::string api = ChatApi({upstream_.port()});
  TestGateway closed(api, strict);
  const auto refused = Ask(closed.port(), "GET /chat/1.0/closed HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(refused->status(), 403);
  EXPECT_EQ(refused->Field("x-rota-error"), "AUTH_NOT_ENFORCED");
}

TEST_F(EngineInputTest, RefusesCompressedBodiesOfARotation) {
  const auto answer = Ask(gateway_.port(), ChatRequest("{}", "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(answer->status(), 415);
}

TEST_F(EngineInputTest, LimitsHeadAndBodySizes) {
  const auto big_head =
      Ask(gateway_.port(),
          absl::StrCat("GET / HTTP/1.1\r\nHost: a\r\nX-A: ", std::string(9000, 'x'), "\r\n\r\n"));
  EXPECT_EQ(big_head->status(), 431);
  // Never ending: refused while it is being sent.
  Wire endless(Connect(gateway_.port()));
  endless.Send("GET / HTTP/1.1\r\nX-A: " + std::string(9000, 'x'));
  EXPECT_EQ(Reader(endless).ReadMessage(true)->status(), 431);

  const auto by_length =
      Ask(gateway_.port(), absl::StrCat(kPost, "Host: a\r\nContent-Length: 100001\r\n\r\n"));
  EXPECT_EQ(by_length->status(), 413);
  const std::string chunk = "8000\r\n" + std::string(0x8000, 'x') + "\r\n";
  const auto by_count =
      Ask(gateway_.port(), absl::StrCat(kPost, "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                                        chunk, chunk, chunk, chunk, "0\r\n\r\n"));
  ASSERT_TRUE(by_count.has_value());
  EXPECT_EQ(by_count->status(), 413);
}

TEST_F(EngineInputTest, AnApiMayTakeSmallerBodiesThanTheGatewayNotLargerOnes) {
  const auto status_at = [&](std::string_view api_limit, size_t size) {
    GatewayOptions options;
    options.limits.body_bytes = 2000;
    TestGateway gateway(
        absl::StrCat(ChatApi({upstream_.port()}), " max_body_bytes: ", std::string(api_limit)),
        options);
    const std::string user(size, 'x');
    return Ask(gateway.port(), ChatRequest(absl::StrCat("{\"user\":\"", user, "\"}")))->status();
  };
  EXPECT_EQ(status_at("1000", 1000), 413);
  EXPECT_EQ(status_at("1000", 500), 200);
  EXPECT_EQ(status_at("9000", 1500), 200);
  EXPECT_EQ(status_at("9000", 2000), 413);
  EXPECT_EQ(status_at("0", 1500), 200);
}

TEST_F(EngineInputTest, EndsSlowHeadsAndBodies) {
  Wire slow_head(Connect(gateway_.port()));
  slow_head.Send("GET / HTTP/1.1\r\nHos");
  EXPECT_EQ(Reader(slow_head).ReadMessage(true)->status(), 408);
  Wire slow_body(Connect(gateway_.port()));
  slow_body.Send(absl::StrCat(kPost, "Host: a\r\nContent-Length: 10\r\n\r\n{"));
  EXPECT_EQ(Reader(slow_body).ReadMessage(true)->status(), 408);
  Wire silent(Connect(gateway_.port()));
  EXPECT_EQ(Reader(silent).ReadToEnd(), "");
  Wire idle(Connect(gateway_.port()));
  Reader reader(idle);
  idle.Send(ChatRequest("{}"));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(reader.ReadToEnd(), "");
}

TEST_F(EngineInputTest, ServesOthersWhileManyAreSlow) {
  std::vector<std::unique_ptr<Wire>> slow;
  for (int i = 0; i < 500; ++i) {
    slow.push_back(std::make_unique<Wire>(Connect(gateway_.port())));
    slow.back()->Send("GET / HTTP/1.1\r\nX");
  }
  EXPECT_EQ(Ask(gateway_.port(), ChatRequest("{}"))->status(), 200);
}

TEST_F(EngineInputTest, AsksForTheBodyThatIsExpected) {
  Wire wire(Connect(gateway_.port()));
  Reader reader(wire);
  wire.Send(absl::StrCat(kPost, "Host: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 100);
  wire.Send("{}");
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(upstream_.requests().at(0).Field("expect"), "");
}

TEST_F(EngineInputTest, AnswersTooManyRequestsAndBodies) {
  GatewayOptions options;
  options.limits.requests_per_loop = 1;
  std::atomic<bool> release{false};
  TestUpstream slow([&release](const Message&, Wire& wire) {
    EXPECT_TRUE(Eventually([&release] { return release.load(); }));
    return wire.Send(Answer(200, "{}"));
  });
  TestGateway small(ChatApi({slow.port()}), options);
  Wire first(Connect(small.port()));
  first.Send(ChatRequest("{}"));
  ASSERT_TRUE(Eventually([&slow] { return slow.requests().size() == 1; }));
  const auto second = Ask(small.port(), ChatRequest("{}"));
  EXPECT_EQ(second->status(), 503);
  EXPECT_EQ(second->Field("retry-after"), "1");
  release = true;
  EXPECT_EQ(Reader(first).ReadMessage(true)->status(), 200);

  options.limits.requests_per_loop = 0;
  options.limits.held_body_bytes = 1000;
  TestGateway poor(ChatApi({upstream_.port()}), options);
  const auto too_much = Ask(poor.port(), ChatRequest("{\"a\":\"" + std::string(2000, 'x') + "\"}"));
  EXPECT_EQ(too_much->status(), 503);
  EXPECT_EQ(too_much->Field("retry-after"), "1");
  EXPECT_EQ(Ask(poor.port(), ChatRequest("{}"))->status(), 200);
}

// Every event waits for longer than a nanosecond.
TEST_F(EngineInputTest, RefusesOneOfTwentyWhileEventsWaitTooLong) {
  GatewayOptions options;
  options.limits.queue_wait = std::chrono::nanoseconds(1);
  TestGateway gateway(ChatApi({upstream_.port()}), options);
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);
  size_t served = 0;
  std::optional<Message> answer;
  const bool refused = Eventually([&] {
    wire.Send(ChatRequest("{}"));
    answer = reader.ReadMessage(true);
    served += answer.has_value() && answer->status() == 200 ? 1 : 0;
    return !answer.has_value() || answer->status() != 200;
  });

  ASSERT_TRUE(refused && answer.has_value());
  EXPECT_EQ(answer->status(), 503);
  EXPECT_EQ(answer->Field("x-rota-error"), "overloaded");
  EXPECT_EQ(answer->Field("retry-after"), "1");
  EXPECT_GE(served, 19u);
  EXPECT_EQ(gateway.Metric("rota_limits_reached_total", "limit=queue_wait"), 1);
  // The connection stays, and what comes next is served.
  wire.Send(ChatRequest("{}"));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
}

}  // namespace
}  // namespace rota::engine::testing
