// The request path end to end: what reaches the upstream, what comes back.

#include <linux/filter.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EngineProxyTest, ForwardsAChatRequestWithThePickedModelAndTheEndpointsCredential) {
  TestUpstream upstream(
      Always(Answer(200, R"({"ok":true})", "content-type: application/json\r\n")));
  TestGateway gateway(ChatApi({upstream.port()}));

  const auto answer = Ask(
      gateway.port(),
      ChatRequest(R"({ "n" : 1.50, "model":"mine" , "z":[1]})",
                  "Authorization: Bearer mine\r\nCookie: a=b\r\nX-Api-Key: k\r\nx-amz-date: d\r\n"
                  "OpenAI-Organization: o\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\n"
                  "X-Custom: kept\r\nTE: trailers\r\n"));

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(answer->body, R"({"ok":true})");
  EXPECT_EQ(answer->Field("x-rota-model"), "m0");
  const Message seen = upstream.requests().at(0);
  EXPECT_EQ(seen.start, "POST /v1/chat/completions HTTP/1.1");
  EXPECT_EQ(seen.body, R"({ "n" : 1.50, "model":"m0" , "z":[1]})");
  EXPECT_EQ(seen.Field("authorization"), "Bearer sk-secret");
  EXPECT_EQ(seen.Field("host"), absl::StrCat("127.0.0.1:", upstream.port()));
  EXPECT_EQ(seen.Field("x-custom"), "kept");
  EXPECT_EQ(seen.Field("x-request-id").size(), 32u);
  for (const char* name :
       {"cookie", "x-api-key", "x-amz-date", "openai-organization", "x-hop", "te", "connection"}) {
    EXPECT_EQ(seen.Field(name), "") << name;
  }
  EXPECT_THAT(seen.head, Not(HasSubstr("mine")));
}

TEST(EngineProxyTest, KeepsConnectionsToClientAndUpstreamAlive) {
  TestUpstream upstream(Always(Answer(200, "{}")));
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);

  for (int i = 0; i < 20; ++i) {
    wire.Send(ChatRequest());
    const auto answer = reader.ReadMessage(true);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
  }

  EXPECT_EQ(upstream.requests().size(), 20u);
  EXPECT_EQ(upstream.accepted(), 1u);
}

TEST(EngineProxyTest, SharesExactlyOverTheModels) {
  TestUpstream upstream(Always(Answer(200, "{}")));
  TestGateway gateway(ChatApi({upstream.port(), upstream.port(), upstream.port()}));
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);

  for (int i = 0; i < 99; ++i) {
    wire.Send(ChatRequest());
    ASSERT_TRUE(reader.ReadMessage(true).has_value());
  }

  std::map<std::string, int> count;
  for (const Message& request : upstream.requests()) {
    ++count[request.body];
  }
  EXPECT_EQ(count.size(), 3u);
  for (const auto& [body, times] : count) {
    EXPECT_EQ(times, 33) << body;
  }
}

TEST(EngineProxyTest, AnswersPipelinedRequestsInOrder) {
  TestUpstream upstream([](const Message& request, Wire& wire) {
    return wire.Send(Answer(200, request.Field("x-number")));
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);

  std::string requests;
  for (int i = 0; i < 10; ++i) {
    requests += ChatRequest("{}", absl::StrCat("x-number: ", i, "\r\n"));
  }
  wire.Send(requests);

  for (int i = 0; i < 10; ++i) {
    const auto answer = reader.ReadMessage(true);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->body, std::to_string(i));
  }
}

TEST(EngineProxyTest, TakesChunkedAndLargeBodiesPieceByPiece) {
  TestUpstream upstream([](const Message& request, Wire& wire) {
    return wire.Send(Answer(200, std::to_string(request.body.size())));
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  const std::string text(3 << 20, 'x');
  const std::string body = absl::StrCat(R"({"model":"m0","t":")", text, "\"}");
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);

  wire.Send(ChatRequest(body));
  const auto by_length = reader.ReadMessage(true);
  wire.Send(
      "POST /chat/1.0/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (size_t at = 0; at < body.size(); at += 100000) {
    const std::string piece = body.substr(at, 100000);
    char size[16];
    std::snprintf(size, sizeof(size), "%zX;ext=1\r\n", piece.size());
    wire.Send(absl::StrCat(size, piece, "\r\n"));
  }
  wire.Send("0\r\nTrailer: x\r\n\r\n");
  const auto by_chunks = reader.ReadMessage(true);

  ASSERT_TRUE(by_length.has_value() && by_chunks.has_value());
  EXPECT_EQ(by_length->body, std::to_string(body.size()));
  EXPECT_EQ(by_chunks->body, std::to_string(body.size()));
}

