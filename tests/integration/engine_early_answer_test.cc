// Upstreams that answer before they have the whole request, or do not take it.

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

constexpr auto kBehindTheHead = TestUpstream::Asks::kBehindTheHead;
// Far less than the limits below, and far more than a loaded machine needs.
constexpr Duration kSoon = std::chrono::seconds(10);
constexpr std::string_view kEnd = "the end\"}";

// More than sockets hold: the gateway is still writing when the answer comes.
const std::string& LargeBody() {
  static const std::string body =
      absl::StrCat(R"({"model":"x","a":")", std::string(16 << 20, 'x'), std::string(kEnd));
  return body;
}

std::string LargePost() {
  return absl::StrCat("POST /chat/1.0/files/x HTTP/1.1\r\nHost: a\r\nContent-Length: ",
                      LargeBody().size(), "\r\n\r\n", LargeBody());
}

// A client that sends from a thread of its own: the gateway need not take all of it.
class Client {
 public:
  Client(uint16_t port, std::string request)
      : start_(clock_.Now()),
        wire_(Connect(port)),
        sender_([this, request = std::move(request)] { wire_.Send(request); }) {}
  std::optional<Message> Read() { return Reader(wire_).ReadMessage(/*is_response=*/true); }
  Duration elapsed() const { return clock_.Now() - start_; }

 private:
  RealClock clock_;
  MonotonicTime start_;
  Wire wire_;
  std::jthread sender_;
};

// Sends `bytes` behind the head of a request and reads nothing more of it, until `released`.
TestUpstream::Handler DeafAfter(std::string bytes, const std::atomic<bool>& released) {
  return [bytes = std::move(bytes), &released](const Message&, Wire& wire) {
    wire.Send(bytes);
    EXPECT_TRUE(Eventually([&released] { return released.load(); }, 2 * kPatience));
    return false;
  };
}

GatewayOptions StalledFor(Duration body_read_time) {
  GatewayOptions options;
  options.limits.body_read_time = body_read_time;
  return options;
}

constexpr Duration kLong = std::chrono::minutes(5);

TEST(EngineEarlyAnswerTest, PassesARefusalOnWhileTheBodyIsBeingSent) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
  const std::string large(40'000, 'e');  // more than one read
  const struct {
    const char* name;
    std::string answer;
    std::string body;
  } cases[] = {
      {"small", Answer(413, "too much"), "too much"},
      {"and closing", Answer(413, "too much", "connection: close\r\n"), "too much"},
      {"large", Answer(413, large), large},
      {"chunked", "HTTP/1.1 429 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
       "no"},
      {"behind interim answers", interim + Answer(500, "no"), "no"},
      {"with a large head", Answer(400, "no", absl::StrCat("a: ", std::string(9000, 'b'), "\r\n")),
       "no"},
  };
  for (const auto& early : cases) {
    SCOPED_TRACE(early.name);
    std::atomic<bool> answered{false};
    TestUpstream upstream(DeafAfter(early.answer, answered), nullptr, kBehindTheHead);
    TestGateway gateway(ChatApi({upstream.port()}), StalledFor(kLong));
    Client client(gateway.port(), LargePost());
    const auto answer = client.Read();
    EXPECT_LT(client.elapsed(), kSoon);
    EXPECT_TRUE(Eventually([&] { return gateway.engine().open_requests() == 0; }));
    answered = true;
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), std::atoi(early.answer.c_str() + early.answer.rfind("HTTP/") + 9));
    EXPECT_TRUE(answer->complete);
    EXPECT_EQ(answer->body, early.body);
  }
}

