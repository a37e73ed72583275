// Streams: every piece at once, clear ends, backpressure, clients that leave.

#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kEvents =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

std::string Chunk(std::string_view data) {
  char size[16];
  std::snprintf(size, sizeof(size), "%zx\r\n", data.size());
  return absl::StrCat(size, std::string(data), "\r\n");
}

TEST(EngineStreamTest, PassesEachEventOnAtOnce) {
  std::atomic<int> allowed{0};
  TestUpstream upstream([&allowed](const Message&, Wire& wire) {
    wire.Send(kEvents);
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(Eventually([&] { return allowed > i; }));
      wire.Send(Chunk(absl::StrCat("data: {\"n\":", i, "}\n\n")));
    }
    return wire.Send(Chunk("data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n") +
                     Chunk("data: [DONE]\n\n") + "0\r\n\r\n");
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);
  wire.Send(ChatRequest());

  allowed = 1;
  EXPECT_THAT(reader.ReadUntil("\r\n\r\n"), HasSubstr("text/event-stream"));
  for (int i = 0; i < 5; ++i) {
    allowed = i + 1;
    EXPECT_THAT(reader.ReadUntil("\n\n"), HasSubstr(absl::StrCat("{\"n\":", i, "}")));
  }
  EXPECT_THAT(reader.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]\n\n"));
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_tokens_total") == 7; }));
  EXPECT_EQ(gateway.Metric("rota_time_to_first_token_seconds"), 1);

  wire.Send(ChatRequest());
  EXPECT_THAT(reader.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]\n\n"));
  EXPECT_EQ(upstream.accepted(), 1u);
}

TEST(EngineStreamTest, EndsACutStreamWithAnErrorEvent) {
  const std::string half = "data: {\"n\":1}\n\ndata: {\"half\":";
  const struct {
    const char* name;
    std::string answer;
  } cases[] = {
      {"connection closed", absl::StrCat(kEvents, Chunk(half))},
      {"malformed chunk", absl::StrCat(kEvents, Chunk(half), "zz\r\n")},
      {"proper end without [DONE]",
       absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n"), "0\r\n\r\n")},
      {"short length",
       "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n" + half},
      {"until close",
       "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"n\":1}\n\n"},
      {"proper end within an event", absl::StrCat(kEvents, Chunk(half), "0\r\n\r\n")},
      {"until close, within an event",
       "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + half},
  };
  for (const auto& cut : cases) {
    TestUpstream upstream([&cut](const Message&, Wire& wire) {
      wire.Send(cut.answer);
      return false;
    });
    TestGateway gateway(ChatApi({upstream.port()}));
    Wire wire(Connect(gateway.port()));
    wire.Send(ChatRequest());
    const auto answer = Reader(wire).ReadMessage(true);
    ASSERT_TRUE(answer.has_value()) << cut.name;
    EXPECT_TRUE(answer->complete) << cut.name;
    EXPECT_THAT(answer->body, HasSubstr("data: {\"n\":1}\n\ndata: {\"error\":{\"message\":"))
        << cut.name;
    EXPECT_THAT(answer->body, Not(HasSubstr("half"))) << cut.name;
    EXPECT_THAT(answer->body, Not(HasSubstr("[DONE]"))) << cut.name;
    EXPECT_THAT(answer->body, EndsWith("}}\n\n")) << cut.name;
    EXPECT_EQ(Reader(wire).ReadToEnd(), "") << cut.name;
  }
}

// Such an event is passed on in parts: the error must not become a part of it.
TEST(EngineStreamTest, TheErrorBehindAHugeEventThatWasCutIsAnEventOfItsOwn) {
  const std::string huge = "data: " + std::string(100 << 10, 'x');
  TestUpstream upstream([&huge](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n"), Chunk(huge)));
    return false;
  });
  TestGateway gateway(ChatApi({upstream.port()}));

  const auto answer = Ask(gateway.port(), ChatRequest());

  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->complete);
  EXPECT_THAT(answer->body, HasSubstr("x\n\ndata: {\"error\":{\"message\":"));
}

TEST(EngineStreamTest, AnEndWithoutAnEmptyLineIsAnEnd) {
  const std::string events = "data: {\"n\":1}\n\ndata: [DONE]\n";
  TestUpstream upstream([&events](const Message&, Wire& wire) {
    return wire.Send(absl::StrCat(kEvents, Chunk(events), "0\r\n\r\n"));
  });
  TestGateway gateway(ChatApi({upstream.port()}));

  const auto answer = Ask(gateway.port(), ChatRequest());

  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->complete);
  EXPECT_EQ(answer->body, events);
}