TEST(EngineProxyTest, SendsOtherRequestsToTheFirstEndpointAsTheyCame) {
  TestUpstream first(Always(Answer(200, "first")));
  TestUpstream second(Always(Answer(200, "second")));
  TestGateway gateway(ChatApi({first.port(), second.port()}));

  for (int i = 0; i < 3; ++i) {
    const auto answer = Ask(gateway.port(),
                            "GET /chat/1.0/files/a%20b/c?x=1&api_key=mine&y=%2F HTTP/1.1\r\n"
                            "Host: a\r\n\r\n");
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->body, "first");
    EXPECT_EQ(answer->Field("x-rota-model"), "");
  }
  EXPECT_EQ(first.requests().at(0).start, "GET /v1/files/a%20b/c?x=1&y=%2F HTTP/1.1");
  const auto form = Ask(gateway.port(),
                        "POST /chat/1.0/files/x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
                        "Content-Length: 3\r\n\r\nabc");
  ASSERT_TRUE(form.has_value());
  EXPECT_EQ(first.requests().back().body, "abc");
}

TEST(EngineProxyTest, AnswersModelsFromTheRotation) {
  TestUpstream upstream(Always(Answer(500, "")));
  TestGateway gateway(ChatApi({upstream.port(), upstream.port()}));

  const auto answer = Ask(gateway.port(), "GET /chat/1.0/models HTTP/1.1\r\nHost: a\r\n\r\n");

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(
      answer->body,
      R"({"object":"list","data":[{"id":"m0","object":"model","created":0,"owned_by":"openai"},)"
      R"({"id":"m1","object":"model","created":0,"owned_by":"openai"}]})");
  EXPECT_TRUE(upstream.requests().empty());
}

