// Heads as bytes: what is accepted, and that nothing that is accepted can be read in two ways.

#include "dataplane/engine/http_head.h"

#include <algorithm>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

HeadError ParseRequest(std::string_view fields, std::string_view version = "1.1") {
  RequestHead head;
  return ParseRequestHead(
      absl::StrCat("POST /a HTTP/", std::string(version), "\r\n", std::string(fields), "\r\n"),
      head);
}

HeadError ParseResponse(std::string_view fields, std::string_view version = "1.1") {
  ResponseHead head;
  return ParseResponseHead(
      absl::StrCat("HTTP/", std::string(version), " 200 OK\r\n", std::string(fields), "\r\n"),
      head);
}

TEST(HeadTest, TakesAFramingOnlyWhenItIsClear) {
  const struct {
    const char* fields;
    const char* version;
    HeadError error;
  } rows[] = {
      {"content-length: 0\r\n", "1.1", HeadError::kNone},
      {"content-length: 9223372036854775807\r\n", "1.1", HeadError::kNone},
      {"content-length: 9223372036854775808\r\n", "1.1", HeadError::kLength},
      {"content-length: 000000000000000000000000000005\r\n", "1.1", HeadError::kNone},
      {"content-length: 5\r\ncontent-length: 5\r\n", "1.1", HeadError::kLength},
      {"content-length: 5, 5\r\n", "1.1", HeadError::kLength},
      {"content-length: +5\r\n", "1.1", HeadError::kLength},
      {"content-length:\r\n", "1.1", HeadError::kLength},
      {"transfer-encoding: chunked\r\n", "1.1", HeadError::kNone},
      {"transfer-encoding: ChunkeD\r\n", "1.1", HeadError::kNone},
      {"transfer-encoding: chunked\r\n", "1.0", HeadError::kLength},
      {"transfer-encoding: chunked,\r\n", "1.1", HeadError::kTransferEncoding},
      {"transfer-encoding: identity\r\n", "1.1", HeadError::kTransferEncoding},
      {"transfer-encoding: chunked\r\ncontent-length: 5\r\n", "1.1", HeadError::kLength},
      {"content-length: 5\r\ntransfer-encoding: chunked\r\n", "1.1", HeadError::kLength},
      {"content-length : 5\r\n", "1.1", HeadError::kMalformed},
      {"x: \x01\r\n", "1.1", HeadError::kMalformed},
      {": x\r\n", "1.1", HeadError::kMalformed},
      {"x: \x7f\r\n", "1.1", HeadError::kMalformed},
      {"x: a long value whose control byte \x02 comes late\r\n", "1.1", HeadError::kMalformed},
      {"x: a long value with a tab\tand \x80\xff, which are text\r\n", "1.1", HeadError::kNone},
      {"x\r\n", "1.1", HeadError::kMalformed},
      {"x\x01: y\r\n", "1.1", HeadError::kMalformed},
      {"x: a\rb\r\n", "1.1", HeadError::kMalformed},
      {"connection: keep alive\r\n", "1.1", HeadError::kMalformed},
      {"connection: ,x-a,, close,\r\n", "1.1", HeadError::kNone},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(ParseRequest(absl::StrCat("host: a\r\n", row.fields), row.version), row.error)
        << row.fields;
    EXPECT_EQ(ParseResponse(row.fields, row.version), row.error) << row.fields;
  }
}

std::string Repeated(std::string_view text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; ++i) {
    repeated.append(text);
  }
  return repeated;
}

TEST(HeadTest, TakesAsManyFieldsAsTheLimitAndNoMore) {
  // With Host.
  const std::string most = "host: a\r\n" + Repeated("b:\r\n", kMaxFields - 1);
  EXPECT_EQ(ParseRequest(most), HeadError::kNone);
  EXPECT_EQ(ParseRequest(most + "b:\r\n"), HeadError::kFields);
  EXPECT_EQ(ParseResponse(most), HeadError::kNone);
  EXPECT_EQ(ParseResponse(most + "b:\r\n"), HeadError::kFields);
}

TEST(HeadTest, TakesAsManyNamesInConnectionAsTheLimitAndNoMore) {
  // In two fields; "close" and "keep-alive" are none of them.
  const std::string most =
      absl::StrCat("host: a\r\nconnection: x, ", Repeated("close,,keep-alive,", 100),
                   "\r\nconnection: ", Repeated("a,", kMaxConnectionTokens - 1), "\r\n");
  EXPECT_EQ(ParseRequest(most), HeadError::kNone);
  EXPECT_EQ(ParseRequest(most + "connection: b\r\n"), HeadError::kConnection);
  EXPECT_EQ(ParseResponse(most), HeadError::kNone);
  EXPECT_EQ(ParseResponse(most + "connection: b\r\n"), HeadError::kConnection);
}

