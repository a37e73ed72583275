// Upstreams and clients that fail in every phase: the right answer, everything given back, and no
// effect on another client of the same loop.

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

using ::testing::HasSubstr;

const std::string kGood = "GET /chat/1.0/files/good HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kFaulty = "GET /chat/1.0/files/faulty HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kPost = "POST /chat/1.0/files/faulty HTTP/1.1\r\nHost: a\r\n";

GatewayOptions ShortLimits() {
  GatewayOptions options;
  options.limits.head_time = std::chrono::milliseconds(600);
  options.limits.body_read_time = std::chrono::milliseconds(600);
  options.limits.first_byte_time = std::chrono::milliseconds(600);
  options.limits.between_chunks_time = std::chrono::milliseconds(600);
  return options;
}

// Answers well what asks for /good, and as the test says what does not.
TestUpstream::Handler GoodOr(TestUpstream::Handler faulty) {
  return [faulty = std::move(faulty)](const Message& request, Wire& wire) {
    if (absl::StrContains(request.start, "/good ")) {
      return wire.Send(Answer(200, "good"));
    }
    return faulty(request, wire);
  };
}

void ExpectGood(uint16_t port) {
  const auto answer = Ask(port, kGood);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(answer->body, "good");
}

// Every request has ended and no connection but idle ones is left.
void ExpectAllGivenBack(TestGateway& gateway, size_t clients = 0) {
  EXPECT_TRUE(Eventually([&] {
    return gateway.engine().open_requests() == 0 &&
           gateway.Metric("rota_open_connections") == static_cast<double>(clients);
  }));
}

struct Fault {
  const char* name;
  TestUpstream::Handler handler;
  int status;         // that the client sees
  const char* error;  // x-rota-error; "" when the answer is the upstream's
  const char* body;   // of an answer that is the upstream's, as far as it comes
  bool is_complete = true;
};

bool Reset(Wire& wire) {
  wire.Reset();
  return false;
}

// One byte at a time, until the gateway has had enough.
bool SendSlowly(Wire& wire, std::string_view bytes) {
  for (const char c : bytes) {
    if (Eventually([&] { return false; }, std::chrono::milliseconds(20)) || !wire.Send({&c, 1})) {
      return false;
    }
  }
  return true;
}

std::string Head(std::string_view fields) {
  return absl::StrCat("HTTP/1.1 200 OK\r\n", std::string(fields), "\r\n");
}

std::vector<Fault> Faults() {
  const auto send = [](std::string bytes, bool keeps_open = false) -> TestUpstream::Handler {
    return [bytes = std::move(bytes), keeps_open](const Message&, Wire& wire) {
      wire.Send(bytes);
      return keeps_open;
    };
  };
  const auto send_and_reset = [](std::string bytes) -> TestUpstream::Handler {
    return [bytes = std::move(bytes)](const Message&, Wire& wire) {
      wire.Send(bytes);
      return Reset(wire);
    };
  };
  const auto send_and_stall = [](std::string bytes) -> TestUpstream::Handler {
    return [bytes = std::move(bytes)](const Message&, Wire& wire) {
      wire.Send(bytes);
      return !wire.Receive().empty();  // until the gateway hangs up
    };
  };
  const std::string chunked = Head("transfer-encoding: chunked\r\n");
  const std::string length = Head("content-length: 10\r\n");
  return {
      {"closes before its answer", send(""), 503, "102503", ""},
      {"resets before its answer", send_and_reset(""), 503, "102503", ""},
      {"closes in its head", send("HTTP/1.1 200 OK\r\nconte"), 502, "upstream_malformed", ""},
      {"never answers", send_and_stall(""), 504, "102504", ""},
      {"stops in its head", send_and_stall("HTTP/1.1 200 OK\r\nconte"), 504, "102504", ""},
      {"stops behind an interim answer", send_and_stall("HTTP/1.1 100 Continue\r\n\r\n"), 504,
       "102504", ""},
      {"sends its head byte by byte",
       [](const Message&, Wire& wire) {
         return SendSlowly(wire, Head("x-a: bbbbbbbbbbbbbbbbbbbb\r\ncontent-length: 0\r\n"));
       },
       504, "102504", ""},
      {"sends its body byte by byte",
       [](const Message&, Wire& wire) {
         wire.Send(Head("content-length: 15\r\n"));
         return SendSlowly(wire, "slow but steady");
       },
       200, "", "slow but steady"},
      {"closes after its head", send(length), 200, "", "", false},
      {"resets after its head", send_and_reset(length), 200, "", "", false},
      {"closes in its body: too few bytes", send(length + "12345"), 200, "", "12345", false},
      {"sends too many bytes", send(length + "1234567890ABC", true), 200, "", "1234567890"},
      {"closes after a chunked head", send(chunked), 200, "", "", false},
      {"closes between chunks", send(chunked + "2\r\n12\r\n"), 200, "", "12", false},
      {"closes in the last chunk", send(chunked + "2\r\n12\r\n0\r\n"), 200, "", "12", false},
      {"sends a malformed chunk", send(chunked + "2\r\n12\r\nzz\r\n", true), 200, "", "12", false},
      {"sends a trailer without a colon", send(chunked + "2\r\n12\r\n0\r\nab\r\n\r\n", true), 200,
       "", "12", false},
      {"stalls in its body", send_and_stall(length + "12345"), 200, "", "12345", false},
      {"stalls between chunks", send_and_stall(chunked + "2\r\n12\r\n"), 200, "", "12", false},
      {"closes properly without a length", send(Head("") + "12"), 200, "", "12"},
      {"speaks HTTP/1.0", send("HTTP/1.0 200 OK\r\n\r\n12"), 200, "", "12"},
      {"sends trailers", send(chunked + "2\r\n12\r\n0\r\na: b\r\n\r\n", true), 200, "", "12"},
      {"sends interim answers",
       send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" +
                Head("content-length: 2\r\n") + "12",
            true),
       200, "", "12"},
      {"sends a head of 10 MiB", send(Head("a: " + std::string(10 << 20, 'b') + "\r\n")), 502,
       "upstream_malformed", ""},
      {"sends compressed bytes",
       send(Head("content-encoding: br\r\ncontent-length: 3\r\n") + "\x8b\xff\x03", true), 200, "",
       "\x8b\xff\x03"},
  };
}

