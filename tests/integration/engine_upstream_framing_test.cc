// RFC 9112 as the client of an upstream: what is no valid answer is a 502 and costs the connection;
// what is one comes through without the fields of one connection, and its connection is used again
// only if nothing is left on it. Every row names the section that it is about.

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// An upstream that answers every request with the bytes it was given last.
class EngineUpstreamFramingTest : public ::testing::Test {
 protected:
  EngineUpstreamFramingTest()
      : upstream_([this](const Message&, Wire& wire) {
          std::string answer;
          bool keeps_open = true;
          {
            std::lock_guard guard(mutex_);
            answer = answer_;
            keeps_open = keeps_open_;
          }
          return wire.Send(answer) && keeps_open;
        }),
        gateway_(ChatApi({upstream_.port()})) {}

  void AnswerWith(std::string answer, bool keeps_open = true) {
    std::lock_guard guard(mutex_);
    answer_ = std::move(answer);
    keeps_open_ = keeps_open;
  }
  // Without a rotation, so that there is one try.
  static std::string Request(std::string_view method = "GET") {
    return absl::StrCat(std::string(method), " /chat/1.0/files/a HTTP/1.1\r\nHost: a\r\n\r\n");
  }

  std::mutex mutex_;
  std::string answer_;
  bool keeps_open_ = true;
  TestUpstream upstream_;
  TestGateway gateway_;
};

struct Malformed {
  const char* name;  // with the section of RFC 9112
  std::string answer;
  bool keeps_open = true;
};

std::string Ok(std::string_view fields, std::string_view body = "") {
  return absl::StrCat("HTTP/1.1 200 OK\r\n", std::string(fields), "\r\n", std::string(body));
}

