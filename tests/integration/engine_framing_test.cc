// RFC 9112 as the server of a client: what two readers could read differently is refused and ends
// the connection, no byte of it reaches an upstream, and nothing behind it is served. Every row
// names the section that it is about.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kHeadBytes = 8192;

GatewayOptions SmallHeads() {
  GatewayOptions options;
  options.limits.head_bytes = kHeadBytes;
  return options;
}

struct BadRequest {
  const char* name;  // with the section of RFC 9112
  std::string bytes;
  int status = 400;
  const char* code = "bad_request";
};

const std::string kNul(1, '\0');
const std::string kLine = "POST /chat/1.0/chat/completions HTTP/1.1\r\n";

// A POST with these fields; the empty line included.
std::string Post(std::string_view fields, std::string_view body = "{}") {
  return absl::StrCat(kLine, "Host: a\r\n", std::string(fields), "\r\n", std::string(body));
}

std::string Chunked(std::string_view body) { return Post("Transfer-Encoding: chunked\r\n", body); }

std::string Line(std::string_view line) {
  return absl::StrCat(std::string(line), "\r\nHost: a\r\n\r\n");
}

std::string Host(std::string_view fields) {
  return absl::StrCat("GET /chat/1.0/files/a HTTP/1.1\r\n", std::string(fields), "\r\n");
}

std::string Repeated(std::string_view text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) {
    repeated.append(text);
  }
  return repeated;
}

std::vector<BadRequest> BadLines() {
  constexpr const char* kOther = "http_version_not_supported";
  return {
      {"2.2 request line in LF", "GET /chat/1.0/files/a HTTP/1.1\nHost: a\r\n\r\n"},
      {"2.2 field line in LF", Post("Content-Length: 2\nX-A: b\r\n")},
      {"2.2 empty line in LF", kLine + "Host: a\r\n\n"},
      {"2.2 LF in front", "\n" + Host("Host: a\r\n")},
      {"2.2 CR in front", "\r" + Host("Host: a\r\n")},
      {"2.2 CR in the request line", Line("GET /chat/1.0/fi\rles/a HTTP/1.1")},
      {"2.2 CR in a value", Post("X-A: b\rc\r\nContent-Length: 2\r\n")},
      {"2.2 CR at the end of a value", Post("X-A: b\r\r\nContent-Length: 2\r\n")},
      {"2.2 CR in a name", Post("X\rA: b\r\nContent-Length: 2\r\n")},
      {"2.2 whitespace before the first field", kLine + " Host: a\r\nContent-Length: 0\r\n\r\n"},
      {"2.2 five empty lines in front", "\r\n\r\n\r\n\r\n\r\n" + Host("Host: a\r\n")},
      {"2.3 version 2.0", Line("GET /chat/1.0/files/a HTTP/2.0"), 505, kOther},
      {"2.3 version 0.9", Line("GET /chat/1.0/files/a HTTP/0.9"), 505, kOther},
      {"2.3 version 1.2", Line("GET /chat/1.0/files/a HTTP/1.2"), 505, kOther},
      {"2.3 no version", Line("GET /chat/1.0/files/a")},
      {"2.3 version of three digits", Line("GET /chat/1.0/files/a HTTP/1.10")},
      {"2.3 version in lower case", Line("GET /chat/1.0/files/a http/1.1")},
      {"2.3 another protocol", Line("GET /chat/1.0/files/a RTSP/1.0")},
      {"3 no request line", "hello there\r\n\r\n"},
      {"3 two spaces", Line("GET  /chat/1.0/files/a HTTP/1.1")},
      {"3 tab", Line("GET\t/chat/1.0/files/a HTTP/1.1")},
      {"3 space at the end", Line("GET /chat/1.0/files/a HTTP/1.1 ")},
      {"3 space in the target", Line("GET /chat/1.0/files/a b HTTP/1.1")},
      {"3 space in front", Line(" GET /chat/1.0/files/a HTTP/1.1")},
      {"3 NUL in the target", Line("GET /chat/1.0/files/" + kNul + " HTTP/1.1")},
      {"3.1 method that is no token", Line("GE(T /chat/1.0/files/a HTTP/1.1")},
      {"3.1 no method", Line("/chat/1.0/files/a HTTP/1.1")},
      {"3.2 fragment", Line("GET /chat/1.0/files/a#b HTTP/1.1")},
      {"3.2 relative", Line("GET chat/1.0/files/a HTTP/1.1")},
      {"3.2.2 another scheme", Line("GET ftp://a/chat/1.0/files/a HTTP/1.1")},
      {"3.2.2 no authority", Line("GET http:///chat/1.0/files/a HTTP/1.1")},
      {"3.2.2 user information", Line("GET http://u@a/chat/1.0/files/a HTTP/1.1")},
      {"3.2.3 authority form", Line("GET a:80 HTTP/1.1")},
      {"3.2.3 CONNECT", Line("CONNECT a:443 HTTP/1.1")},
      {"3.2.4 asterisk form", Line("OPTIONS * HTTP/1.1")},
      {"TLS on the plain port",
       std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15)},
      {"a head of 9 KiB", Post("X-A: " + std::string(kHeadBytes, 'x') + "\r\n"), 431,
       "request_head_too_large"},
      {"a request line of 9 KiB", Line("GET /" + std::string(kHeadBytes, 'x') + " HTTP/1.1"), 431,
       "request_head_too_large"},
      {"257 fields", Post(Repeated("b:\r\n", 256)), 431, "request_head_too_large"},
      {"33 names in Connection", Post("Connection: " + Repeated("a,", 33) + "\r\n")},
      {"a head that never ends", "GET / HTTP/1.1\r\nX-A: " + std::string(2 * kHeadBytes, 'x'), 431,
       "request_head_too_large"},
  };
}

