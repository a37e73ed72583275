// Token usage of answers that an upstream has compressed: counted for gzip and identity, else its
// absence is counted. The bytes reach the client as they came.

#include <string>

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

}  // namespace
}  // namespace rota::engine::testing