std::vector<Malformed> MalformedAnswers() {
  std::string many_interim;
  for (int i = 0; i < 17; ++i) {
    many_interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  }
  std::string fields;
  for (int i = 0; i < 256; ++i) {
    fields += "b:\r\n";
  }
  std::string names;
  for (int i = 0; i < 33; ++i) {
    names += "a,";
  }
  const std::string nul(1, '\0');
  const std::string chunks = "2\r\n{}\r\n0\r\n\r\n";
  return {
      {"2.1 no status line", Ok("").substr(10)},
      {"2.2 line in LF", "HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\n{}"},
      {"2.2 field in LF", Ok("content-length: 2\nx-a: b\r\n", "{}")},
      {"2.2 empty line in LF", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\n{}"},
      {"2.2 bare CR", Ok("x-a: b\rc\r\ncontent-length: 2\r\n", "{}")},
      {"2.2 whitespace before the first field", Ok(" x-a: b\r\ncontent-length: 2\r\n", "{}")},
      {"2.3 version 2.0", "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"2.3 version in lower case", "http/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"2.3 version of three digits", "HTTP/1.11 200 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"2.3 another protocol", "ICY 200 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"2.3 no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n", false},
      {"4 status of letters", "HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 status of two digits", "HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 status of four digits", "HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 status below 100", "HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 status above 599", "HTTP/1.1 600 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 two spaces", "HTTP/1.1  200 OK\r\ncontent-length: 2\r\n\r\n{}"},
      {"4 NUL in the reason", "HTTP/1.1 200 O" + nul + "\r\ncontent-length: 2\r\n\r\n{}"},
      {"5 NUL in a value", Ok("x-a: b" + nul + "c\r\ncontent-length: 2\r\n", "{}")},
      {"5 no colon", Ok("x-a\r\ncontent-length: 2\r\n", "{}")},
      {"5 empty name", Ok(": b\r\ncontent-length: 2\r\n", "{}")},
      {"5 name that is no token", Ok("x(a): b\r\ncontent-length: 2\r\n", "{}")},
      {"5.1 space before the colon", Ok("content-length : 2\r\n", "{}")},
      {"5.2 folded field", Ok("x-a: b\r\n c\r\ncontent-length: 2\r\n", "{}")},
      {"6.1 length and chunked", Ok("content-length: 2\r\ntransfer-encoding: chunked\r\n", chunks)},
      {"6.1 chunked and length", Ok("transfer-encoding: chunked\r\ncontent-length: 2\r\n", chunks)},
      {"6.1 chunked twice", Ok("transfer-encoding: chunked, chunked\r\n", chunks)},
      {"6.1 chunked in two fields",
       Ok("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", chunks)},
      {"6.1 chunked is not last", Ok("transfer-encoding: chunked, gzip\r\n", chunks)},
      {"6.1 identity", Ok("transfer-encoding: identity\r\n", "{}"), false},
      {"6.1 unknown coding", Ok("transfer-encoding: xchunked\r\n", chunks)},
      {"6.1 chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks},
      {"6.3 two lengths", Ok("content-length: 2\r\ncontent-length: 3\r\n", "{}")},
      {"6.3 the same length twice", Ok("content-length: 2\r\ncontent-length: 2\r\n", "{}")},
      {"6.3 lengths in a list", Ok("content-length: 2, 3\r\n", "{}")},
      {"6.3 the same length in a list", Ok("content-length: 2, 2\r\n", "{}")},
      {"6.3 signed length", Ok("content-length: +2\r\n", "{}")},
      {"6.3 negative length", Ok("content-length: -2\r\n", "{}")},
      {"6.3 empty length", Ok("content-length:\r\n", "{}")},
      {"6.3 length with a space", Ok("content-length: 2 2\r\n", "{}")},
      {"6.3 length in hex", Ok("content-length: 0x2\r\n", "{}")},
      {"6.3 length of 64 bits", Ok("content-length: 9223372036854775808\r\n", "{}")},
      {"6.3 length of 67 bits", Ok("content-length: 99999999999999999999\r\n", "{}")},
      {"8 ends in its head", "HTTP/1.1 200 OK\r\ncontent-le", false},
      {"9.2 more interim answers than 16", many_interim + Ok("content-length: 2\r\n", "{}")},
      {"9110 7.8 a change of protocol that nobody asked for",
       "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"},
      {"257 fields", Ok(fields + "content-length: 2\r\n", "{}")},
      {"33 names in Connection", Ok("connection: " + names + "\r\ncontent-length: 2\r\n", "{}")},
      {"a head of 10 MiB", Ok("x-a: " + std::string(10 << 20, 'x') + "\r\n")},
  };
}

TEST_F(EngineUpstreamFramingTest, AnswersA502InsteadOfWhatIsNoValidAnswer) {
  for (const Malformed& row : MalformedAnswers()) {
    SCOPED_TRACE(row.name);
    Wire client(Connect(gateway_.port()));
    Reader reader(client);
    AnswerWith(row.answer, row.keeps_open);
    client.Send(Request());
    const auto refused = reader.ReadMessage(true);
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->status(), 502);
    EXPECT_EQ(refused->Field("x-rota-error"), "upstream_malformed");
    EXPECT_THAT(refused->body, HasSubstr(R"("code":"upstream_malformed")"));
    EXPECT_THAT(refused->body, Not(HasSubstr("127.0.0.1")));

    // It is the upstream's fault: the client's connection goes on, on a fresh one to the upstream.
    const size_t before = upstream_.accepted();
    AnswerWith(Ok("content-length: 4\r\n", "good"), false);
    client.Send(Request());
    const auto next = reader.ReadMessage(true);
    ASSERT_TRUE(next.has_value());
    EXPECT_EQ(next->body, "good");
    EXPECT_EQ(upstream_.accepted(), before + 1);
  }
}

TEST_F(EngineUpstreamFramingTest, TriesTheNextTargetWhenAnAnswerIsMalformed) {
  TestUpstream good(Always(Answer(200, "{}")));
  TestGateway gateway(ChatApi({upstream_.port(), good.port()}));
  AnswerWith(Ok("content-length: -2\r\n"));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }
  EXPECT_GE(gateway.Metric("rota_failovers_total", "reason=reset"), 1);
}

struct Valid {
  const char* name;  // with the section of RFC 9112
  const char* method;
  std::string answer;
  bool keeps_open;  // the upstream's connection, as far as it goes
  int status;
  const char* body;
  bool is_reused;  // its connection
};