std::vector<BadRequest> BadFields() {
  std::vector<BadRequest> rows = {
      {"3.2 no Host", Host("")},
      {"3.2 two Hosts", Host("Host: a\r\nHost: b\r\n")},
      {"3.2 the same Host twice", Host("Host: a\r\nHost: a\r\n")},
      {"3.2 two Hosts beside an absolute form",
       "GET http://a/chat/1.0/files/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"3.2 no Host beside an absolute form", "GET http://a/chat/1.0/files/a HTTP/1.1\r\n\r\n"},
      {"5 no colon", Post("X-A\r\nContent-Length: 2\r\n")},
      {"5 empty name", Post(": b\r\nContent-Length: 2\r\n")},
      {"5 name with a space", Post("X A: b\r\nContent-Length: 2\r\n")},
      {"5 name with a parenthesis", Post("X(A): b\r\nContent-Length: 2\r\n")},
      {"5 name with a byte above 127", Post("X-\xe9: b\r\nContent-Length: 2\r\n")},
      {"5 NUL in a name", Post("X" + kNul + ": b\r\nContent-Length: 2\r\n")},
      {"5 NUL in a value", Post("X-A: b" + kNul + "c\r\nContent-Length: 2\r\n")},
      {"5 control byte in a value", Post("X-A: \x01\r\nContent-Length: 2\r\n")},
      {"5 DEL in a value", Post("X-A: \x7f\r\nContent-Length: 2\r\n")},
      {"5.1 space before the colon", Post("Content-Length : 2\r\n")},
      {"5.1 tab before the colon", Post("Transfer-Encoding\t: chunked\r\n")},
      {"5.2 folded by a space", Post("X-A: b\r\n c\r\nContent-Length: 2\r\n")},
      {"5.2 folded by a tab", Post("X-A: b\r\n\tc\r\nContent-Length: 2\r\n")},
      {"5.2 folded empty", Post("X-A:\r\n \r\nContent-Length: 2\r\n")},
      {"9.1 Connection that is no list of names", Post("Connection: a b\r\nContent-Length: 2\r\n")},
      {"9110 10.1.1 an expectation that cannot be met",
       Post("Expect: magic\r\nContent-Length: 2\r\n"), 417, "expectation_failed"},
  };
  for (const char* host : {"",        "a b",  "a/b",  "a?b",  "a#b",    "u@a",          "a,b:c",
                           "a:80:80", "a:x",  ":80",  "[::1", "[::1]x", "::1",          "[]",
                           "[g::1]",  "a\\b", "a\"b", "a[b]", "a%zz",   "[:::::::::::]"}) {
    rows.push_back({"3.2 invalid Host", Host(absl::StrCat("Host: ", host, "\r\n"))});
  }
  return rows;
}

std::vector<BadRequest> BadLengths() {
  constexpr const char* kCoding = "transfer_encoding_not_supported";
  std::vector<BadRequest> rows = {
      {"6.1 length and chunked",
       Post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"6.1 chunked and length",
       Post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n")},
      {"6.1 length and another coding", Post("Content-Length: 2\r\nTransfer-Encoding: gzip\r\n")},
      {"6.1 chunked in HTTP/1.0",
       "POST /chat/1.0/chat/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"6.1 chunked and length in HTTP/1.0",
       "POST /chat/1.0/chat/completions HTTP/1.0\r\nContent-Length: 2\r\nTransfer-Encoding: "
       "chunked\r\n\r\n{}"},
      {"6.1 chunked in two fields",
       Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"6.1 chunked behind another field",
       Post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400,
       kCoding},
      {"6.3 two lengths", Post("Content-Length: 2\r\nContent-Length: 3\r\n")},
      {"6.3 the same length twice", Post("Content-Length: 2\r\nContent-Length: 2\r\n")},
      {"6.3 lengths apart", Post("Content-Length: 2\r\nX-A: b\r\ncontent-length: 0\r\n")},
  };
  for (const char* coding :
       {"identity", "gzip", "chunked, chunked", "chunked, gzip", "gzip, chunked", "chunked,",
        ", chunked", "xchunked", "chunkedx", "\"chunked\"", "chunked;a=b", "chunked chunked",
        "chunke", "", "chunked\x0b",
        "\xc2\xa0"
        "chunked"}) {
    const bool is_control = std::string_view(coding).find('\x0b') != std::string_view::npos;
    rows.push_back({"6.1 transfer coding other than chunked",
                    Post(absl::StrCat("Transfer-Encoding: ", coding, "\r\n"), "0\r\n\r\n"), 400,
                    is_control ? "bad_request" : kCoding});
  }
  for (const char* length : {"",
                             "+2",
                             "-2",
                             "-0",
                             "2.0",
                             "2e0",
                             "0x2",
                             "2 2",
                             "2,2",
                             "2, 2",
                             "2, 3",
                             "2,",
                             ",2",
                             "a",
                             "2a",
                             "9223372036854775808",
                             "18446744073709551617",
                             "99999999999999999999",
                             "\"2\"",
                             "2;q=1",
                             "\xd9\xa2"}) {
    rows.push_back({"6.3 invalid length", Post(absl::StrCat("Content-Length: ", length, "\r\n"))});
  }
  return rows;
}

std::vector<BadRequest> BadChunks() {
  std::vector<BadRequest> rows;
  for (const char* size :
       {"", " ", "g", "-1", "+1", "0x2", "x2", "2 2", "2x", " 2", "2 ", "2\t", "2,", "2\v",
        "ffffffffffffffff", "10000000000000000", "7fffffffffffffff0", "0000000000000000002"}) {
    rows.push_back({"7.1 invalid chunk size", Chunked(absl::StrCat(size, "\r\n{}\r\n0\r\n\r\n"))});
  }
  const std::vector<BadRequest> more = {
      {"7.1 size in LF", Chunked("2\n{}\r\n0\r\n\r\n")},
      {"7.1 size in CR", Chunked("2\r{}\r\n0\r\n\r\n")},
      {"7.1 CR, CRLF behind the size", Chunked("2\r\r\n{}\r\n0\r\n\r\n")},
      {"7.1 data in LF", Chunked("2\r\n{}\n0\r\n\r\n")},
      {"7.1 data without an end", Chunked("2\r\n{}0\r\n\r\n")},
      {"7.1 data longer than its size", Chunked("2\r\n{}}\r\n0\r\n\r\n")},
      {"7.1 data shorter than its size", Chunked("3\r\n{}\r\n0\r\n\r\n")},
      {"7.1.1 extension in LF", Chunked("2;a\n{}\r\n0\r\n\r\n")},
      {"7.1.1 CR in an extension", Chunked("2;a\rb\r\n{}\r\n0\r\n\r\n")},
      {"7.1.1 NUL in an extension", Chunked("2;a" + kNul + "\r\n{}\r\n0\r\n\r\n")},
      {"7.1.1 extension of 5 KiB", Chunked("2;" + std::string(5000, 'x') + "\r\n{}\r\n0\r\n\r\n")},
      {"7.1.2 trailers end in LF", Chunked("2\r\n{}\r\n0\r\n\n")},
      {"7.1.2 trailer in LF", Chunked("2\r\n{}\r\n0\r\nX-A: b\n\r\n")},
      {"7.1.2 CR in a trailer", Chunked("2\r\n{}\r\n0\r\nX-A: b\rc\r\n\r\n")},
      {"7.1.2 NUL in a trailer", Chunked("2\r\n{}\r\n0\r\nX-A: " + kNul + "\r\n\r\n")},
      {"7.1.2 trailer without a colon", Chunked("2\r\n{}\r\n0\r\nX-A\r\n\r\n")},
      {"7.1.2 trailer with an empty name", Chunked("2\r\n{}\r\n0\r\n: b\r\n\r\n")},
      {"7.1.2 space before a trailer's colon", Chunked("2\r\n{}\r\n0\r\nX-A : b\r\n\r\n")},
      {"7.1.2 folded trailer", Chunked("2\r\n{}\r\n0\r\nX-A: b\r\n c\r\n\r\n")},
      {"7.1.2 trailers of 17 KiB",
       Chunked("2\r\n{}\r\n0\r\nX-A: " + std::string(17000, 'x') + "\r\n\r\n")},
  };
  rows.insert(rows.end(), more.begin(), more.end());
  std::string busy;
  for (int i = 0; i < 20; ++i) {
    busy += "1;" + std::string(1000, 'x') + "\r\n \r\n";
  }
  rows.push_back({"7.1.1 extensions of 20 KB for 20 bytes", Chunked(busy + "0\r\n\r\n")});
  return rows;
}

class EngineFramingTest : public ::testing::TestWithParam<std::vector<BadRequest> (*)()> {
 protected:
  EngineFramingTest()
      : upstream_(Always(Answer(200, "{}"))), gateway_(ChatApi({upstream_.port()}), SmallHeads()) {}
  TestUpstream upstream_;
  TestGateway gateway_;
};

TEST_P(EngineFramingTest, RefusesClosesAndForwardsNothing) {
  for (const BadRequest& row : GetParam()()) {
    SCOPED_TRACE(absl::StrCat(row.name, ": ", row.bytes.substr(0, 200)));
    Wire wire(Connect(gateway_.port()));
    // In one segment with a request that would be served.
    wire.Send(row.bytes + Host("Host: a\r\n"));
    Reader reader(wire);
    const auto answer = reader.ReadMessage(true);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), row.status);
    EXPECT_EQ(answer->Field("x-rota-error"), row.code);
    EXPECT_EQ(answer->Field("connection"), "close");
    EXPECT_THAT(answer->body, HasSubstr("{\"error\":{\"message\":\""));
    wire.CloseSending();
    EXPECT_EQ(reader.ReadToEnd(), "") << "something behind it was answered";
    ASSERT_EQ(upstream_.accepted(), 0u) << "something of it was forwarded";
  }
}

