// The parts of the engine that need no sockets: ends of heads, events, addresses, deadlines.

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "dataplane/engine/deadline.h"
#include "dataplane/engine/engine.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/engine/message_writer.h"
#include "dataplane/engine/request_signature.h"
#include "dataplane/engine/resolver.h"
#include "dataplane/engine/socket_address.h"
#include "dataplane/engine/sse_scanner.h"
#include "dataplane/provider/stream_usage.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// --- Heads
// ------------------------------------------------------------------------------------------

TEST(HeadScannerTest, FindsTheEndHoweverItArrives) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
  HeadScanner scanner;
  for (size_t size = 0; size < head.size(); ++size) {
    ASSERT_EQ(scanner.Scan(std::string_view(head).substr(0, size)),
              HeadScanner::Result::kIncomplete);
  }
  EXPECT_EQ(scanner.Scan(head + "BODY"), HeadScanner::Result::kComplete);
  EXPECT_EQ(scanner.size(), head.size());
}

TEST(HeadScannerTest, NoticesFoldsAndBareLineFeedsByteByByte) {
  for (const auto& [text, result] : std::map<std::string, HeadScanner::Result>{
           {"GET /\r\nA: b\r\n c\r\n\r\n", HeadScanner::Result::kFolded},
           {"GET /\r\nA: b\r\n\tc\r\n\r\n", HeadScanner::Result::kFolded},
           {"GET /\nA: b\r\n\r\n", HeadScanner::Result::kBareLineFeed},
           {"GET /\r\n\n", HeadScanner::Result::kBareLineFeed}}) {
    HeadScanner scanner;
    HeadScanner::Result last = HeadScanner::Result::kIncomplete;
    for (size_t size = 1; size <= text.size() && last == HeadScanner::Result::kIncomplete; ++size) {
      last = scanner.Scan(std::string_view(text).substr(0, size));
    }
    EXPECT_EQ(last, result) << text;
  }
}

TEST(HeadTest, ReadsTargetsOfBothForms) {
  RequestHead head;
  ASSERT_EQ(ParseRequestHead("GET /a/b?c=d&e HTTP/1.1\r\nHost: h:80\r\n\r\n", head),
            HeadError::kNone);
  EXPECT_EQ(head.host, "h:80");
  EXPECT_EQ(head.path, "/a/b");
  EXPECT_EQ(head.query, "c=d&e");
  EXPECT_TRUE(head.keep_alive);
  ASSERT_EQ(ParseRequestHead("GET HTTP://other?q HTTP/1.1\r\nHost: h\r\n\r\n", head),
            HeadError::kNone);
  EXPECT_EQ(head.host, "other");
  EXPECT_EQ(head.path, "/");
  EXPECT_EQ(head.query, "q");
  EXPECT_EQ(ParseRequestHead("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", head),
            HeadError::kTarget);
  EXPECT_EQ(ParseRequestHead("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", head), HeadError::kTarget);
  ASSERT_EQ(ParseRequestHead("GET / HTTP/1.0\r\n\r\n", head), HeadError::kNone);
  EXPECT_FALSE(head.keep_alive);
}

TEST(HeadTest, DropsCredentialParametersHoweverTheyAreWritten) {
  table::Credential credential;
  credential.place = table::Credential::Place::kQuery;
  credential.name = "my key";
  credential.value = SecretString("a%26b");
  std::string out;
  AppendQuery("a=1&key=x&%6Bey=x&API_KEY=x&my%20key=x&X-Amz-Signature=x&b=%2F&", credential, out);
  EXPECT_EQ(out, "?my%20key=a%26b&a=1&b=%2F&");
}

// What goes upstream of a head, at an endpoint without a path or a credential.
std::string UpstreamHeadOf(const std::string& bytes) {
  RequestHead head;
  EXPECT_EQ(ParseRequestHead(bytes, head), HeadError::kNone) << bytes;
  const table::Endpoint endpoint;
  UpstreamRequest request;
  request.head = &head;
  request.endpoint = &endpoint;
  request.path = head.path;
  std::string written;
  AppendUpstreamHead(request, written);
  return written;
}