std::vector<Valid> ValidAnswers() {
  const std::string interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
  std::string sixteen;
  for (int i = 0; i < 16; ++i) {
    sixteen += interim;
  }
  const std::string plain = Ok("content-length: 2\r\n", "{}");
  const std::string chunked = "transfer-encoding: chunked\r\n";
  return {
      {"6.2 length", "GET", plain, true, 200, "{}", true},
      {"4 empty reason", "GET", "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n{}", true, 200, "{}",
       true},
      {"6.2 length of a stream of events", "GET",
       Ok("content-type: text/event-stream\r\ncontent-length: 9\r\n", "data: a\n\n"), true, 200,
       "data: a\n\n", true},
      {"6.2 length with zeros", "GET", Ok("content-length: 0002\r\n", "{}"), true, 200, "{}", true},
      {"6.3 no length, up to the close", "GET", Ok("", "{}"), false, 200, "{}", false},
      {"7.1 chunks in capitals", "GET",
       Ok("transfer-encoding: Chunked\r\n", "A\r\n0123456789\r\n0\r\n\r\n"), true, 200,
       "0123456789", true},
      {"7.1.1 chunk extensions", "GET", Ok(chunked, "2;a=b ; c=\"d;\\\"e\"\r\n{}\r\n0;z\r\n\r\n"),
       true, 200, "{}", true},
      {"7.1.2 trailers", "GET",
       Ok(chunked, "2\r\n{}\r\n0\r\nx-trailer: t\r\ncontent-length: 9\r\n\r\n"), true, 200, "{}",
       true},
      {"HTTP/1.0 up to the close", "GET", "HTTP/1.0 200 OK\r\n\r\n{}", false, 200, "{}", false},
      {"9.3 HTTP/1.0 with a length", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", true,
       200, "{}", false},
      {"9.3 HTTP/1.0 that keeps alive", "GET",
       "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}", true, 200, "{}",
       true},
      {"9.3 HTTP/1.0 that keeps alive and closes", "GET",
       "HTTP/1.0 200 OK\r\nconnection: close, keep-alive\r\ncontent-length: 2\r\n\r\n{}", true, 200,
       "{}", false},
      {"9.6 close", "GET", Ok("connection: close\r\ncontent-length: 2\r\n", "{}"), true, 200, "{}",
       false},
      {"6.3 204 ends with its head", "GET", "HTTP/1.1 204 No Content\r\n\r\n", true, 204, "", true},
      {"6.3 204 with a length", "GET", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", true,
       204, "", true},
      {"6.3 204 with a body", "GET", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}", true,
       204, "", false},
      {"6.3 304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n",
       true, 304, "", true},
      {"6.3 304 with a body", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n{}",
       true, 304, "", false},
      {"6.3 HEAD with a length", "HEAD", Ok("content-length: 2\r\n"), true, 200, "", true},
      {"6.3 HEAD, chunked", "HEAD", Ok(chunked), true, 200, "", true},
      {"6.3 HEAD with a body", "HEAD", plain, true, 200, "", false},
      {"9.2 bytes behind a length", "GET", plain + "HTTP/1.1 200 OK\r\n", true, 200, "{}", false},
      {"9.2 a second answer", "GET", plain + plain, true, 200, "{}", false},
      {"9.2 an empty line behind", "GET", plain + "\r\n", true, 200, "{}", false},
      {"9.2 bytes behind chunks", "GET", Ok(chunked, "2\r\n{}\r\n0\r\n\r\n" + plain), true, 200,
       "{}", false},
      {"9110 15.2 100 is consumed", "GET", "HTTP/1.1 100 Continue\r\n\r\n" + plain, true, 200, "{}",
       true},
      {"9110 15.2 103 is consumed", "GET", interim + plain, true, 200, "{}", true},
      {"9110 15.2 103 with a length", "GET",
       "HTTP/1.1 103 Early Hints\r\ncontent-length: 2\r\n\r\n" + plain, true, 200, "{}", true},
      {"9110 15.2 sixteen of them", "GET", sixteen + plain, true, 200, "{}", true},
  };
}