INSTANTIATE_TEST_SUITE_P(Lines, EngineFramingTest, ::testing::Values(&BadLines));
INSTANTIATE_TEST_SUITE_P(Fields, EngineFramingTest, ::testing::Values(&BadFields));
INSTANTIATE_TEST_SUITE_P(Lengths, EngineFramingTest, ::testing::Values(&BadLengths));
INSTANTIATE_TEST_SUITE_P(Chunks, EngineFramingTest, ::testing::Values(&BadChunks));

struct GoodRequest {
  const char* name;  // with the section of RFC 9112
  std::string bytes;
  const char* body;  // as the upstream gets it
  bool keeps_alive = true;
};

std::vector<GoodRequest> GoodRequests() {
  const auto upload = [](std::string_view fields, std::string_view body) {
    return absl::StrCat("POST /chat/1.0/files/a HTTP/1.1\r\nHost: a\r\n", std::string(fields),
                        "\r\n", std::string(body));
  };
  const auto chunked = [&](std::string_view body) {
    return upload("Transfer-Encoding: chunked\r\n", body);
  };
  return {
      {"2.2 four empty lines in front", "\r\n\r\n\r\n\r\n" + Host("Host: a\r\n"), ""},
      {"3.2.2 absolute form", "GET http://a/chat/1.0/files/a HTTP/1.1\r\nHost: other\r\n\r\n", ""},
      {"3.2 Host with a port", Host("Host: a:8080\r\n"), ""},
      {"3.2 Host with an empty port", Host("Host: a:\r\n"), ""},
      {"3.2 Host in IPv6", Host("Host: [::1]:80\r\n"), ""},
      {"3.2 no Host in HTTP/1.0", "GET /chat/1.0/files/a HTTP/1.0\r\n\r\n", "", false},
      {"5.1 whitespace around a value", Host("Host: \t a \t \r\n"), ""},
      {"5.1 no whitespace before a value", Host("Host:a\r\n"), ""},
      {"5 empty value", Host("Host: a\r\nX-A:\r\n"), ""},
      {"5 bytes above 127 in a value", Host("Host: a\r\nX-A: \xc3\xa9\r\n"), ""},
      {"6.2 length", upload("Content-Length: 2\r\n", "{}"), "{}"},
      {"6.2 length with zeros", upload("Content-Length: 0002\r\n", "{}"), "{}"},
      {"6.3 no length: no body", upload("", ""), ""},
      {"7.1 chunked in capitals",
       upload("TRANSFER-ENCODING: CHUNKED\r\n", "A\r\n0123456789\r\n0\r\n\r\n"), "0123456789"},
      {"7.1 chunk size with zeros", chunked("002\r\n{}\r\n000\r\n\r\n"), "{}"},
      {"7.1.1 extensions are ignored", chunked("2;a;b=c ; d=\"e;\"\r\n{}\r\n0;f\r\n\r\n"), "{}"},
      {"7.1.1 space before an extension", chunked("2 ;a\r\n{}\r\n0\r\n\r\n"), "{}"},
      {"7.1.2 trailers are dropped",
       chunked("2\r\n{}\r\n0\r\nX-Trailer: t\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n"),
       "{}"},
      {"9.3 close", upload("Connection: close\r\nContent-Length: 2\r\n", "{}"), "{}", false},
      {"9.3 close in a list", upload("Connection: x-a, Close\r\nContent-Length: 2\r\n", "{}"), "{}",
       false},
      {"9.3 close beside keep-alive",
       upload("Connection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n", "{}"), "{}",
       false},
      {"9.3 HTTP/1.0 closes", "GET /chat/1.0/files/a HTTP/1.0\r\nHost: a\r\n\r\n", "", false},
      {"9.3 HTTP/1.0 with keep-alive",
       "GET /chat/1.0/files/a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", ""},
      {"9.3 HTTP/1.0 with close and keep-alive",
       "GET /chat/1.0/files/a HTTP/1.0\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n", "",
       false},
      {"9110 10.1.1 HTTP/1.0 expects nothing",
       "POST /chat/1.0/files/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
       "{}", false},
  };
}