TEST(HeadTest, KeepsLittleMemoryOfALargeHead) {
  RequestHead head;
  for (const std::string& fields :
       {Repeated("b:\r\n", 16000), "connection: " + Repeated("a,", 32000) + "\r\n"}) {
    EXPECT_NE(ParseRequestHead("GET / HTTP/1.1\r\nhost: a\r\n" + fields + "\r\n", head),
              HeadError::kNone);
  }
  EXPECT_LE(head.fields.capacity(), kMaxFields);
  EXPECT_LE(head.connection_tokens.capacity(), kMaxConnectionTokens);
}

TEST(HeadTest, KnowsAHost) {
  for (const char* good :
       {"a", "a.b.example:443", "a:", "127.0.0.1:80", "[::1]", "[2001:db8::1.2.3.4]:8080", "a_b",
        "xn--a-b", "a%41", "%e4", "[0123:4567:89ab:cdef:0123:4567:255.255.255.255]", "[v1.a:~]:1",
        "[VaF.!]"}) {
    EXPECT_EQ(ParseRequest(absl::StrCat("host: ", good, "\r\n")), HeadError::kNone) << good;
  }
  for (const char* bad : {"",
                          ":",
                          ":80",
                          "a:b",
                          "a:80:80",
                          "[::1",
                          "::1",
                          "[::1]80",
                          "[]",
                          "[x]",
                          "a b",
                          "a/b",
                          "a@b",
                          "a\\b",
                          "a\"b",
                          "a<b",
                          "a%zz",
                          "a%",
                          "a%4",
                          "%%41",
                          "a%4g",
                          "[:::::::::::]",
                          "[1:2]",
                          "[1.2.3.4]",
                          "[::1.2.3]",
                          "[::12345]",
                          "[1:2:3:4:5:6:7:8:9]",
                          "[fe80::1%25a]",
                          "[v.a]",
                          "[v1.]",
                          "[v1]",
                          "[vg.a]",
                          "[v1.%41]",
                          "[::1:]"}) {
    EXPECT_EQ(ParseRequest(absl::StrCat("host: ", bad, "\r\n")), HeadError::kHost) << bad;
  }
  EXPECT_EQ(ParseRequest(absl::StrCat("host: ", std::string(261, 'a'), "\r\n")), HeadError::kHost);
  // Longer than any address.
  EXPECT_EQ(ParseRequest(absl::StrCat("host: [::1", std::string(100, '0'), "]\r\n")),
            HeadError::kHost);
}

TEST(HeadTest, TellsAnotherVersionFromALineThatIsNoRequest) {
  const auto parse = [](std::string_view line) {
    RequestHead head;
    return ParseRequestHead(absl::StrCat(std::string(line), "\r\nhost: a\r\n\r\n"), head);
  };
  EXPECT_EQ(parse("GET / HTTP/2.0"), HeadError::kVersion);
  EXPECT_EQ(parse("GET / HTTP/0.9"), HeadError::kVersion);
  EXPECT_EQ(parse("GET / HTTP/1.2"), HeadError::kVersion);
  for (const char* line :
       {"GET /", "GET / x HTTP/1.1", "GET / HTTP/1.1 ", "GET / HTTP/1.10", "GET / http/1.1",
        "GET /  HTTP/1.1", "GET / HTTPS/1.1", "GET / HTTP/11", "GET / HTTP/a.b"}) {
    EXPECT_EQ(parse(line), HeadError::kMalformed) << line;
  }
}

TEST(HeadTest, EndsAConnectionThatIsAskedToCloseAndToStay) {
  const struct {
    const char* fields;
    const char* version;
    bool keep_alive;
  } rows[] = {
      {"", "1.1", true},
      {"", "1.0", false},
      {"connection: close\r\n", "1.1", false},
      {"connection: keep-alive\r\n", "1.0", true},
      {"connection: keep-alive, close\r\n", "1.0", false},
      {"connection: close, keep-alive\r\n", "1.0", false},
      {"connection: close\r\nconnection: keep-alive\r\n", "1.1", false},
      {"connection: x, CLOSE\r\n", "1.1", false},
      {"proxy-connection: close\r\n", "1.1", true},
  };
  for (const auto& row : rows) {
    ResponseHead head;
    ASSERT_EQ(ParseResponseHead(
                  absl::StrCat("HTTP/", row.version, " 200 OK\r\n", row.fields, "\r\n"), head),
              HeadError::kNone);
    EXPECT_EQ(head.keep_alive, row.keep_alive) << row.version << " " << row.fields;
  }
}

TEST(HeadTest, TakesMethodsAndTargetsAsTheyAre) {
  const auto parse = [](std::string_view line) {
    RequestHead head;
    return ParseRequestHead(absl::StrCat(std::string(line), " HTTP/1.1\r\nhost: a\r\n\r\n"), head);
  };
  for (const char* line : {"GET /", "M-SEARCH /a", "get /{a}|b\"<>^`", "X /\xc3\xa4"}) {
    EXPECT_EQ(parse(line), HeadError::kNone) << line;
  }
  for (const char* line :
       {" /", "G ET /", "G(T /", "GET /\x7f", "GET /a\tb", "GET\t/", "GET ", "\x80 /"}) {
    EXPECT_EQ(parse(line), HeadError::kMalformed) << line;
  }
}