TEST(EngineStreamTest, SuspendsATargetWhoseStreamReportsAQuotaAndAddsNoErrorOfItsOwn) {
  const std::string error =
      "data: {\"error\":{\"message\":\"used up\",\"code\":\"insufficient_quota\"}}\n\n";
  TestUpstream upstream([&error](const Message&, Wire& wire) {
    return wire.Send(
        absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n"), Chunk(error), "0\r\n\r\n"));
  });
  TestGateway gateway(ChatApi({upstream.port()}));

  const auto answer = Ask(gateway.port(), ChatRequest());

  EXPECT_EQ(answer->body, "data: {\"n\":1}\n\n" + error);
  EXPECT_TRUE(Eventually([&] { return gateway.suspended() == 1; }));
}

TEST(EngineStreamTest, FailsOverAStreamThatBeginsWithAnError) {
  const struct {
    const char* name;
    std::string body;
    size_t suspended;
  } cases[] = {
      {"quota", "data: {\"error\":{\"message\":\"no\",\"code\":\"insufficient_quota\"}}\n\n", 1},
      {"named event",
       "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", 1},
      {"behind an event that came with it",
       "data: {\"n\":0}\n\ndata: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n", 1},
      {"server error", "data: {\"error\":{\"message\":\"oops\",\"type\":\"server_error\"}}\n\n", 0},
      {"spaces", "data: { \"error\" : {\"code\":\"insufficient_quota\"}}\n\n", 1},
      {"type with spaces",
       "data: {\"type\": \"error\", \"error\": {\"type\": \"rate_limit_error\"}}\n\n", 1},
      {"OpenRouter",
       "data: "
       "{\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"error\":{\"code\":429,\"message\":"
       "\"x\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]"
       "}"
       "\n\n",
       1},
      {"Google", "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n", 0},
      {"long",
       "data: {\"error\":{\"message\":\"" + std::string(20'000, 'x') +
           "\",\"code\":\"insufficient_quota\"}}\n\n",
       1},
  };
  for (const auto& error : cases) {
    TestUpstream first([&error](const Message&, Wire& wire) {
      return wire.Send(absl::StrCat(kEvents, Chunk(error.body), "0\r\n\r\n"));
    });
    TestUpstream second([](const Message&, Wire& wire) {
      return wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n"),
                                    Chunk("data: [DONE]\n\n"), "0\r\n\r\n"));
    });
    TestGateway gateway(ChatApi({first.port(), second.port()}));
    for (int i = 0; i < 2; ++i) {  // whichever is picked first
      const auto answer = Ask(gateway.port(), ChatRequest());
      ASSERT_TRUE(answer.has_value()) << error.name;
      EXPECT_EQ(answer->body, "data: {\"n\":1}\n\ndata: [DONE]\n\n") << error.name;
    }
    EXPECT_EQ(first.requests().size(), 1u) << error.name;
    EXPECT_EQ(gateway.suspended(), error.suspended) << error.name;
    EXPECT_EQ(gateway.Metric("rota_failovers_total"), 1) << error.name;
  }
}

TEST(EngineStreamTest, ARequestThatIsTooLargeSuspendsNobodyInAStreamEither) {
  const std::string error =
      "data: {\"error\":{\"message\":\"Request too large for m: Limit 30000, Requested 40000.\","
      "\"code\":\"rate_limit_exceeded\"}}\n\n";
  TestUpstream upstream([&error](const Message&, Wire& wire) {
    return wire.Send(absl::StrCat(kEvents, Chunk(error), "0\r\n\r\n"));
  });
  TestGateway gateway(ChatApi({upstream.port(), upstream.port()}));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->body, error);
  EXPECT_EQ(upstream.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 0u);
}

TEST(EngineStreamTest, WhatTheHeadSaysHoldsWhateverTheStreamBeginsWith) {
  for (const std::string_view code : {"rate_limit_exceeded", "server_error"}) {
    TestUpstream upstream([code](const Message&, Wire& wire) {
      return wire.Send(absl::StrCat(
          "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
          "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n\r\n",
          Chunk(absl::StrCat("data: {\"error\":{\"code\":\"", std::string(code), "\"}}\n\n")),
          "0\r\n\r\n"));
    });
    TestGateway gateway(ChatApi({upstream.port()}));

    Ask(gateway.port(), ChatRequest());

    EXPECT_GT(gateway.SuspendedFor("t0"), std::chrono::seconds(300)) << code;
    EXPECT_EQ(gateway.Metric("rota_suspensions_total"), 1) << code;
  }
}