class EngineGoodFramingTest : public EngineFramingTest {};

TEST_F(EngineGoodFramingTest, SaysHowManyFieldsThereMayBeAndCountsTheLimit) {
  const auto answer = Ask(gateway_.port(), Post(Repeated("b:\r\n", 256)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 431);
  EXPECT_THAT(answer->body, HasSubstr("more than 256 header fields"));
  EXPECT_EQ(gateway_.Metric("rota_limits_reached_total", "limit=head_size"), 1);
}

TEST_F(EngineGoodFramingTest, ForwardsWhatIsClearWithFramingOfItsOwn) {
  size_t served = 0;
  for (const GoodRequest& row : GoodRequests()) {
    SCOPED_TRACE(row.name);
    for (const bool is_trickled : {false, true}) {
      SCOPED_TRACE(is_trickled ? "byte by byte" : "at once");
      Wire wire(Connect(gateway_.port()));
      Reader reader(wire);
      if (is_trickled) {
        for (const char c : row.bytes) {
          wire.Send({&c, 1});
        }
      } else {
        wire.Send(row.bytes);
      }
      const auto answer = reader.ReadMessage(true);
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->status(), 200);
      const std::vector<Message> requests = upstream_.requests();
      ASSERT_EQ(requests.size(), ++served);
      EXPECT_EQ(requests.back().body, row.body);
      EXPECT_THAT(requests.back().start, ::testing::EndsWith("/v1/files/a HTTP/1.1"));
      for (const char* name : {"transfer-encoding", "x-trailer", "expect", "connection"}) {
        EXPECT_EQ(requests.back().Field(name), "") << name;
      }
      EXPECT_EQ(requests.back().Field("authorization"), "Bearer sk-secret");
      wire.Send(Host("Host: a\r\n"));
      if (row.keeps_alive) {
        EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
        ++served;
      } else {
        EXPECT_EQ(answer->Field("connection"), "close");
        EXPECT_EQ(reader.ReadToEnd(), "") << "9.6: no further request is processed";
      }
    }
  }
}

