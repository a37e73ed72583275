// Token usage of answers that an upstream has compressed: counted for gzip and identity, else its
// absence is counted. The bytes reach the client as they came.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gtest/gtest.h"
#include "tests/support/gzip_text.h"

namespace rota::engine::testing {
namespace {

using rota::testing::Gzip;

const std::string kJson = R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}})";
const std::string kEvents =
    "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";

struct Compressed {
  const char* name;
  const char* content_type;
  const char* content_encoding;
  std::string body;
  double tokens;
  const char* skipped;  // label of the counter; "" when it does not move
};

TEST(EngineUsageTest, CountsTokensOfGzipAndIdentityAndWhatItCannotRead) {
  const std::string json = Gzip(kJson);
  const Compressed rows[] = {
      {"JSON, identity by name", "application/json", "identity", kJson, 7, ""},
      {"events, identity by name", "text/event-stream", "identity", kEvents, 7, ""},
      {"JSON, gzip", "application/json", "gzip", json, 7, ""},
      {"JSON, gzip in capitals", "application/json; charset=utf-8", "GZIP", json, 7, ""},
      {"JSON, type in capitals", "Application/JSON", "identity", kJson, 7, ""},
      {"JSON, gzip, type in capitals", "APPLICATION/JSON;a=b", "gzip", json, 7, ""},
      {"events, gzip, type in capitals", "Text/Event-Stream", "gzip", Gzip(kEvents), 7, ""},
      {"a type that begins alike", "application/jsonx", "identity", kJson, 0, ""},
      {"a type that begins alike, gzip", "text/event-streamx", "gzip", Gzip(kEvents), 0, ""},
      {"events, gzip", "text/event-stream", "gzip", Gzip(kEvents), 7, ""},
      {"JSON, another coding", "application/json", "br", "\x8b\x02\x80{}\x03", 0, "reason=coding"},
      {"events, another coding", "text/event-stream", "zstd", "\x28\xb5\x2f\xfd", 0,
       "reason=coding"},
      {"JSON, two codings", "application/json", "gzip, br", json, 0, "reason=coding"},
      {"JSON, cut short", "application/json", "gzip", json.substr(0, json.size() / 2), 0,
       "reason=damaged"},
      {"JSON that is no gzip", "application/json", "gzip", kJson, 0, "reason=damaged"},
      {"a picture", "image/png", "br", "png", 0, ""},
  };
  for (const Compressed& row : rows) {
    for (const bool in_pieces : {false, true}) {
      SCOPED_TRACE(absl::StrCat(row.name, in_pieces ? ", in pieces" : ", at once"));
      TestUpstream upstream([&](const Message&, Wire& wire) {
        wire.Send(absl::StrCat("HTTP/1.1 200 OK\r\ncontent-type: ", row.content_type,
                               "\r\ncontent-encoding: ", row.content_encoding,
                               "\r\ntransfer-encoding: chunked\r\n\r\n"));
        char line[20];
        const size_t step = in_pieces ? 5 : row.body.size();
        for (size_t at = 0; at < row.body.size(); at += step) {
          const std::string piece = row.body.substr(at, step);
          std::snprintf(line, sizeof(line), "%zx\r\n", piece.size());
          wire.Send(absl::StrCat(line, piece, "\r\n"));
        }
        return wire.Send("0\r\n\r\n");
      });
      TestGateway gateway(ChatApi({upstream.port()}));

      const auto answer = Ask(gateway.port(), ChatRequest("{}", "Accept-Encoding: gzip\r\n"));

      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->body, row.body);
      EXPECT_EQ(answer->Field("content-encoding"), row.content_encoding);
      ASSERT_TRUE(Eventually([&] { return gateway.Metric("rota_requests_total") == 1; }));
      EXPECT_EQ(gateway.Metric("rota_tokens_total"), row.tokens);
      EXPECT_EQ(gateway.Metric("rota_usage_skipped_total"), *row.skipped == '\0' ? 0 : 1);
      if (*row.skipped != '\0') {
        EXPECT_EQ(gateway.Metric("rota_usage_skipped_total", row.skipped), 1);
      }
    }
  }
}

TEST(EngineUsageTest, ReadsTheCodeOfACompressedError) {
  const std::string error = Gzip(
      R"({"error":{"message":"used up","type":"insufficient_quota","code":"insufficient_quota"}})");
  TestUpstream empty(
      Always(Answer(403, error, "content-type: application/json\r\ncontent-encoding: gzip\r\n")));
  TestUpstream good(Always(Answer(200, "{}")));
  TestGateway gateway(ChatApi({empty.port(), good.port()}));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest())->status(), 200);
  }
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineUsageTest, PassesACompressedErrorOnAsItCame) {
  const std::string error = Gzip(R"({"error":{"message":"no such thing"}})");
  TestUpstream upstream(Always(Answer(404, error, "content-encoding: gzip\r\n")));
  TestGateway gateway(ChatApi({upstream.port()}));
  const auto answer = Ask(gateway.port(), ChatRequest());
  EXPECT_EQ(answer->body, error);
  EXPECT_EQ(answer->Field("content-encoding"), "gzip");
  EXPECT_EQ(gateway.suspended(), 0u);
}

// --- Usage that the client has not asked for
// ------------------------------------------------------------------------

const std::string kStreamed = R"({"model":"x","stream":true,"messages":[]})";
const std::string kFirst = R"({"id":"1","choices":[{"delta":{"content":"Hi"}}],"usage":null})";
const std::string kLast =
    R"({"id":"1","choices":[{"delta":{},"finish_reason":"stop"}],"usage":null})";
const std::string kUsageChunk =
    R"({"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}})";

