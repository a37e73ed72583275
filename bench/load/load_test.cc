#include "bench/load/load.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "bench/load/event_scanner.h"
#include "bench/load/response_reader.h"
#include "gtest/gtest.h"
#include "tests/support/mock_llm/server.h"

namespace rota::bench {
namespace {

using mock_llm::Behavior;
using mock_llm::Server;
using mock_llm::ServerOptions;

TEST(HistogramTest, QuantilesAreRightToOnePercent) {
  Histogram histogram;
  for (int64_t value = 1; value <= 1'000'000; ++value) {
    histogram.Add(value);
  }

  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.5)), 500'000, 5'000);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.99)), 990'000, 9'900);
  EXPECT_EQ(histogram.Quantile(1.0), 1'000'000u);
  EXPECT_EQ(Histogram().Quantile(0.5), 0u);
}

TEST(HistogramTest, TakesTheWholeRangeOfValues) {
  Histogram histogram;
  histogram.Add(-5);
  histogram.Add(std::numeric_limits<int64_t>::max());

  EXPECT_EQ(histogram.Quantile(0.1), 0u);
  EXPECT_EQ(histogram.Quantile(1.0), static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

TEST(ResponseReaderTest, ReadsAnyFramingCutAnywhere) {
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n "
      "world\r\n0\r\nX: y\r\n\r\n";
  const std::string length = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world";
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  for (const std::string& text : {chunked, length}) {
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      std::string body;
      ResponseReader reader([&](std::string_view piece) { body.append(piece); });
      reader.Read(interim);
      reader.Read(std::string_view(text).substr(0, cut));
      if (cut < text.size()) {
        ASSERT_NE(reader.state(), ResponseReader::State::kDone) << cut;
        reader.Read(std::string_view(text).substr(cut));
      }
      ASSERT_EQ(reader.state(), ResponseReader::State::kDone) << text << cut;
      ASSERT_EQ(body, "hello world");
    }
  }
}

TEST(ResponseReaderTest, ACutAnswerIsBroken) {
  ResponseReader reader;
  reader.Read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");

  EXPECT_EQ(reader.ReadEnd(), ResponseReader::State::kBroken);
}

TEST(EventScannerTest, ReadsStampsAndTheEndCutAnywhere) {
  const std::string text =
      "data: {\"id\":1,\"system_fingerprint\":\"t=12345\"}\n\ndata: {\"x\":2}\n\ndata: [DONE]\n\n";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    std::vector<int64_t> stamps;
    EventScanner scanner([&](int64_t sent) { stamps.push_back(sent); });
    scanner.Read(std::string_view(text).substr(0, cut));
    scanner.Read(std::string_view(text).substr(cut));
    ASSERT_EQ(stamps, std::vector<int64_t>{12345});
    ASSERT_EQ(scanner.events(), 3u);
    ASSERT_TRUE(scanner.is_done());
    ASSERT_FALSE(scanner.has_error());
  }
}

class LoadTest : public testing::Test {
 protected:
  void StartServer(ServerOptions options = {}) {
    auto started = Server::Start(std::move(options), clock_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  LoadOptions Options(bool stream = false) const {
    LoadOptions options;
    options.target = server_->address();
    const std::string body = absl::StrCat(R"({"model":"m","stream":)", stream ? "true" : "false",
                                          R"(,"messages":[{}]})");
    options.request = absl::StrCat(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: ", body.size(),
        "\r\n\r\n", body);
    options.connections = 8;
    options.duration = std::chrono::milliseconds(300);
    options.streams = stream;
    return options;
  }
  RealClock clock_;
  std::unique_ptr<Server> server_;
};

TEST_F(LoadTest, ClosedLoopKeepsEveryConnectionBusy) {
  StartServer();

  const auto result = RunLoad(Options(), clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->requests, 100u);
  EXPECT_EQ(result->statuses.at(200), result->requests);
  EXPECT_EQ(result->latency.count(), result->requests);
}

TEST_F(LoadTest, OpenLoopSendsAtTheRate) {
  StartServer();
  LoadOptions options = Options();
  options.rate = 200;

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GE(result->requests, 20u);
  EXPECT_LE(result->requests, 60u);
}

// A server that answers after 100 ms on one connection serves 10 requests a second: at a rate of 50
// those that wait are charged for it.
TEST_F(LoadTest, OpenLoopChargesForWaiting) {
  ServerOptions server;
  Behavior slow;
  slow.delay = std::chrono::milliseconds(100);
  server.behaviors = {{"m", slow}};
  StartServer(std::move(server));
  LoadOptions options = Options();
  options.connections = 1;
  options.rate = 50;
  options.duration = std::chrono::milliseconds(450);

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->latency.maximum(), 250'000'000u);
  EXPECT_GT(result->overdue, 10u);
}

TEST_F(LoadTest, CountsStreamsThatEndAndThoseThatAreCut) {
  ServerOptions server;
  server.answer.stamp_chunks = true;
  Behavior cut;
  cut.cut_after_chunks = 2;
  cut.first = 3;
  server.behaviors = {{"m", cut}};
  StartServer(std::move(server));

  const auto result = RunLoad(Options(/*stream=*/true), clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->streams_finished, 5u);
  EXPECT_EQ(result->errors.at("stream"), 3u);
  EXPECT_GT(result->chunk_delay.count(), 5u * 8u);
  EXPECT_LT(result->chunk_delay.Quantile(0.5), 1'000'000'000u);
}

TEST_F(LoadTest, AServerThatIsNotThereIsAnError) {
  StartServer();
  LoadOptions options = Options();
  server_.reset();
  options.duration = std::chrono::seconds(5);

  EXPECT_EQ(RunLoad(options, clock_).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rota::bench