// RFC 9110 8.3.1
TEST(EngineStreamTest, KnowsAStreamWhoseTypeIsWrittenInCapitals) {
  const std::string head =
      "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\ntransfer-encoding: chunked\r\n\r\n";
  TestUpstream first([&head](const Message&, Wire& wire) {
    return wire.Send(absl::StrCat(
        head, Chunk("data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n"), "0\r\n\r\n"));
  });
  TestUpstream second([&head](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(head, Chunk("data: {\"n\":1}\n\n")));
    return false;
  });
  TestGateway gateway(ChatApi({first.port(), second.port()}));
  for (int i = 0; i < 2; ++i) {  // whichever is picked first
    const auto answer = Ask(gateway.port(), ChatRequest());
    ASSERT_TRUE(answer.has_value());
    EXPECT_THAT(answer->body, HasSubstr("data: {\"n\":1}\n\ndata: {\"error\":{\"message\":"))
        << "it is cut, and says so";
    EXPECT_TRUE(answer->complete);
  }
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineStreamTest, FailsOverAStreamThatEndsBeforeItsFirstEvent) {
  for (const std::string& cut : {kEvents, kEvents + Chunk("data: {\"ha"), kEvents + "zz\r\n",
                                 kEvents + "0\r\n\r\n", kEvents + Chunk("\n\n") + "0\r\n\r\n"}) {
    TestUpstream first([&cut](const Message&, Wire& wire) {
      wire.Send(cut);
      return false;
    });
    TestUpstream second(Always(Answer(200, "{}", "content-type: application/json\r\n")));
    TestGateway gateway(ChatApi({first.port(), second.port()}));
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Ask(gateway.port(), ChatRequest())->body, "{}") << cut;
    }
    EXPECT_EQ(first.requests().size(), 1u) << cut;
  }
}

TEST(EngineStreamTest, PassesTheErrorOfTheLastTryOnAndSuspendsOnce) {
  const std::string error = "data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n";
  TestUpstream upstream([&error](const Message&, Wire& wire) {
    return wire.Send(absl::StrCat(kEvents, Chunk(error), "0\r\n\r\n"));
  });
  TestUpstream refuses([](const Message&, Wire&) { return false; });
  TestGateway gateway(ChatApi({upstream.port(), refuses.port()}));
  const auto answer = Ask(gateway.port(), ChatRequest());
  EXPECT_EQ(answer->body, error);
  EXPECT_TRUE(answer->complete);
  EXPECT_EQ(gateway.Metric("rota_suspensions_total"), 1);
}