TEST_F(EngineGoodFramingTest, AnswersPipelinedRequestsInTheirOrder) {
  TestUpstream echo([](const Message& request, Wire& wire) {
    return wire.Send(Answer(200, request.start.substr(0, request.start.rfind(' '))));
  });
  TestGateway gateway(ChatApi({echo.port()}));
  for (const int count : {2, 300}) {
    std::string requests;
    for (int i = 0; i < count; ++i) {
      // With and without bodies, of both framings.
      absl::StrAppend(&requests, i % 3 == 0 ? "GET" : "POST", " /chat/1.0/files/", i,
                      " HTTP/1.1\r\nHost: a\r\n",
                      i % 3 == 0   ? "\r\n"
                      : i % 3 == 1 ? "Content-Length: 4\r\n\r\nGET "
                                   : "Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n");
    }
    Wire wire(Connect(gateway.port()));
    Reader reader(wire);
    wire.Send(requests);
    for (int i = 0; i < count; ++i) {
      const auto answer = reader.ReadMessage(true);
      ASSERT_TRUE(answer.has_value()) << i;
      ASSERT_THAT(answer->body, ::testing::EndsWith(absl::StrCat("/v1/files/", i)));
    }
  }
}

// RFC 9112 9.6
TEST_F(EngineGoodFramingTest, ServesNothingBehindARequestThatCloses) {
  Wire wire(Connect(gateway_.port()));
  Reader reader(wire);
  const std::string good = Host("Host: a\r\n");
  wire.Send(good + Host("Host: a\r\nConnection: close\r\n") + good);
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(reader.ReadToEnd(), "");
  EXPECT_EQ(upstream_.requests().size(), 2u);
}