TEST(HeadTest, PassesAQueryOnAsItCame) {
  const auto passed_on = [](const std::string& target) {
    const std::string head = UpstreamHeadOf("GET " + target + " HTTP/1.1\r\nhost: a\r\n\r\n");
    const size_t begin = head.find(' ') + 1;
    return head.substr(begin, head.find(' ', begin) - begin);
  };
  for (const char* target :
       {"/a", "/a?", "/a?b", "/a?b=1&", "/a?&", "/a?&&b=1", "/a?b=1&&c=2&&", "/a?b?c/%20=&d"}) {
    EXPECT_EQ(passed_on(target), target);
  }
  EXPECT_EQ(passed_on("/a?key=x"), "/a") << "nothing of a query is left";
  EXPECT_EQ(passed_on("/a?key=x&"), "/a?");
}

// RFC 9110 7.6.2
TEST(HeadTest, CountsForwardsDownOfOptionsOnly) {
  const auto passed_on = [](const std::string& method, const std::string& field) {
    return UpstreamHeadOf(method + " /a HTTP/1.1\r\nhost: a\r\n" + field + "\r\n\r\n");
  };
  const std::string counted = passed_on("OPTIONS", "Max-Forwards: 10");
  EXPECT_THAT(counted, HasSubstr("\r\nmax-forwards: 9\r\n"));
  EXPECT_THAT(counted, Not(HasSubstr("10")));
  EXPECT_THAT(passed_on("OPTIONS", "Max-Forwards: many"), HasSubstr("\r\nMax-Forwards: many\r\n"));
  EXPECT_THAT(passed_on("GET", "Max-Forwards: 0"), HasSubstr("\r\nMax-Forwards: 0\r\n"));
}

TEST(RequestSignatureTest, SignsWhatGoesOutAndNothingElse) {
  FakeClock clock;  // 2026-01-01T00:00:00Z
  provider::SigningKeyCache keys;
  RequestHead head;
  ASSERT_EQ(ParseRequestHead("POST /chat?a=b&key=secret HTTP/1.1\r\nHost: h\r\n\r\n", head),
            HeadError::kNone);
  table::Endpoint endpoint;
  endpoint.authority = "example.amazonaws.com";
  endpoint.base_path = "/base";
  endpoint.credential.value = SecretString("the-secret");
  UpstreamRequest request;
  request.head = &head;
  request.endpoint = &endpoint;
  request.path = "/model/a%3Ab/converse?c=d";
  const std::vector<std::string_view> body = {"{", "}"};

  EXPECT_TRUE(SignatureOf(request, body, clock, keys).empty()) << "another kind of credential";
  endpoint.credential.place = table::Credential::Place::kAwsSignature;
  endpoint.credential.aws = {SecretString("the-id"), SecretString(""), "eu-west-1", "bedrock"};
  const std::vector<std::string_view> whole = {"{}"};
  const auto expected = [&](std::string_view query) {
    return provider::SignV4({"POST",
                             "example.amazonaws.com",
                             "/base/model/a%3Ab/converse",
                             query,
                             whole,
                             "eu-west-1",
                             "bedrock",
                             1767225600,
                             {}},
                            {"the-id", "the-secret", ""});
  };

  EXPECT_EQ(SignatureOf(request, body, clock, keys), expected("c=d&a=b"));
  request.is_translated = true;
  EXPECT_EQ(SignatureOf(request, body, clock, keys), expected("c=d"));
  // What is signed is what is written.
  request.is_translated = false;
  std::string written;
  AppendUpstreamHead(request, written);
  EXPECT_THAT(written, testing::StartsWith("POST /base/model/a%3Ab/converse?c=d&a=b HTTP/1.1\r\n"
                                           "host: example.amazonaws.com\r\n"));
}