TEST(EngineProxyTest, RelaysEveryFramingOfAnAnswer) {
  std::mutex mutex;
  std::string raw;  // guarded by `mutex`
  const auto answer_with = [&](std::string bytes) {
    std::lock_guard guard(mutex);
    raw = std::move(bytes);
  };
  TestUpstream upstream([&](const Message&, Wire& wire) {
    std::unique_lock lock(mutex);
    const std::string bytes = raw;
    lock.unlock();
    wire.Send(bytes);
    return !absl::StrContains(bytes, "close");
  });
  TestGateway gateway(ChatApi({upstream.port()}));

  answer_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" +
              Answer(200, "abc"));
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->body, "abc");
  answer_with(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: "
      "1\r\n\r\n");
  const auto chunked = Ask(gateway.port(), ChatRequest());
  EXPECT_EQ(chunked->body, "abcde");
  EXPECT_TRUE(chunked->complete);
  answer_with("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
  const auto until_close = Ask(gateway.port(), ChatRequest());
  EXPECT_EQ(until_close->body, "until the end");
  EXPECT_EQ(until_close->Field("transfer-encoding"), "chunked");
  answer_with("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 204);
  answer_with(
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nset-cookie: a\r\nalt-svc: h3\r\nx-kept: 1\r\n\r\n");
  const auto head = Ask(gateway.port(), "HEAD /chat/1.0/files/x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(head->Field("content-length"), "5");
  EXPECT_EQ(head->Field("set-cookie"), "");
  EXPECT_EQ(head->Field("alt-svc"), "");
  EXPECT_EQ(head->Field("x-kept"), "1");
  answer_with(
      "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: "
      "0\r\n\r\n");
  const auto redirect = Ask(gateway.port(), ChatRequest());
  EXPECT_EQ(redirect->status(), 307);
  EXPECT_EQ(redirect->Field("location"), "http://127.0.0.1:1/");
}

TEST(EngineProxyTest, SpeaksHttp10) {
  TestUpstream upstream(
      Always("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire wire(Connect(gateway.port()));

  wire.Send("POST /chat/1.0/chat/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
  const std::string all = Reader(wire).ReadToEnd();

  EXPECT_THAT(all, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
  EXPECT_TRUE(all.ends_with("\r\n\r\nabc"));
}

TEST(EngineProxyTest, TriesAgainOnAFreshConnectionWhenAnIdleOneHasDied) {
  std::atomic<int> count{0};
  TestUpstream upstream([&count](const Message&, Wire& wire) {
    // The second request of a connection is dropped without an answer.
    if (count++ == 1) {
      return false;
    }
    return wire.Send(Answer(200, "{}"));
  });
  TestGateway gateway(ChatApi({upstream.port()}, "attempts: 1"));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);

  EXPECT_EQ(upstream.accepted(), 2u);
}

std::string FilesRequest(std::string_view method) {
  return absl::StrCat(std::string(method),
                      " /chat/1.0/files/x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
                      "Content-Length: 3\r\n\r\nabc");
}

TEST(EngineProxyTest, RepeatsWhatAnUpstreamReadAndDiedOfOnlyIfThatDoesNoHarm) {
  const struct {
    std::string request;
    int status;
    size_t delivered;
    bool is_reset = false;
  } cases[] = {
      {FilesRequest("POST"), 503, 1}, {FilesRequest("POST"), 503, 1, /*is_reset=*/true},
      {FilesRequest("PUT"), 200, 2},  {"GET /chat/1.0/files/x HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2},
      {ChatRequest(), 200, 2},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.request);
    std::atomic<int> count{0};
    TestUpstream upstream([&](const Message&, Wire& wire) {
      // The second request of a connection is read, and then the connection closed.
      if (count++ != 1) {
        return wire.Send(Answer(200, "{}"));
      }
      if (one.is_reset) {
        wire.Reset();
      }
      return false;
    });
    TestGateway gateway(ChatApi({upstream.port()}, "attempts: 1"));
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);

    const auto answer = Ask(gateway.port(), one.request);

    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), one.status);
    EXPECT_EQ(answer->Field("x-rota-error"), one.status == 503 ? "102503" : "");
    EXPECT_EQ(upstream.requests().size(), 1 + one.delivered);
  }
}

// From now on the system drops what comes for this connection, as if it were on its way.
void DropWhatComes(const Wire& wire) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &nothing};
  EXPECT_EQ(
      ::setsockopt(wire.descriptor(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

TEST(EngineProxyTest, RepeatsAnythingThatCrossedWithTheEndOfAnIdleConnection) {
  const TestCertificates certificates("api.example.com");
  for (const bool is_tls : {false, true}) {
    std::atomic<bool> is_idle{false};
    std::atomic<bool> is_asked{false};
    TestUpstream upstream(
        [&](const Message& request, Wire& wire) {
          const bool is_first = absl::StrContains(request.start, "/chat/");
          if (!is_first) {
            return wire.Send(Answer(200, request.body));
          }
          wire.Send(Answer(200, "{}"));
          EXPECT_TRUE(Eventually([&is_idle] { return is_idle.load(); }));
          DropWhatComes(wire);
          is_idle = false;
          EXPECT_TRUE(Eventually([&is_asked] { return is_asked.load(); }));
          return false;
        },
        is_tls ? certificates.server_context() : nullptr);
    const uint16_t port = upstream.port();
    TestGateway gateway(
        is_tls ? TlsApi("api.example.com", port) : ChatApi({port}),
        is_tls ? Trusting(certificates, "api.example.com", port) : GatewayOptions());
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
    EXPECT_TRUE(Eventually([&] { return gateway.engine().open_requests() == 0; }));
    is_idle = true;
    EXPECT_TRUE(Eventually([&is_idle] { return !is_idle; }));

    Wire client(Connect(gateway.port()));
    client.Send(FilesRequest("POST"));
    EXPECT_TRUE(Eventually([&] { return gateway.engine().open_requests() == 1; }));
    is_asked = true;
    const auto answer = Reader(client).ReadMessage(true);

    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->body, "abc");
    EXPECT_EQ(upstream.requests().size(), 2u);
  }
}

TEST(EngineProxyTest, KeepsSoManyIdleConnectionsAndNoMore) {
  constexpr int kRequests = 12;
  std::atomic<int> asked = 0;
  const auto together = [&asked](const Message&, Wire& wire) {
    ++asked;
    return Eventually([&asked] { return asked == kRequests; }) && wire.Send(Answer(200, "good"));
  };
  TestUpstream first(together);
  TestUpstream second(together);
  TestUpstream third(together);
  GatewayOptions options;
  options.limits.idle_upstream_per_endpoint = 3;
  options.limits.idle_upstream_per_loop = 5;
  TestGateway gateway(ChatApi({first.port(), second.port(), third.port()}), options);

  std::vector<std::future<std::optional<Message>>> answers;
  for (int i = 0; i < kRequests; ++i) {
    answers.push_back(
        std::async(std::launch::async, [&gateway] { return Ask(gateway.port(), ChatRequest()); }));
  }
  for (std::future<std::optional<Message>>& answer : answers) {
    EXPECT_EQ(answer.get()->status(), 200);
  }

  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_upstream_connections") == 5; }))
      << gateway.Metric("rota_upstream_connections");
}

TEST(EngineProxyTest, CountsRequestsTokensAndTimes) {
  TestUpstream upstream(
      Always(Answer(200, R"({"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}})",
                    "content-type: application/json\r\n")));
  TestGateway gateway(ChatApi({upstream.port()}));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  EXPECT_EQ(Ask(gateway.port(), "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")->status(), 404);

  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_requests_total", "code=200") == 1; }));
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_tokens_total", "kind=prompt") == 7; }));
  EXPECT_EQ(gateway.Metric("rota_tokens_total", "kind=completion"), 5);
  EXPECT_EQ(gateway.Metric("rota_overhead_seconds"), 1);
  EXPECT_EQ(gateway.Metric("rota_upstream_seconds"), 1);
}

TEST(EngineProxyTest, ServesOnSeveralLoops) {
  TestUpstream upstream(Always(Answer(200, "{}")));
  GatewayOptions options;
  options.loops = 2;
  TestGateway gateway(ChatApi({upstream.port(), upstream.port()}), options);

  std::vector<std::jthread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int n = 0; n < 25; ++n) {
        const auto answer = Ask(gateway.port(), ChatRequest());
        good += answer.has_value() && answer->status() == 200 ? 1 : 0;
      }
    });
  }
  clients.clear();

  EXPECT_EQ(good, 200);
}

}  // namespace
}  // namespace rota::engine::testing