TEST_F(EngineGoodFramingTest, ServesNothingBehindAMalformedRequestOfAPipeline) {
  Wire wire(Connect(gateway_.port()));
  Reader reader(wire);
  const std::string good = Host("Host: a\r\n");
  wire.Send(good + Chunked("zz\r\n") + good + good);
  EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
  EXPECT_EQ(reader.ReadMessage(true)->status(), 400);
  wire.CloseSending();
  EXPECT_EQ(reader.ReadToEnd(), "");
  EXPECT_EQ(upstream_.requests().size(), 1u);
}

// RFC 9112 9.3: it is read, or the connection ends.
TEST_F(EngineGoodFramingTest, TakesNoBodyOfARefusedRequestForARequest) {
  const struct {
    const char* head;
    int status;
  } rows[] = {
      {"POST /nothing HTTP/1.1\r\n", 404},
      {"PATCH /chat/1.0/files/a HTTP/1.1\r\n", 405},
      {"POST /chat/1.0/chat/completions HTTP/1.1\r\nContent-Encoding: gzip\r\n", 415},
  };
  const std::string body = "GET /chat/1.0/files/body HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::pair<std::string, std::string> framings[] = {
      {absl::StrCat("Content-Length: ", body.size(), "\r\n"), body},
      {"Transfer-Encoding: chunked\r\n",
       absl::StrCat(absl::Hex(body.size()), "\r\n", body, "\r\n0\r\n\r\n")},
  };
  size_t served = 0;
  for (const auto& row : rows) {
    for (const auto& [framing, coded] : framings) {
      for (const bool comes_at_once : {true, false}) {
        SCOPED_TRACE(absl::StrCat(row.status, " ", framing, comes_at_once ? "at once" : "later"));
        Wire wire(Connect(gateway_.port()));
        Reader reader(wire);
        const std::string head = absl::StrCat(row.head, "Host: a\r\n", framing, "\r\n");
        const std::string rest = coded + Host("Host: a\r\n");
        wire.Send(comes_at_once ? head + rest : head);
        const auto refused = reader.ReadMessage(true);
        ASSERT_TRUE(refused.has_value());
        EXPECT_EQ(refused->status(), row.status);
        EXPECT_EQ(refused->Field("connection"), comes_at_once ? "" : "close");
        if (comes_at_once) {
          EXPECT_EQ(reader.ReadMessage(true)->status(), 200);
          ++served;
        } else {
          wire.Send(rest);
        }
        wire.CloseSending();
        EXPECT_EQ(reader.ReadToEnd(), "");
      }
    }
  }
  const std::vector<Message> requests = upstream_.requests();
  EXPECT_EQ(requests.size(), served);
  for (const Message& request : requests) {
    EXPECT_THAT(request.start, HasSubstr("/files/a "));
  }
}