TEST(HeadTest, CutsWhiteSpaceAroundValues) {
  RequestHead head;
  ASSERT_EQ(
      ParseRequestHead("GET / HTTP/1.1\r\nhost: \t a \t\r\nx:\r\ny: \t \r\nz:a b\r\n\r\n", head),
      HeadError::kNone);
  EXPECT_EQ(head.Find("host"), "a");
  EXPECT_EQ(head.Find("x"), "");
  EXPECT_EQ(head.Find("y"), "");
  EXPECT_EQ(head.Find("z"), "a b");
  EXPECT_EQ(head.fields.size(), 4u);
}

// RFC 9110 8.3.1
TEST(HeadTest, KnowsAMediaTypeInAnyCaseAndWithoutItsParameters) {
  for (const char* good : {"text/event-stream", "Text/Event-Stream", "TEXT/EVENT-STREAM;a=b",
                           "text/event-stream ; charset=utf-8", "text/event-stream\t;a"}) {
    EXPECT_TRUE(IsMediaType(good, "text/event-stream")) << good;
    const std::string bytes = absl::StrCat("HTTP/1.1 200 OK\r\ncontent-type: ", good, "\r\n\r\n");
    ResponseHead head;
    ASSERT_EQ(ParseResponseHead(bytes, head), HeadError::kNone);
    EXPECT_TRUE(IsEventStream(head)) << good;
  }
  for (const char* bad : {"", "text", "text/event-streamx", "text/event-stream+x",
                          "xtext/event-stream", "text/event-strea", ";text/event-stream"}) {
    EXPECT_FALSE(IsMediaType(bad, "text/event-stream")) << bad;
  }
}

TEST(HeadTest, TakesNoStatusThatDoesNotExist) {
  ResponseHead head;
  for (const char* status : {"099", "000", "600", "999", "20", "2000", "2x0", "-20"}) {
    EXPECT_EQ(ParseResponseHead(absl::StrCat("HTTP/1.1 ", status, " X\r\n\r\n"), head),
              HeadError::kMalformed)
        << status;
  }
  EXPECT_EQ(ParseResponseHead("HTTP/1.1 599 \r\n\r\n", head), HeadError::kNone);
}

bool IsClean(std::string_view text) {
  return text.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos;
}

// Whatever is done to a good head: it is refused, or it means one thing.
TEST(HeadTest, AcceptsNoMutationThatCouldBeReadInTwoWays) {
  const std::string good =
      "POST /chat?a=b HTTP/1.1\r\nHost: a.example:80\r\nConnection: x-a, close\r\nX-A: b c\r\n"
      "Content-Length: 12\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
  const std::string bytes = std::string("\0\r\n\t :,;-+0129aZ/?#%\"\x7f\x80\xff", 24);
  std::mt19937 random(20240601);
  const auto below = [&random](size_t bound) { return random() % bound; };
  size_t accepted = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string head = good;
    if (below(2) == 0) {  // without one of the two framings, so that some are good
      const size_t at = head.find(below(2) == 0 ? "Content-Length" : "Transfer-Encoding");
      head.erase(at, head.find("\r\n", at) + 2 - at);
    }
    for (size_t changes = below(3); changes > 0; --changes) {
      const size_t at = below(head.size() - 4);
      const size_t kind = below(3);
      if (kind == 0) {
        head[at] = bytes[below(bytes.size())];
      } else if (kind == 1) {
        head.insert(at, 1, bytes[below(bytes.size())]);
      } else {
        head.erase(at, 1 + below(3));
      }
    }
    HeadScanner scanner;
    if (scanner.Scan(head) != HeadScanner::Result::kComplete) {
      continue;
    }
    RequestHead parsed;
    if (ParseRequestHead(std::string_view(head).substr(0, scanner.size()), parsed) !=
        HeadError::kNone) {
      continue;
    }
    ++accepted;
    size_t framings = 0;
    size_t hosts = 0;
    for (const Field& field : parsed.fields) {
      EXPECT_TRUE(IsClean(field.name) && IsClean(field.value)) << head;
      EXPECT_EQ(field.name.find_first_of(" \t:"), std::string_view::npos) << head;
      framings +=
          field.kind == FieldKind::kContentLength || field.kind == FieldKind::kTransferEncoding;
      hosts += field.kind == FieldKind::kHost;
      if (field.kind == FieldKind::kContentLength) {
        EXPECT_TRUE(std::all_of(field.value.begin(), field.value.end(), [](char c) {
          return c >= '0' && c <= '9';
        })) << head;
      }
    }
    EXPECT_LE(framings, 1u) << head;
    EXPECT_LE(hosts, 1u) << head;
    EXPECT_TRUE(IsClean(parsed.target)) << head;
    EXPECT_EQ(parsed.target.find(' '), std::string_view::npos) << head;
    EXPECT_EQ(parsed.chunked || parsed.content_length.has_value(), framings == 1) << head;
  }
  EXPECT_GT(accepted, 1000u) << "the test looks at nothing";
}

}  // namespace
}  // namespace rota::engine