TEST(ErrorAnswerTest, EscapesWhatItQuotes) {
  std::string json;
  AppendErrorJson({400, "code", "a \"b\" \\ \n", -1, ""}, json);
  EXPECT_EQ(
      json,
      "{\"error\":{\"message\":\"a \\\"b\\\" \\\\ \\u000a\",\"type\":\"invalid_request_error\","
      "\"code\":\"code\",\"param\":null}}");
}

// --- Events
// -----------------------------------------------------------------------------------------

TEST(SseScannerTest, FindsTheEndOfTheLastWholeEvent) {
  EXPECT_EQ(SseScanner::WholeEvents(""), 0u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\n"), 0u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\n\n"), 9u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\n\ndata: b"), 9u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\r\n\r\ndata"), 11u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\r\n"), 0u);
  EXPECT_EQ(SseScanner::WholeEvents("data: a\r\rx"), 9u);
}

// As the relay does it: only whole events are passed on, without the chunk that only says usage.
std::string PassedOn(std::string_view stream, size_t cut) {
  std::string held;
  std::string passed;
  std::string buffer;
  for (const std::string_view piece : {stream.substr(0, cut), stream.substr(cut)}) {
    held.append(piece);
    const size_t whole = SseScanner::WholeEvents(held);
    passed.append(provider::WithoutUsageChunks(held.substr(0, whole), buffer));
    held.erase(0, whole);
  }
  return passed.append(held);
}

TEST(SseScannerTest, AUsageChunkIsTakenOutWhereverTheStreamIsCut) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const std::string text = "data: {\"choices\":[{\"delta\":{}}],\"usage\":null}" + end + end;
    const std::string usage = "data: {\"choices\":[],\"usage\":{\"a\":1}}" + end + end;
    const std::string done = "data: [DONE]" + end + end;
    const std::string stream = text + usage + text + usage + done;
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
      ASSERT_EQ(PassedOn(stream, cut), text + text + done) << cut;
    }
  }
}