// RFC 9110 9.3.2, also where nothing but the method is known.
TEST_F(EngineGoodFramingTest, SendsNoBodyWithTheRefusalOfAHeadRequest) {
  GatewayOptions options = SmallHeads();
  options.limits.head_time = std::chrono::milliseconds(200);
  TestGateway gateway(ChatApi({upstream_.port()}), options);
  const struct {
    std::string rest;  // of the request
    int status;
  } rows[] = {
      {"Host: a b\r\n\r\n", 400},
      {"Host: a\r\nContent-Length: -2\r\n\r\n", 400},
      {"Host: a\nX-A: b\r\n\r\n", 400},
      {"Host: a\r\nX-A: " + std::string(kHeadBytes, 'x'), 431},
      {"Host: a\r\n" + Repeated("b:\r\n", 256) + "\r\n", 431},
      {"Host: a\r\n", 408},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.rest.substr(0, 100));
    Wire wire(Connect(gateway.port()));
    Reader reader(wire);
    wire.Send("HEAD /chat/1.0/files/a HTTP/1.1\r\n" + row.rest);
    const auto answer = reader.ReadMessage(true, /*has_no_body=*/true);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), row.status);
    EXPECT_NE(answer->Field("content-length"), "");
    wire.CloseSending();
    EXPECT_EQ(reader.ReadToEnd(), "");
  }
}