TEST(EngineFaultTest, AnswersForEveryFaultOfAnUpstreamAndServesOthersMeanwhile) {
  for (const Fault& fault : Faults()) {
    SCOPED_TRACE(fault.name);
    TestUpstream upstream(GoodOr(fault.handler));
    TestGateway gateway(ChatApi({upstream.port()}), ShortLimits());
    {
      Wire faulty(Connect(gateway.port()));
      Reader reader(faulty);
      faulty.Send(kFaulty);
      ExpectGood(gateway.port());
      const auto answer = reader.ReadMessage(true);
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->status(), fault.status);
      EXPECT_EQ(answer->Field("x-rota-error"), fault.error);
      EXPECT_EQ(answer->complete, fault.is_complete);
      if (*fault.error == '\0') {
        EXPECT_EQ(answer->body, fault.body);
      }
      if (fault.is_complete) {
        faulty.Send(kGood);  // on the same connection
        const auto next = reader.ReadMessage(true);
        ASSERT_TRUE(next.has_value());
        EXPECT_EQ(next->body, "good");
      } else {
        const std::string rest = reader.ReadToEnd();
        EXPECT_FALSE(absl::EndsWith(rest, "0\r\n\r\n")) << "what is cut must not look complete";
      }
      ExpectGood(gateway.port());
    }
    ExpectAllGivenBack(gateway);
  }
}

TEST(EngineFaultTest, AnswersForAnUpstreamThatRefuses) {
  uint16_t closed_port = 0;
  {
    TestUpstream gone(Always(Answer(200, "")));
    closed_port = gone.port();
  }
  TestGateway gateway(ChatApi({closed_port}));
  const auto answer = Ask(gateway.port(), kFaulty);
  EXPECT_EQ(answer->status(), 503);
  EXPECT_EQ(answer->Field("x-rota-error"), "102503");
  ExpectAllGivenBack(gateway);
}