TEST(SseScannerTest, KnowsTheEndFromTextThatTalksAboutIt) {
  SseScanner scanner;
  scanner.Add(
      "data: {\"choices\":[{\"delta\":{\"content\":\"[DONE] \\\"finish_reason\\\":\\\"stop\\\"\"},"
      "\"finish_reason\":null}]}\n\n");
  EXPECT_FALSE(scanner.has_ended());
  EXPECT_TRUE(scanner.has_data());
  scanner.Add("data: {\"choices\":[{\"finish_reason\": \"stop\"}]}\n\n");
  EXPECT_TRUE(scanner.has_ended());
  EXPECT_EQ(scanner.error_data(), "");
  SseScanner crlf;
  crlf.Add("event: error\r\ndata: {\"message\":\"overloaded\"}\r\n\r\n");
  EXPECT_EQ(crlf.error_event(), "error");
  EXPECT_EQ(crlf.error_data(), "{\"message\":\"overloaded\"}");
  SseScanner error;
  error.Add(
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n");
  EXPECT_TRUE(error.has_ended());
  EXPECT_EQ(error.error_event(), "error");
  EXPECT_THAT(error.error_data(), HasSubstr("overloaded_error"));
  // Wherever the words stand, and whatever is in front of them.
  for (size_t shift = 0; shift < 40; ++shift) {
    const std::string text(shift, '"');
    SseScanner finished;
    finished.Add("data: {\"a\":\"" + text + "\",\"finish_reason\":  \"stop\"}\r\n\r\n");
    EXPECT_TRUE(finished.has_ended()) << shift;
    SseScanner open;
    open.Add("data: {\"a\":\"" + text + "\",\"finish_reason\":null,\"f\":\"u\"}\r\r");
    EXPECT_FALSE(open.has_ended()) << shift;
    SseScanner usage;
    usage.Add("data: " + text + "{\"usage\":{\"prompt_tokens\":7}}\n\n");
    EXPECT_EQ(usage.usage().prompt, std::optional<uint64_t>(7)) << shift;
    SseScanner stopped;
    stopped.Add("data: {" + text + "\"type\":\"message_stop\"}\n\n");
    EXPECT_TRUE(stopped.has_ended()) << shift;
  }
  SseScanner done;
  done.Add("data:[DONE]\r\n\r\n");
  EXPECT_TRUE(done.has_ended());
}

// --- Addresses
// --------------------------------------------------------------------------------------

TEST(SocketAddressTest, KnowsLocalAddressesInEveryDisguise) {
  for (const char* local :
       {"127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "100.100.100.200", "224.0.0.1",
        "::1", "::", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::169.254.169.254",
        "2002:7f00:1::", "fd00:ec2::254", "ff02::1", "::127.0.0.1"}) {
    EXPECT_TRUE(SocketAddress::Parse(local, 1)->is_local()) << local;
  }
  for (const char* other : {"10.0.0.1", "192.168.1.1", "8.8.8.8", "2606:4700::1111", "fd12::1"}) {
    EXPECT_FALSE(SocketAddress::Parse(other, 1)->is_local()) << other;
  }
  EXPECT_EQ(SocketAddress::Parse("::ffff:1.2.3.4", 5)->HostString(), "1.2.3.4");
  EXPECT_EQ(SocketAddress::Parse("1.2.3.4", 5)->port(), 5);
  EXPECT_FALSE(SocketAddress::Parse("localhost", 5).has_value());
}

TEST(ResolveOverrideTest, ReadsBothForms) {
  const auto shorter = ParseResolveOverride("api.openai.com:443:127.0.0.1");
  ASSERT_TRUE(shorter.ok());
  EXPECT_EQ(shorter->address, (HostPort{"127.0.0.1", 443}));
  const auto longer = ParseResolveOverride("[::1]:443:[::2]:8443");
  ASSERT_TRUE(longer.ok());
  EXPECT_EQ(longer->host, "::1");
  EXPECT_EQ(longer->address, (HostPort{"::2", 8443}));
  for (const char* bad :
       {"", "a", "a:1", "a:0:1.1.1.1", "a:1:b", "a:1:1.1.1.1:", "a:1:1.1.1.1:x", "a:1:[::1"}) {
    EXPECT_FALSE(ParseResolveOverride(bad).ok()) << bad;
  }
}

TEST(ResolverTest, CachesAnswersAndServesOldOnesWhileTheNameServerFails) {
  FakeClock clock;
  std::atomic<int> lookups{0};
  std::atomic<bool> fails{false};
  Resolver resolver({}, clock, [&](const std::string&) {
    ++lookups;
    return fails ? Resolution{{}, false, "down"}
                 : Resolution{{*SocketAddress::Parse("10.0.0.1", 0)}, false, ""};
  });
  const auto resolve = [&] {
    Resolution result;
    if (resolver.TryResolve("Name.", 7, result)) {
      return result;
    }
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    resolver.Resolve("name", 7, [&](Resolution found) {
      std::lock_guard guard(mutex);
      result = std::move(found);
      done = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
    return result;
  };
  EXPECT_EQ(resolve().addresses.at(0).port(), 7);
  EXPECT_EQ(resolve().addresses.size(), 1u);
  EXPECT_EQ(lookups, 1);
  fails = true;
  clock.Advance(std::chrono::seconds(31));
  EXPECT_EQ(resolve().addresses.size(), 1u);
  EXPECT_EQ(lookups, 2);
  clock.Advance(std::chrono::minutes(10));
  EXPECT_EQ(resolve().error, "down");
  fails = false;
  clock.Advance(std::chrono::seconds(2));
  EXPECT_EQ(resolve().addresses.size(), 1u);
}

TEST(ResolverTest, ServesOldAnswersWhileTheNameServerIsSilent) {
  FakeClock clock;
  std::atomic<bool> is_silent{false};
  Resolver resolver({}, clock, [&](const std::string&) {
    is_silent.wait(true);
    return Resolution{{*SocketAddress::Parse("10.0.0.1", 0)}, false, ""};
  });
  Resolution result;
  const auto ask = [&] {
    auto answered = std::make_shared<std::promise<void>>();
    resolver.Resolve("name", 7, [answered](const Resolution&) { answered->set_value(); });
    return answered->get_future();
  };
  EXPECT_FALSE(resolver.TryResolve("name", 7, result));
  ask().wait();

  is_silent = true;
  clock.Advance(std::chrono::seconds(31));
  EXPECT_FALSE(resolver.TryResolve("name", 7, result));
  EXPECT_EQ(result.addresses.size(), 1u) << "for who has waited in vain";
  std::future<void> answered = ask();
  EXPECT_FALSE(resolver.TryResolve("name", 7, result)) << "the answer may come at once";
  clock.Advance(Resolver::kPatience);
  result = {};
  EXPECT_TRUE(resolver.TryResolve("name", 7, result));
  EXPECT_EQ(result.addresses.at(0).port(), 7);
  clock.Advance(std::chrono::minutes(6));
  EXPECT_FALSE(resolver.TryResolve("name", 7, result));

  is_silent = false;
  is_silent.notify_all();
  answered.wait();
  EXPECT_TRUE(resolver.TryResolve("name", 7, result));
}

// --- Deadlines
// --------------------------------------------------------------------------------------

struct Fired {
  int count = 0;
  static void Count(void* self) { ++static_cast<Fired*>(self)->count; }
};

TEST(DeadlineTest, GoesOffOnceAndNotBefore) {
  FakeClock clock;
  DeadlineWheel wheel(clock.Now());
  Fired fired;
  Deadline deadline(wheel, &Fired::Count, &fired);
  deadline.Set(clock.Now() + std::chrono::milliseconds(120));
  clock.Advance(std::chrono::milliseconds(100));
  wheel.Advance(clock.Now());
  EXPECT_EQ(fired.count, 0);
  clock.Advance(std::chrono::milliseconds(60));
  wheel.Advance(clock.Now());
  EXPECT_EQ(fired.count, 1);
  clock.Advance(std::chrono::hours(1));
  wheel.Advance(clock.Now());
  EXPECT_EQ(fired.count, 1);
}

TEST(DeadlineTest, MovesLaterAndEarlierAndBeyondTheWheel) {
  FakeClock clock;
  DeadlineWheel wheel(clock.Now());
  Fired later;
  Fired earlier;
  Fired far;
  Deadline a(wheel, &Fired::Count, &later);
  Deadline b(wheel, &Fired::Count, &earlier);
  Deadline c(wheel, &Fired::Count, &far);
  a.Set(clock.Now() + std::chrono::seconds(1));
  a.Set(clock.Now() + std::chrono::seconds(10));
  b.Set(clock.Now() + std::chrono::seconds(10));
  b.Set(clock.Now() + std::chrono::seconds(1));
  c.Set(clock.Now() + std::chrono::seconds(300));
  for (int tenth = 0; tenth < 2; ++tenth) {
    clock.Advance(std::chrono::seconds(1));
    wheel.Advance(clock.Now());
  }
  EXPECT_EQ(later.count, 0);
  EXPECT_EQ(earlier.count, 1);
  for (int second = 0; second < 290; ++second) {
    clock.Advance(std::chrono::seconds(1));
    wheel.Advance(clock.Now());
  }
  EXPECT_EQ(later.count, 1);
  EXPECT_EQ(far.count, 0);
  clock.Advance(std::chrono::seconds(20));
  wheel.Advance(clock.Now());
  EXPECT_EQ(far.count, 1);
}

}  // namespace
}  // namespace rota::engine