// RFC 9110 7.6.2
TEST_F(EngineGoodFramingTest, ForwardsOptionsAsOftenAsItMayBe) {
  std::string api = ChatApi({upstream_.port()});
  api.insert(api.find("operations {"),
             "operations { verb: \"OPTIONS\" target: \"/files/*\" production { endpoint: 0 } } ");
  TestGateway gateway(api);
  Wire wire(Connect(gateway.port()));
  Reader reader(wire);
  const auto ask = [&](std::string_view fields, std::string_view body) {
    wire.Send(absl::StrCat("OPTIONS /chat/1.0/files/a HTTP/1.1\r\nHost: a\r\n", std::string(fields),
                           "\r\n", std::string(body)));
    return reader.ReadMessage(true);
  };
  for (const char* fields : {"Max-Forwards: 0\r\n", "max-forwards: 00\r\nContent-Length: 2\r\n"}) {
    const auto last = ask(fields, absl::StrContains(fields, "Length") ? "{}" : "");
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->status(), 204);
    EXPECT_EQ(last->Field("content-length"), "");
    EXPECT_THAT(last->Field("allow"), AllOf(HasSubstr("OPTIONS"), HasSubstr("GET")));
    EXPECT_NE(last->Field("x-request-id"), "");
  }
  EXPECT_EQ(upstream_.accepted(), 0u);

  EXPECT_EQ(ask("Max-Forwards: 1\r\n", "")->status(), 200);
  EXPECT_EQ(ask("", "")->status(), 200);
  const std::vector<Message> requests = upstream_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].Field("max-forwards"), "0");
  EXPECT_EQ(requests[1].Field("max-forwards"), "");
}

TEST_F(EngineGoodFramingTest, KeepsFieldsOfOneConnectionToItself) {
  const auto answer =
      Ask(gateway_.port(),
          Host("Host: a\r\nConnection: X-Secret , te,keep-alive\r\nconnection: "
               "x-other\r\nX-Secret: 1\r\n"
               "x-other: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n"
               "Proxy-Authorization: Basic YQ==\r\nProxy-Authenticate: Basic\r\nTE: trailers\r\n"
               "Trailer: x-t\r\nUpgrade: websocket\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
               "X-End: 3\r\n"));
  EXPECT_EQ(answer->status(), 200);
  const std::vector<Message> requests = upstream_.requests();
  ASSERT_EQ(requests.size(), 1u);
  for (const char* name : {"connection", "x-secret", "x-other", "keep-alive", "proxy-connection",
                           "proxy-authorization", "proxy-authenticate", "te", "trailer", "upgrade",
                           "http2-settings"}) {
    EXPECT_EQ(requests[0].Field(name), "") << name;
  }
  EXPECT_EQ(requests[0].Field("x-end"), "3");
}

TEST_F(EngineGoodFramingTest, NamingAFieldOfTheFramingInConnectionChangesNoFraming) {
  const auto answer =
      Ask(gateway_.port(),
          "POST /chat/1.0/files/a HTTP/1.1\r\nHost: a\r\nConnection: content-length, "
          "host, transfer-encoding, authorization\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(answer->status(), 200);
  const std::vector<Message> requests = upstream_.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].body, "{}");
  EXPECT_EQ(requests[0].Field("content-length"), "2");
  EXPECT_EQ(requests[0].Field("host"), absl::StrCat("127.0.0.1:", upstream_.port()));
  EXPECT_EQ(requests[0].Field("authorization"), "Bearer sk-secret");
}

TEST_F(EngineGoodFramingTest, AnswersTraceItself) {
  const auto answer = Ask(gateway_.port(), Line("TRACE /chat/1.0/files/a HTTP/1.1"));
  EXPECT_EQ(answer->status(), 405);
  EXPECT_EQ(upstream_.accepted(), 0u);
}

}  // namespace
}  // namespace rota::engine::testing