TEST(EngineFaultTest, HonoursAcceptEncodingEndToEnd) {
  TestUpstream upstream([](const Message& request, Wire& wire) {
    return wire.Send(
        Answer(200, request.Field("accept-encoding"), "content-encoding: br\r\nvary: a\r\n"));
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  const auto answer = Ask(gateway.port(), ChatRequest("{}", "Accept-Encoding: br, zstd;q=0.5\r\n"));
  EXPECT_EQ(answer->body, "br, zstd;q=0.5");
  EXPECT_EQ(answer->Field("content-encoding"), "br");
  EXPECT_EQ(answer->Field("vary"), "a");
  EXPECT_EQ(Ask(gateway.port(), ChatRequest("{}"))->body, "")
      << "nothing is asked for that nobody wants";
}

// --- Clients

enum class Leaves { kCloses, kResets, kHalfCloses };

void Leave(std::unique_ptr<Wire>& wire, Leaves how) {
  switch (how) {
    case Leaves::kCloses:
      wire.reset();
      break;
    case Leaves::kResets:
      wire->Reset();
      wire.reset();
      break;
    case Leaves::kHalfCloses:
      wire->CloseSending();
      break;
  }
}

constexpr Leaves kAllWays[] = {Leaves::kCloses, Leaves::kResets, Leaves::kHalfCloses};

TEST(EngineFaultTest, ForwardsNothingOfAClientThatLeavesBeforeItsRequestIsWhole) {
  const struct {
    const char* name;
    std::string bytes;
  } phases[] = {
      {"before a byte", ""},
      {"in its head", kPost + "X-A: b"},
      {"behind its head", kPost + "Content-Length: 10\r\n\r\n"},
      {"in its body", kPost + "Content-Length: 10\r\n\r\n12345"},
      {"in a large body", kPost + "Content-Length: 10000000\r\n\r\n" + std::string(1 << 20, 'x')},
      {"in a chunk", kPost + "Transfer-Encoding: chunked\r\n\r\n5\r\n123"},
      {"between chunks", kPost + "Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n"},
      {"before the end of the trailers",
       kPost + "Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\na: b\r\n"},
      {"waiting for 100", kPost + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"},
  };
  TestUpstream upstream(GoodOr(Always(Answer(200, "faulty"))));
  TestGateway gateway(ChatApi({upstream.port()}));
  for (const auto& phase : phases) {
    for (const Leaves how : kAllWays) {
      SCOPED_TRACE(absl::StrCat(phase.name, ", way ", static_cast<int>(how)));
      auto leaving = std::make_unique<Wire>(Connect(gateway.port()));
      leaving->Send(phase.bytes);
      Leave(leaving, how);
      ExpectGood(gateway.port());
      ExpectAllGivenBack(gateway);
    }
  }
  for (const Message& request : upstream.requests()) {
    EXPECT_THAT(request.start, HasSubstr("/good "));
  }
}

// A client whose request has reached its upstream, which has sent `answer` and sends no more.
class Unfinished {
 public:
  explicit Unfinished(std::string answer)
      : upstream_(GoodOr([this, answer = std::move(answer)](const Message&, Wire& wire) {
          wire.Send(answer);
          asked_ = true;
          cancelled_ = wire.Receive().empty();
          return false;
        })),
        gateway_(ChatApi({upstream_.port()})),
        client_(std::make_unique<Wire>(Connect(gateway_.port()))) {
    client_->Send(kFaulty);
    EXPECT_TRUE(Eventually([this] { return asked_.load(); }));
  }
  TestGateway& gateway() { return gateway_; }
  std::unique_ptr<Wire>& client() { return client_; }
  // The upstream's connection has ended, and nothing is left of the request.
  void ExpectCancelled() {
    EXPECT_TRUE(Eventually([this] { return cancelled_.load(); }));
    ExpectGood(gateway_.port());
    ExpectAllGivenBack(gateway_);
  }

 private:
  std::atomic<bool> asked_{false};
  std::atomic<bool> cancelled_{false};
  TestUpstream upstream_;
  TestGateway gateway_;
  std::unique_ptr<Wire> client_;
};

TEST(EngineFaultTest, CancelsTheUpstreamRequestOfAClientThatLeaves) {
  const std::string stream =
      Head("content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n");
  const struct {
    const char* name;
    std::string answer;  // what the upstream has sent by then
    std::string mark;    // what the client has read by then
  } phases[] = {
      {"waiting for the head", "", ""},
      {"waiting behind an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", ""},
      {"in a body", Head("content-length: 10\r\n") + "12345", "12345"},
      {"in a stream", stream + "9\r\ndata: a\n\n\r\n", "data: a\n\n"},
  };
  for (const auto& phase : phases) {
    for (const Leaves how : kAllWays) {
      SCOPED_TRACE(absl::StrCat(phase.name, ", way ", static_cast<int>(how)));
      Unfinished request(phase.answer);
      if (!phase.mark.empty()) {
        EXPECT_THAT(Reader(*request.client()).ReadUntil(phase.mark), HasSubstr(phase.mark));
      }
      Leave(request.client(), how);
      request.ExpectCancelled();
      EXPECT_EQ(request.gateway().suspended(), 0u) << "it is not the target's fault";
    }
  }
}

// However much it has sent behind its request, read or not.
TEST(EngineFaultTest, CancelsTheUpstreamRequestOfAClientThatPipelinesAndLeaves) {
  for (const size_t behind : {100, 8192, 9000, 60000}) {
    for (const Leaves how : kAllWays) {
      SCOPED_TRACE(absl::StrCat(behind, " bytes behind, way ", static_cast<int>(how)));
      Unfinished request("");
      request.client()->Send(kPost + "X-A: " + std::string(behind, 'x'));
      Leave(request.client(), how);
      request.ExpectCancelled();
    }
  }
}

TEST(EngineFaultTest, TakesABodyOfTheLimitAndRefusesOneByteMore) {
  TestUpstream upstream(GoodOr([](const Message& request, Wire& wire) {
    return wire.Send(Answer(200, absl::StrCat(request.body.size())));
  }));
  TestGateway gateway(ChatApi({upstream.port()}));  // limits as they are by default
  const size_t limit = size_t{32} << 20;
  for (const bool is_chunked : {false, true}) {
    for (const size_t size : {limit, limit + 1}) {
      SCOPED_TRACE(absl::StrCat(is_chunked ? "chunked " : "length ", size));
      const std::string body(size, 'x');
      Wire client(Connect(gateway.port()));
      if (is_chunked) {
        client.Send(kPost + "Transfer-Encoding: chunked\r\n\r\n");
        char line[20];
        for (size_t at = 0; at < size; at += 1 << 20) {
          const size_t piece = std::min<size_t>(1 << 20, size - at);
          std::snprintf(line, sizeof(line), "%zx\r\n", piece);
          client.Send(absl::StrCat(line, body.substr(at, piece), "\r\n"));
        }
        client.Send("0\r\n\r\n");
      } else {
        client.Send(absl::StrCat(kPost, "Content-Length: ", size, "\r\n\r\n", body));
      }
      const auto answer = Reader(client).ReadMessage(true);
      ASSERT_TRUE(answer.has_value());
      if (size == limit) {
        EXPECT_EQ(answer->body, absl::StrCat(size));
      } else {
        EXPECT_EQ(answer->status(), 413);
        EXPECT_EQ(answer->Field("x-rota-error"), "body_too_large");
        EXPECT_EQ(answer->Field("connection"), "close");
      }
      ExpectGood(gateway.port());
    }
  }
  EXPECT_EQ(gateway.Metric("rota_limits_reached_total", "limit=body_size"), 2);
  ExpectAllGivenBack(gateway);
}

TEST(EngineFaultTest, EndsAHeadThatTricklesAndTakesABodyThatDoes) {
  TestUpstream upstream(GoodOr(Always(Answer(200, "{}"))));
  TestGateway gateway(ChatApi({upstream.port()}), ShortLimits());
  Wire slow_head(Connect(gateway.port()));
  std::jthread trickle(
      [&slow_head] { SendSlowly(slow_head, kPost + "X-A: bbbbbbbbbbbbbbbbbbbbb"); });
  ExpectGood(gateway.port());
  EXPECT_EQ(Reader(slow_head).ReadMessage(true)->status(), 408);
  trickle.join();

  Wire slow_body(Connect(gateway.port()));
  slow_body.Send(kPost + "Content-Length: 15\r\n\r\n");
  EXPECT_TRUE(SendSlowly(slow_body, "slow but steady"));
  EXPECT_EQ(Reader(slow_body).ReadMessage(true)->status(), 200);
  EXPECT_EQ(upstream.requests().back().body, "slow but steady");
}

TEST(EngineFaultTest, HoldsNothingOfAClientThatReadsNothing) {
  // An answer larger than the sockets hold, to a client that never reads: ended by the write
  // deadline.
  TestUpstream upstream(GoodOr(Always(Answer(200, std::string(32 << 20, 'x')))));
  TestGateway gateway(ChatApi({upstream.port()}), ShortLimits());
  Wire deaf(Connect(gateway.port()));
  deaf.Send(kFaulty);
  ExpectGood(gateway.port());
  ExpectAllGivenBack(gateway);
}

}  // namespace
}  // namespace rota::engine::testing