TEST(EngineEarlyAnswerTest, PassesARefusalOverTlsOn) {
  const TestCertificates certificates("api.example.com");
  std::atomic<bool> answered{false};
  TestUpstream upstream(DeafAfter(Answer(413, std::string(40'000, 'e')), answered),
                        certificates.server_context(), kBehindTheHead);
  GatewayOptions options = Trusting(certificates, "api.example.com", upstream.port());
  options.limits.body_read_time = kLong;
  TestGateway gateway(TlsApi("api.example.com", upstream.port()), options);
  Client client(gateway.port(), LargePost());
  const auto answer = client.Read();
  EXPECT_LT(client.elapsed(), kSoon);
  answered = true;
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 413);
  EXPECT_EQ(answer->body.size(), 40'000u);
}

TEST(EngineEarlyAnswerTest, FailsOverAtOnce) {
  std::atomic<bool> answered{false};
  TestUpstream used_up(DeafAfter(Answer(429, R"({"error":{"code":"rate_limit_exceeded"}})",
                                        "content-type: application/json\r\n"),
                                 answered),
                       nullptr, kBehindTheHead);
  TestUpstream good([](const Message& request, Wire& wire) {
    return wire.Send(Answer(200, absl::StrCat(absl::EndsWith(request.body, std::string(kEnd)))));
  });
  TestGateway gateway(ChatApi({used_up.port(), good.port()}), StalledFor(kLong));
  for (int i = 0; i < 2; ++i) {  // whichever is picked first
    Client client(gateway.port(), ChatRequest(LargeBody()));
    const auto answer = client.Read();
    EXPECT_LT(client.elapsed(), kSoon);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->body, "1") << "the whole body was sent";
  }
  answered = true;
  EXPECT_EQ(used_up.accepted(), 1u);
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineEarlyAnswerTest, GoesOnSendingToWhoAnswersWhileItReads) {
  TestUpstream upstream(
      [](const Message&, Wire& wire) {
        wire.Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        std::string piece;
        do {
          piece = wire.Receive();
        } while (!piece.empty() && !absl::EndsWith(piece, std::string(kEnd)));
        return !piece.empty() && wire.Send("ok");
      },
      nullptr, kBehindTheHead);
  TestGateway gateway(ChatApi({upstream.port()}));
  Client client(gateway.port(), LargePost());
  const auto answer = client.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(answer->body, "ok");
}

TEST(EngineEarlyAnswerTest, PassesOnWhatHasComeWhenTheBodyIsNotTakenInTime) {
  std::atomic<bool> answered{false};
  const std::string large(40'000, 'e');  // more than one read
  TestUpstream upstream(DeafAfter(Answer(200, large), answered), nullptr, kBehindTheHead);
  TestGateway gateway(ChatApi({upstream.port()}), StalledFor(std::chrono::milliseconds(300)));
  Client client(gateway.port(), LargePost());
  const auto answer = client.Read();
  answered = true;
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_TRUE(answer->complete);
  EXPECT_EQ(answer->body, large);
}

TEST(EngineEarlyAnswerTest, DoesNotWaitForAnAnswerFromWhoTakesNothing) {
  std::atomic<bool> answered{false};
  TestUpstream upstream(DeafAfter("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", answered), nullptr,
                        kBehindTheHead);
  GatewayOptions options = StalledFor(std::chrono::milliseconds(300));
  options.limits.first_byte_time = kLong;
  TestGateway gateway(ChatApi({upstream.port()}), options);
  Client client(gateway.port(), LargePost());
  const auto answer = client.Read();
  answered = true;
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 504);
  EXPECT_EQ(answer->Field("x-rota-error"), "102504");
}

TEST(EngineEarlyAnswerTest, StopsSendingToWhoHasHungUpOrSaysWhatIsNoAnswer) {
  const struct {
    const char* name;
    std::string bytes;
    bool hangs_up;
    int status;
  } cases[] = {
      {"hangs up", "", true, 503},
      {"hangs up in its head", "HTTP/1.1 413 T", true, 502},
      {"redirects and hangs up", "HTTP/1.1 307 T\r\ncontent-length: 2\r\n\r\nno", true, 307},
      {"no HTTP", "SSH-2.0-x\r\n\r\n", false, 502},
      {"an endless head", absl::StrCat("HTTP/1.1 413 T\r\na: ", std::string(1 << 20, 'b')), false,
       502},
      {"other protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, 502},
  };
  for (const auto& early : cases) {
    SCOPED_TRACE(early.name);
    std::atomic<bool> answered{false};
    TestUpstream upstream(
        [&](const Message& request, Wire& wire) {
          if (early.hangs_up) {
            wire.Send(early.bytes);
            wire.CloseSending();
          }
          return DeafAfter(early.hangs_up ? "" : early.bytes, answered)(request, wire);
        },
        nullptr, kBehindTheHead);
    TestGateway gateway(ChatApi({upstream.port()}), StalledFor(kLong));
    Client client(gateway.port(), LargePost());
    const auto answer = client.Read();
    EXPECT_LT(client.elapsed(), kSoon);
    answered = true;
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), early.status);
  }
}

TEST(EngineEarlyAnswerTest, LetsGoOfWhatIsBeingSentWhenTheClientLeaves) {
  for (const std::string& bytes : {std::string(), std::string("HTTP/1.1 200 OK\r\n\r\n12")}) {
    std::atomic<bool> asked{false};
    std::atomic<bool> released{false};
    TestUpstream upstream(
        [&](const Message& request, Wire& wire) {
          asked = true;
          return DeafAfter(bytes, released)(request, wire);
        },
        nullptr, kBehindTheHead);
    TestGateway gateway(ChatApi({upstream.port()}), StalledFor(kLong));
    {
      Wire client(Connect(gateway.port()));
      client.Send(LargePost());  // all of it: the gateway takes a whole request before it asks
      ASSERT_TRUE(Eventually([&asked] { return asked.load(); }));
    }
    EXPECT_TRUE(Eventually([&] { return gateway.engine().open_requests() == 0; }, kSoon));
    released = true;
  }
}

}  // namespace
}  // namespace rota::engine::testing