TEST_F(EngineUpstreamFramingTest, PassesValidAnswersOnAndUsesOnlyCleanConnectionsAgain) {
  for (const Valid& row : ValidAnswers()) {
    SCOPED_TRACE(row.name);
    // A rotation of its own per row: no idle connection of another row.
    TestGateway gateway(ChatApi({upstream_.port()}));
    Wire client(Connect(gateway.port()));
    Reader reader(client);
    const bool has_no_body = std::string_view(row.method) == "HEAD";
    AnswerWith(row.answer, row.keeps_open);
    client.Send(Request(row.method));
    const auto answer = reader.ReadMessage(true, has_no_body);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), row.status);
    EXPECT_EQ(answer->body, row.body);
    EXPECT_TRUE(answer->complete);
    EXPECT_THAT(answer->start, StartsWith("HTTP/1.1 ")) << "2.3: our version, not the upstream's";
    EXPECT_TRUE(answer->Field("transfer-encoding").empty() ||
                answer->Field("content-length").empty())
        << "6.2";
    EXPECT_EQ(answer->Field("x-trailer"), "");
    EXPECT_EQ(answer->Field("link"), "") << "a field of an interim answer";
    if (row.status == 204) {
      EXPECT_EQ(answer->Field("content-length"), "") << "RFC 9110 8.6";
      EXPECT_EQ(answer->Field("transfer-encoding"), "");
    }

    const size_t before = upstream_.accepted();
    AnswerWith(Ok("content-length: 4\r\n", "good"));
    client.Send(Request());
    const auto next = reader.ReadMessage(true);
    ASSERT_TRUE(next.has_value());
    EXPECT_EQ(next->body, "good") << "the answer of another request";
    EXPECT_EQ(upstream_.accepted(), before + (row.is_reused ? 0 : 1));
  }
}

TEST_F(EngineUpstreamFramingTest, DropsAConnectionOnWhichBytesComeUnasked) {
  std::atomic<bool> answered{false};
  TestUpstream upstream([&answered](const Message&, Wire& wire) {
    wire.Send(Ok("content-length: 2\r\n", "{}"));
    EXPECT_TRUE(Eventually([&answered] { return answered.load(); }));
    wire.Send(Ok("content-length: 4\r\n", "evil"));
    return true;
  });
  TestGateway gateway(ChatApi({upstream.port()}));
  EXPECT_EQ(Ask(gateway.port(), Request())->body, "{}");
  answered = true;
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_upstream_connections") == 0; }));
  EXPECT_EQ(Ask(gateway.port(), Request())->body, "{}");
  EXPECT_EQ(upstream.accepted(), 2u);
}

// RFC 9112 6.1: a client of HTTP/1.0 does not know chunks.
TEST_F(EngineUpstreamFramingTest, SendsNoChunksToAClientOfHttp10) {
  for (const char* type : {"application/json", "text/event-stream"}) {
    AnswerWith(Ok(absl::StrCat("transfer-encoding: chunked\r\ncontent-type: ", type, "\r\n"),
                  "4\r\n: a\n\r\n1\r\n\n\r\n0\r\n\r\n"));
    const auto answer =
        Ask(gateway_.port(), "GET /chat/1.0/files/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ASSERT_TRUE(answer.has_value()) << type;
    EXPECT_EQ(answer->Field("transfer-encoding"), "") << type;
    EXPECT_EQ(answer->Field("connection"), "close") << type;
    EXPECT_EQ(answer->body, ": a\n\n") << type;
  }
}

TEST_F(EngineUpstreamFramingTest, KeepsFieldsOfOneConnectionToItself) {
  AnswerWith(
      Ok("Connection: X-Secret, keep-alive\r\nconnection: x-other\r\nX-Secret: 1\r\nx-other: 2\r\n"
         "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\n"
         "Proxy-Authentication-Info: a\r\nUpgrade: h2c\r\nTE: trailers\r\nTrailer: x-t\r\n"
         "X-End: 3\r\ncontent-length: 2\r\n",
         "{}"));
  const auto answer = Ask(gateway_.port(), Request());
  for (const char* name :
       {"connection", "x-secret", "x-other", "keep-alive", "proxy-connection", "proxy-authenticate",
        "proxy-authentication-info", "upgrade", "te", "trailer", "transfer-encoding"}) {
    EXPECT_EQ(answer->Field(name), "") << name;
  }
  EXPECT_EQ(answer->Field("x-end"), "3");
  EXPECT_EQ(answer->body, "{}");
}

}  // namespace
}  // namespace rota::engine::testing