TEST(EngineStreamTest, ReleasesTheHeadWithACommentLineOrAfterTheTime) {
  std::atomic<bool> go_on{false};
  for (const std::string& comment : {std::string(": PROCESSING\n"), std::string()}) {
    go_on = false;
    TestUpstream upstream([&](const Message&, Wire& wire) {
      wire.Send(comment.empty() ? kEvents : kEvents + Chunk(comment));
      EXPECT_TRUE(Eventually([&go_on] { return go_on.load(); }));
      return wire.Send(Chunk("\ndata: [DONE]\n\n") + "0\r\n\r\n");
    });
    GatewayOptions options;
    options.limits.first_event_time =
        comment.empty() ? std::chrono::milliseconds(100) : std::chrono::milliseconds(60'000);
    TestGateway gateway(ChatApi({upstream.port()}), options);
    Wire wire(Connect(gateway.port()));
    Reader reader(wire);
    wire.Send(ChatRequest());
    EXPECT_THAT(reader.ReadUntil("\r\n\r\n"), HasSubstr("text/event-stream"));
    go_on = true;
    EXPECT_THAT(reader.ReadUntil("0\r\n\r\n"), HasSubstr("data: [DONE]\n\n"));
  }
}

TEST(EngineStreamTest, HoldsNoRequestBodyWhileItStreams) {
  std::atomic<bool> go_on{false};
  TestUpstream upstream([&go_on](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n")));
    EXPECT_TRUE(Eventually([&go_on] { return go_on.load(); }));
    return wire.Send(Chunk("data: [DONE]\n\n") + "0\r\n\r\n");
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  const std::string large =
      absl::StrCat("{\"model\":\"x\",\"messages\":[\"", std::string(100'000, 'x'), "\"]}");
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);
  for (const std::string& body : {std::string(R"({"model":"x","messages":[]})"), large}) {
    go_on = false;
    wire.Send(ChatRequest(body));
    reader.ReadUntil("data: {\"n\":1}\n\n");
    EXPECT_EQ(gateway.Metric("rota_held_body_bytes"), 0);
    wire.Send(ChatRequest());  // pipelined behind the stream
    go_on = true;
    reader.ReadUntil("0\r\n\r\n");
    EXPECT_THAT(reader.ReadUntil("0\r\n\r\n"), HasSubstr("data: {\"n\":1}\n\n"));
  }
}

TEST(EngineStreamTest, EndsAStalledStreamWithAnErrorEvent) {
  TestUpstream upstream([](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n")));
    return !wire.Receive().empty();  // until the gateway hangs up
  });
  GatewayOptions options;
  options.limits.between_chunks_time = std::chrono::milliseconds(200);
  TestGateway gateway(ChatApi({upstream.port()}), options);
  const auto answer = Ask(gateway.port(), ChatRequest());
  EXPECT_THAT(answer->body, HasSubstr("102504"));
  EXPECT_TRUE(Eventually([&] { return upstream.open() == 0; }));
}

TEST(EngineStreamTest, NeverCompletesACutAnswer) {
  const std::string cuts[] = {
      "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
  };
  for (const std::string& cut : cuts) {
    TestUpstream upstream([&cut](const Message&, Wire& wire) {
      wire.Send(cut);
      return false;
    });
    TestGateway gateway(ChatApi({upstream.port()}));
    const auto answer = Ask(gateway.port(), ChatRequest());
    EXPECT_TRUE(!answer.has_value() || !answer->complete) << cut;
  }
}

TEST(EngineStreamTest, HangsUpOnASilentUpstreamWhenTheClientLeaves) {
  TestUpstream upstream([](const Message&, Wire& wire) { return !wire.Receive().empty(); });
  TestGateway gateway(ChatApi({upstream.port()}));
  for (const bool half_closes : {false, true}) {
    Wire* client = new Wire(Connect(gateway.port()));
    client->Send(ChatRequest());
    ASSERT_TRUE(
        Eventually([&] { return upstream.open() == 1 && gateway.engine().open_requests() == 1; }));
    if (half_closes) {
      client->CloseSending();
    } else {
      delete client;
    }
    EXPECT_TRUE(Eventually([&] { return upstream.open() == 0; }, std::chrono::seconds(1)));
    EXPECT_TRUE(Eventually([&] { return gateway.engine().open_requests() == 0; }));
    if (half_closes) {
      delete client;
    }
  }
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_requests_total", "code=499") == 2; }));
}

TEST(EngineStreamTest, HangsUpInTheMiddleOfAStreamWhenTheClientLeaves) {
  TestUpstream upstream([](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n")));
    return !wire.Receive().empty();
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  {
    Wire client(Connect(gateway.port()));
    client.Send(ChatRequest());
    Reader(client).ReadUntil("data: {\"n\":1}\n\n");
  }
  EXPECT_TRUE(Eventually([&] { return upstream.open() == 0; }, std::chrono::seconds(1)));
}

TEST(EngineStreamTest, DoesNotReadFasterThanTheClientTakes) {
  std::atomic<size_t> sent{0};
  const std::string piece(64 << 10, 'x');
  constexpr size_t kPieces = 1600;  // 100 MiB
  TestUpstream upstream([&](const Message&, Wire& wire) {
    wire.Send(
        absl::StrCat("HTTP/1.1 200 OK\r\ncontent-length: ", piece.size() * kPieces, "\r\n\r\n"));
    for (size_t i = 0; i < kPieces; ++i) {
      if (!wire.Send(piece)) {
        return false;
      }
      sent += piece.size();
    }
    return true;
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire client(Connect(gateway.port()));
  client.Send(ChatRequest());
  // Sockets buffer some megabytes; then the upstream stands still.
  size_t before = 1;
  EXPECT_TRUE(Eventually([&] {
    const size_t now = sent;
    const bool stands = now > 0 && now == before;
    before = now;
    ::poll(nullptr, 0, 100);
    return stands;
  }));
  EXPECT_LT(sent, size_t{40} << 20);
  const auto answer = Reader(client).ReadMessage(true);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body.size(), piece.size() * kPieces);
}

TEST(EngineStreamTest, GivesASlowClientItsTimeWhateverAnUpstreamHas) {
  // More than sockets hold, so that the gateway waits for the client, for longer than an upstream
  // may be silent.
  constexpr size_t kSize = size_t{32} << 20;
  const std::string event = absl::StrCat("data: \"", std::string(60'000, 'x'), "\"\n\n");
  std::string events;
  while (events.size() < kSize) {
    events += event;
  }
  events += "data: [DONE]\n\n";
  const struct {
    const char* name;
    std::string answer;
    std::string end;
  } cases[] = {
      {"a body", Answer(200, std::string(kSize, 'x') + "the end"), "the end"},
      {"a stream", Answer(200, events, "content-type: text/event-stream\r\n"),
       "data: [DONE]\n\n\r\n0\r\n\r\n"},
  };
  for (const auto& large : cases) {
    SCOPED_TRACE(large.name);
    TestUpstream upstream(Always(large.answer));
    GatewayOptions options;
    options.limits.between_chunks_time = std::chrono::milliseconds(200);
    TestGateway gateway(ChatApi({upstream.port()}), options);
    Wire client(Connect(gateway.port()));
    client.Send(ChatRequest("{}", "Connection: close\r\n"));
    Eventually([] { return false; }, std::chrono::milliseconds(1000));
    const std::string answer = Reader(client).ReadToEnd();
    EXPECT_GT(answer.size(), kSize);
    EXPECT_EQ(answer.substr(answer.size() - std::min(answer.size(), large.end.size())), large.end);
  }
}

TEST(EngineStreamTest, LosesNoneOfAThousandStreams) {
  constexpr size_t kStreams = 1000;
  constexpr int kRounds = 5;
  // The upstream writes all streams from one thread, once every one of them has begun.
  std::mutex mutex;
  std::vector<int> open;
  TestUpstream upstream([&](const Message&, Wire& wire) {
    wire.Send(kEvents);
    const int descriptor = ::dup(wire.descriptor());
    std::lock_guard guard(mutex);
    open.push_back(descriptor);
    return true;
  });
  GatewayOptions options;
  options.loops = 2;
  TestGateway gateway(ChatApi({upstream.port()}), options);
  std::vector<std::unique_ptr<Wire>> clients;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Wire>(Connect(gateway.port())));
    clients.back()->Send(ChatRequest());
  }
  ASSERT_TRUE(Eventually([&] {
    std::lock_guard guard(mutex);
    return open.size() == kStreams;
  }));
  EXPECT_EQ(gateway.engine().open_requests(), kStreams);
  for (int round = 0; round < kRounds; ++round) {
    for (const int descriptor : open) {
      const std::string event = Chunk(absl::StrCat("data: {\"n\":", round, "}\n\n"));
      ASSERT_EQ(::send(descriptor, event.data(), event.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(event.size()));
    }
  }
  for (const int descriptor : open) {
    const std::string end = Chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    ::send(descriptor, end.data(), end.size(), MSG_NOSIGNAL);
    ::close(descriptor);
  }
  size_t whole = 0;
  for (const auto& client : clients) {
    const auto answer = Reader(*client).ReadMessage(true);
    std::string expected;
    for (int round = 0; round < kRounds; ++round) {
      absl::StrAppend(&expected, "data: {\"n\":", round, "}\n\n");
    }
    whole += answer.has_value() && answer->complete && answer->body == expected + "data: [DONE]\n\n"
                 ? 1
                 : 0;
  }
  EXPECT_EQ(whole, kStreams);
}

TEST(EngineStreamTest, DrainsOpenStreamsToTheirEnd) {
  std::atomic<bool> finish{false};
  TestUpstream upstream([&finish](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(kEvents, Chunk("data: {\"n\":1}\n\n")));
    EXPECT_TRUE(Eventually([&finish] { return finish.load(); }));
    return wire.Send(Chunk("data: [DONE]\n\n") + "0\r\n\r\n");
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire idle(Connect(gateway.port()));
  Wire client(Connect(gateway.port()));
  Reader reader(client);
  client.Send(ChatRequest());
  reader.ReadUntil("data: {\"n\":1}\n\n");
  size_t cut = 99;
  std::jthread drain([&] { cut = gateway.engine().Drain(std::chrono::seconds(10)); });
  // An idle connection is closed, the stream goes on.
  EXPECT_EQ(Reader(idle).ReadToEnd(), "");
  finish = true;
  EXPECT_THAT(reader.ReadToEnd(), HasSubstr("[DONE]"));
  drain.join();
  EXPECT_EQ(cut, 0u);
}

TEST(EngineStreamTest, CutsWhatIsLeftWhenTheDrainTimeIsOver) {
  TestUpstream upstream([](const Message&, Wire& wire) { return !wire.Receive().empty(); });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire client(Connect(gateway.port()));
  client.Send(ChatRequest());
  ASSERT_TRUE(Eventually([&] { return upstream.open() == 1; }));
  EXPECT_EQ(gateway.engine().Drain(std::chrono::milliseconds(100)), 1u);
  EXPECT_EQ(Reader(client).ReadToEnd(), "");
}

// Stops the first thread that asks for the time after Hold(), until it is destroyed or let go.
class HoldingClock final : public Clock {
 public:
  ~HoldingClock() override { LetGo(); }
  void Hold() { holds_ = true; }
  void AwaitHeld() { held_.wait(false); }
  // How often others have asked meanwhile.
  int asked() const { return asked_; }
  void LetGo() {
    may_go_ = true;
    may_go_.notify_all();
  }
  MonotonicTime Now() const override {
    if (holds_.exchange(false)) {
      held_ = true;
      held_.notify_all();
      may_go_.wait(false);
    }
    ++asked_;
    return real_.Now();
  }
  WallTime WallNow() const override { return real_.WallNow(); }
  void WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& condition,
                 MonotonicTime deadline, std::stop_token stop) override {
    real_.WaitUntil(lock, condition, deadline, stop);
  }

 private:
  RealClock real_;
  mutable std::atomic<bool> holds_{false};
  mutable std::atomic<bool> held_{false};
  mutable std::atomic<int> asked_{0};
  std::atomic<bool> may_go_{false};
};

TEST(EngineStreamTest, RequestsThatHaveComeAreAnsweredWhenADrainBegins) {
  constexpr size_t kClients = 40;  // more than a loop begins in one turn
  TestUpstream upstream(Always(Answer(200, "good")));
  HoldingClock clock;
  GatewayOptions options;
  options.clock = &clock;
  options.limits.queue_wait = Duration::zero();
  TestGateway gateway(ChatApi({upstream.port()}), options);
  std::vector<std::unique_ptr<Wire>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Wire>(Connect(gateway.port())));
    clients.back()->Send(ChatRequest());
    ASSERT_EQ(Reader(*clients.back()).ReadMessage(true)->status(), 200);
  }
  ASSERT_TRUE(Eventually([&] { return gateway.Metric("rota_open_requests") == 0; }));

  // The loop has been woken for one of them when the others come, and the drain.
  clock.Hold();
  clients[0]->Send(ChatRequest());
  clock.AwaitHeld();
  for (size_t i = 1; i < kClients; ++i) {
    clients[i]->Send(ChatRequest());
  }
  size_t cut = 99;
  const int asked = clock.asked();
  std::jthread drain([&] { cut = gateway.engine().Drain(std::chrono::seconds(10)); });
  ASSERT_TRUE(Eventually([&] { return clock.asked() > asked; })) << "it waits for the loops";
  clock.LetGo();

  for (const auto& client : clients) {
    const auto answer = Reader(*client).ReadMessage(true);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->Field("connection"), "close");
  }
  drain.join();
  EXPECT_EQ(cut, 0u);
}

TEST(EngineStreamTest, AnAnswerThatEndsWithTheConnectionDoesNotLookWholeWhenItIsCut) {
  TestUpstream upstream([](const Message&, Wire& wire) {
    wire.Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + Chunk("half"));
    return !wire.Receive().empty();
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  Wire client(Connect(gateway.port()));
  client.Send("GET /chat/1.0/files/a HTTP/1.0\r\nhost: a\r\n\r\n");
  Reader reader(client);
  ASSERT_THAT(reader.ReadUntil("half"), HasSubstr("half"));

  EXPECT_EQ(gateway.engine().Drain(std::chrono::milliseconds(100)), 1u);

  char next = 0;
  EXPECT_EQ(::recv(client.descriptor(), &next, 1, 0), -1) << "not as if it were the end";
}

}  // namespace
}  // namespace rota::engine::testing
