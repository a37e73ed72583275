#include "bench/load/load.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdio>
#include <limits>

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

struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct CertificateDeleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FileDeleter {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Writes a self-signed certificate for the name "mock.test" and its key.
void WriteCertificate(const std::string& certificate_file, const std::string& key_file) {
  const std::unique_ptr<EVP_PKEY, KeyDeleter> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, CertificateDeleter> certificate(X509_new());
  X509* x509 = certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
  X509_set_pubkey(x509, key.get());
  X509_NAME* name = X509_get_subject_name(x509);
  const std::string common_name = "mock.test";
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.data()), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:mock.test");
  X509_add_ext(x509, names, -1);
  X509_EXTENSION_free(names);
  ASSERT_GT(X509_sign(x509, key.get(), EVP_sha256()), 0);
  const std::unique_ptr<std::FILE, FileDeleter> certificate_out(
      std::fopen(certificate_file.c_str(), "w"));
  const std::unique_ptr<std::FILE, FileDeleter> key_out(std::fopen(key_file.c_str(), "w"));
  ASSERT_EQ(PEM_write_X509(certificate_out.get(), x509), 1);
  ASSERT_EQ(PEM_write_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
            1);
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
    options.requests = {absl::StrCat(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: ", body.size(),
        "\r\n\r\n", body)};
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

TEST_F(LoadTest, CountsSuccessesAfterTheWarmUpByThemselves) {
  StartServer();
  LoadOptions options = Options();
  options.warmup = std::chrono::milliseconds(100);

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->steady_successes, 0u);
  EXPECT_LT(result->steady_successes, result->requests);
  EXPECT_NEAR(result->seconds - result->steady_seconds, 0.1, 0.001);
}

TEST_F(LoadTest, CountsRefusalsApartAndWhetherTheyNameATime) {
  ServerOptions server;
  Behavior refuse;
  refuse.status = 503;
  refuse.first = 3;
  refuse.headers = {{"retry-after", "1"}};
  server.behaviors = {{"m", refuse}};
  StartServer(std::move(server));

  const auto result = RunLoad(Options(), clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->statuses.at(503), 3u);
  EXPECT_EQ(result->retry_after, 3u);
  EXPECT_EQ(result->refusal_latency.count(), 3u);
  EXPECT_EQ(result->latency.count(), result->requests - 3);
}

TEST_F(LoadTest, ListsSlowAnswers) {
  ServerOptions server;
  Behavior slow;
  slow.delay = std::chrono::milliseconds(100);
  slow.first = 2;
  server.behaviors = {{"m", slow}};
  StartServer(std::move(server));
  LoadOptions options = Options();
  options.slow = std::chrono::milliseconds(90);
  const MonotonicTime before = clock_.Now();

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_GE(result->slow.size(), 2u);
  EXPECT_EQ(result->slow_count, result->slow.size());
  EXPECT_GE(result->slow[0].latency, std::chrono::milliseconds(100));
  EXPECT_GE(result->slow[0].due, before);
}

TEST_F(LoadTest, TakesItsRequestsInTurn) {
  StartServer();
  LoadOptions options = Options();
  options.connections = 1;
  options.requests.push_back("GET /unknown HTTP/1.1\r\nHost: mock\r\n\r\n");

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  const uint64_t good = result->statuses.at(200);
  const uint64_t unknown = result->statuses.at(404);
  EXPECT_LE(std::max(good, unknown) - std::min(good, unknown), 1u);
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

TEST_F(LoadTest, StreamsWithARateStartWhenAllAreConnected) {
  StartServer();
  LoadOptions options = Options(/*stream=*/true);
  options.rate = 100;
  const MonotonicTime before = clock_.Now();

  const auto result = RunLoad(options, clock_);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->streams_finished, 8u);
  EXPECT_GE(clock_.Now() - before, std::chrono::milliseconds(70));  // 8 starts, 10 ms apart
}

TEST_F(LoadTest, SpeaksTlsAndVerifiesTheName) {
  const std::string certificate = testing::TempDir() + "load_test_cert.pem";
  const std::string key = testing::TempDir() + "load_test_key.pem";
  ASSERT_NO_FATAL_FAILURE(WriteCertificate(certificate, key));
  ServerOptions server;
  server.tls_certificate_file = certificate;
  server.tls_key_file = key;
  StartServer(std::move(server));
  for (const bool stream : {false, true}) {
    LoadOptions options = Options(stream);
    options.tls = true;
    options.tls_ca_file = certificate;
    options.tls_server_name = "mock.test";

    const auto good = RunLoad(options, clock_);
    options.tls_server_name = "other.test";
    const auto bad = RunLoad(options, clock_);

    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_GE(good->requests, 8u);
    EXPECT_EQ(good->statuses.at(200), good->requests);
    EXPECT_TRUE(good->errors.find("tls") == good->errors.end());
    ASSERT_TRUE(bad.ok()) << bad.status();
    EXPECT_EQ(bad->requests, 0u);
    EXPECT_GE(bad->errors.at("tls"), 8u);
  }
  std::remove(certificate.c_str());
  std::remove(key.c_str());
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