std::string EventsOf(const std::vector<std::string>& data, std::string_view end) {
  std::string events;
  for (const std::string& one : data) {
    absl::StrAppend(&events, "data: ", one, std::string(end), std::string(end));
  }
  return events;
}

// `events` in pieces of `size` bytes, whatever was asked.
TestUpstream::Handler StreamOf(const std::string& events, size_t size) {
  return [events, size](const Message&, Wire& wire) {
    wire.Send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        "transfer-encoding: chunked\r\n\r\n");
    for (size_t place = 0; place < events.size(); place += size) {
      const std::string piece = events.substr(place, size);
      wire.Send(absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n"));
    }
    return wire.Send("0\r\n\r\n");
  };
}

// A rotation over one endpoint of `provider`.
std::string ApiOf(uint16_t port, std::string_view provider, std::string_view more = "") {
  return absl::StrCat(
      "uid: \"u\" base_path: \"/chat\" version: \"1.0\" endpoints { url: \"http://127.0.0.1:", port,
      "/v1\" name: \"e\" provider: \"", std::string(provider), "\" ", std::string(more),
      " } rotations { id: \"r\" environment: PRODUCTION failure_threshold: 3 targets { id: \"t\" "
      "model: \"m\" endpoint: 0 "
      "weight: 1 } } operations { verb: \"POST\" target: \"/chat/completions\" kind: CHAT "
      "production "
      "{ rotation: 1 endpoint: 0 } }");
}

TEST(EngineUsageTest, AsksForUsageAndTakesItOutAgain) {
  for (const std::string_view end : {"\n", "\r\n"}) {
    for (const size_t size : {size_t{1}, size_t{7}, size_t{1} << 20}) {
      TestUpstream upstream(StreamOf(EventsOf({kFirst, kLast, kUsageChunk, "[DONE]"}, end), size));
      TestGateway gateway(ApiOf(upstream.port(), "openai"));

      const auto answer =
          Ask(gateway.port(), ChatRequest(kStreamed, "accept-encoding: gzip, br\r\n"));

      ASSERT_TRUE(answer.has_value());
      EXPECT_TRUE(answer->complete);
      EXPECT_EQ(answer->body, EventsOf({kFirst, kLast, "[DONE]"}, end));
      const Message request = upstream.requests().at(0);
      EXPECT_EQ(request.body,
                R"({"stream_options":{"include_usage":true},"model":"m","stream":true,)"
                R"("messages":[]})");
      EXPECT_EQ(request.Field("accept-encoding"), "identity");
      EXPECT_TRUE(
          Eventually([&] { return gateway.Metric("rota_tokens_total", "kind=completion") == 4; }));
    }
  }
}

TEST(EngineUsageTest, AClientThatAsksForUsageGetsIt) {
  TestUpstream upstream(StreamOf(EventsOf({kFirst, kLast, kUsageChunk, "[DONE]"}, "\n"), 10));
  TestGateway gateway(ApiOf(upstream.port(), "openai"));
  const std::string body =
      R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]})";

  const auto answer = Ask(gateway.port(), ChatRequest(body, "accept-encoding: gzip\r\n"));

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, EventsOf({kFirst, kLast, kUsageChunk, "[DONE]"}, "\n"));
  EXPECT_EQ(upstream.requests().at(0).body, body);
  EXPECT_EQ(upstream.requests().at(0).Field("accept-encoding"), "gzip");
}

TEST(EngineUsageTest, AnUpstreamThatIgnoresTheQuestionIsPassedOn) {
  const std::string events = EventsOf({kFirst, kLast, "[DONE]"}, "\n");
  TestUpstream streaming(StreamOf(events, 9));
  TestGateway gateway(ApiOf(streaming.port(), "vllm"));
  EXPECT_EQ(Ask(gateway.port(), ChatRequest(kStreamed))->body, events);
  TestUpstream whole(Always(Answer(200, kJson, "content-type: application/json\r\n")));
  TestGateway other(ApiOf(whole.port(), "vllm"));
  EXPECT_EQ(Ask(other.port(), ChatRequest(kStreamed))->body, kJson);
  EXPECT_TRUE(
      Eventually([&] { return other.Metric("rota_tokens_total", "kind=completion") == 4; }));
}

TEST(EngineUsageTest, WhoRefusesTheFieldIsNotAsked) {
  const std::string events = EventsOf({kFirst, kLast, kUsageChunk, "[DONE]"}, "\n");
  struct Row {
    const char* provider;
    const char* more;
  };
  for (const Row& row : {Row{"custom", ""}, Row{"mistral", ""}, Row{"of-a-later-build", ""},
                         Row{"azure", R"(provider_options { api_version: "2024-06-01" })"}}) {
    SCOPED_TRACE(row.provider);
    TestUpstream upstream(StreamOf(events, 64));
    TestGateway gateway(ApiOf(upstream.port(), row.provider, row.more));
    EXPECT_EQ(Ask(gateway.port(), ChatRequest(kStreamed))->body, events);
    EXPECT_EQ(upstream.requests().at(0).body, R"({"model":"m","stream":true,"messages":[]})");
  }
}

TEST(EngineUsageTest, AFieldGoesByTheNameThatTheProviderHas) {
  TestUpstream upstream(Always(Answer(200, "{}")));
  TestGateway gateway(ApiOf(upstream.port(), "mistral"));
  Ask(gateway.port(),
      ChatRequest(
          R"({"model":"x","stream":true,"stream_options":{"include_usage":true},"seed":7})"));
  EXPECT_EQ(upstream.requests().at(0).body, R"({"model":"m","stream":true,"random_seed":7})");
}

}  // namespace
}  // namespace rota::engine::testing
