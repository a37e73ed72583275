// TLS on both sides.

#include <openssl/ssl.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::HasSubstr;

TEST(EngineTlsTest, VerifiesTheUpstreamAndSendsItsName) {
  TestCertificates certificates("api.example.com");
  TestUpstream upstream(
      [](const Message&, Wire& wire) {
        const char* name = SSL_get_servername(wire.ssl(), TLSEXT_NAMETYPE_host_name);
        const std::string resumed = SSL_session_reused(wire.ssl()) == 1 ? "resumed" : "full";
        wire.Send(Answer(200, absl::StrCat(name == nullptr ? "none" : name, " ", resumed),
                         "connection: close\r\n"));
        return false;
      },
      certificates.server_context());
  TestGateway gateway(TlsApi("api.example.com", upstream.port()),
                      Trusting(certificates, "api.example.com", upstream.port()));

  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->body, "api.example.com full");
  EXPECT_EQ(Ask(gateway.port(), ChatRequest())->body, "api.example.com resumed");
}

TEST(EngineTlsTest, RefusesAnotherNameAndAnUnknownCa) {
  TestCertificates certificates("api.example.com");
  TestCertificates others("api.example.com");
  TestUpstream upstream(Always(Answer(200, "{}")), certificates.server_context());

  TestGateway wrong_name(TlsApi("other.example.com", upstream.port()),
                         Trusting(certificates, "other.example.com", upstream.port()));
  const auto refused = Ask(wrong_name.port(), ChatRequest());
  EXPECT_EQ(refused->status(), 503);
  EXPECT_EQ(refused->Field("x-rota-error"), "102503");
  TestGateway wrong_ca(TlsApi("api.example.com", upstream.port()),
                       Trusting(others, "api.example.com", upstream.port()));
  EXPECT_EQ(Ask(wrong_ca.port(), ChatRequest())->status(), 503);
  EXPECT_TRUE(upstream.requests().empty());
}

// RFC 9112 9.8: without a length only close_notify says that an answer is whole.
TEST(EngineTlsTest, CutsAnAnswerThatEndsWithoutCloseNotify) {
  TestCertificates certificates("api.example.com");
  std::atomic<bool> is_proper{false};
  TestUpstream upstream(
      [&is_proper](const Message&, Wire& wire) {
        wire.Send("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nall or part");
        if (is_proper) {
          SSL_shutdown(wire.ssl());
        }
        return false;
      },
      certificates.server_context());
  TestGateway gateway(TlsApi("api.example.com", upstream.port()),
                      Trusting(certificates, "api.example.com", upstream.port()));
  for (const bool proper : {true, false}) {
    is_proper = proper;
    const auto answer = Ask(gateway.port(), "GET /chat/1.0/files/a HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->body, "all or part");
    EXPECT_EQ(answer->complete, proper);
  }
}

class EngineHttpsTest : public ::testing::Test {
 protected:
  EngineHttpsTest()
      : certificates_("gateway.example.com"),
        upstream_(Always(Answer(200, "{}"))),
        gateway_(ChatApi({upstream_.port()}), Options()) {}
  GatewayOptions Options() const {
    GatewayOptions options;
    options.https = true;
    options.certificate_file = certificates_.certificate_file();
    options.key_file = certificates_.key_file();
    return options;
  }
  std::string Request(const std::string& host) const {
    return absl::StrCat("GET /chat/1.0/models HTTP/1.1\r\nHost: ", host, "\r\n\r\n");
  }
  TestCertificates certificates_;
  TestUpstream upstream_;
  TestGateway gateway_;
};

TEST_F(EngineHttpsTest, ServesAndClosesProperly) {
  Wire wire(Connect(gateway_.https_port()));
  ASSERT_TRUE(wire.StartTls(certificates_.client_context(), false, "gateway.example.com"));
  wire.Send(Request("api.example.com"));
  EXPECT_EQ(Reader(wire).ReadMessage(true)->status(), 421);
  Wire other(Connect(gateway_.https_port()));
  ASSERT_TRUE(other.StartTls(certificates_.client_context(), false, "gateway.example.com"));
  Reader other_reader(other);
  other.Send(Request("gateway.example.com:443"));
  EXPECT_EQ(other_reader.ReadMessage(true)->status(), 200);
  other.Send(
      "GET /chat/1.0/models HTTP/1.1\r\nHost: gateway.example.com\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(other_reader.ReadMessage(true)->status(), 200);
  char byte = 0;
  const int code = SSL_read(other.ssl(), &byte, 1);
  EXPECT_EQ(SSL_get_error(other.ssl(), code), SSL_ERROR_ZERO_RETURN);  // close_notify
}

// RFC 9112 9.8
TEST_F(EngineHttpsTest, SaysGoodbyeToAClientThatHasSaidItFirst) {
  Wire wire(Connect(gateway_.https_port()));
  ASSERT_TRUE(wire.StartTls(certificates_.client_context(), false, "gateway.example.com"));
  wire.Send(Request("gateway.example.com"));
  EXPECT_EQ(Reader(wire).ReadMessage(true)->status(), 200);
  EXPECT_EQ(SSL_shutdown(wire.ssl()), 0) << "sent";
  EXPECT_EQ(SSL_shutdown(wire.ssl()), 1) << "and received";
}

// RFC 9112 9.3
TEST_F(EngineHttpsTest, TakesNoBodyOfAMisdirectedRequestForARequest) {
  Wire wire(Connect(gateway_.https_port()));
  ASSERT_TRUE(wire.StartTls(certificates_.client_context(), false, "gateway.example.com"));
  Reader reader(wire);
  const std::string body = Request("gateway.example.com");
  wire.Send(absl::StrCat("POST /chat/1.0/files/a HTTP/1.1\r\nHost: api.example.com\r\n",
                         "Content-Length: ", body.size(), "\r\n\r\n", body,
                         "GET /nothing HTTP/1.1\r\nHost: gateway.example.com\r\n\r\n"));
  EXPECT_EQ(reader.ReadMessage(true)->status(), 421);
  EXPECT_EQ(reader.ReadMessage(true)->status(), 404) << "the body was served";
}

TEST_F(EngineHttpsTest, PassesLargeBodiesBothWays) {
  TestUpstream echo(
      [](const Message& request, Wire& wire) { return wire.Send(Answer(200, request.body)); });
  TestGateway gateway(ChatApi({echo.port()}), Options());
  Wire wire(Connect(gateway.https_port()));
  ASSERT_TRUE(wire.StartTls(certificates_.client_context(), false));
  const std::string body = "{\"model\":\"m0\",\"t\":\"" + std::string(3 << 20, 'x') + "\"}";
  std::jthread sender([&] { wire.Send(ChatRequest(body)); });
  sender.join();
  const auto answer = Reader(wire).ReadMessage(true);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, body);
}

TEST_F(EngineHttpsTest, CancelsTheUpstreamRequestOfAClientThatPipelinesAndLeaves) {
  std::atomic<bool> asked{false};
  std::atomic<bool> cancelled{false};
  TestUpstream upstream([&](const Message&, Wire& wire) {
    asked = true;
    cancelled = wire.Receive().empty();
    return false;
  });
  TestGateway gateway(ChatApi({upstream.port()}), Options());
  auto leaving = std::make_unique<Wire>(Connect(gateway.https_port()));
  ASSERT_TRUE(leaving->StartTls(certificates_.client_context(), false));
  leaving->Send(ChatRequest());
  ASSERT_TRUE(Eventually([&asked] { return asked.load(); }));
  leaving->Send("GET / HTTP/1.1\r\nX-A: " + std::string(60000, 'x'));
  leaving.reset();
  EXPECT_TRUE(Eventually([&cancelled] { return cancelled.load(); }));
}

TEST_F(EngineHttpsTest, AgreesOnHttp11AndRefusesOldVersions) {
  SSL_CTX* old = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
  SSL_CTX_set_security_level(old, 0);
  Wire outdated(Connect(gateway_.https_port()));
  EXPECT_FALSE(outdated.StartTls(old, false));
  SSL_CTX_free(old);

  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  const unsigned char both[] = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(context, both, sizeof(both) - 1);
  Wire wire(Connect(gateway_.https_port()));
  ASSERT_TRUE(wire.StartTls(context, false));
  const unsigned char* chosen = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(wire.ssl(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  SSL_CTX_free(context);
}

TEST_F(EngineHttpsTest, TakesANewCertificateAndKeepsTheOldOneOnAnError) {
  TestCertificates renewed("renewed.example.com");
  std::filesystem::copy_file(renewed.certificate_file(), certificates_.certificate_file(),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_FALSE(gateway_.engine().ReloadCertificates().ok());  // the key does not fit
  Wire before(Connect(gateway_.https_port()));
  EXPECT_TRUE(before.StartTls(certificates_.client_context(), false, "gateway.example.com"));
  std::filesystem::copy_file(renewed.key_file(), certificates_.key_file(),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(gateway_.engine().ReloadCertificates().ok());
  Wire after(Connect(gateway_.https_port()));
  EXPECT_TRUE(after.StartTls(renewed.client_context(), false, "renewed.example.com"));
}

TEST_F(EngineHttpsTest, ShrugsOffPlainTextAndSilence) {
  Wire plain(Connect(gateway_.https_port()));
  plain.Send("GET / HTTP/1.1\r\n\r\n");
  Reader(plain).ReadToEnd();
  Wire silent(Connect(gateway_.https_port()));
  Wire good(Connect(gateway_.https_port()));
  EXPECT_TRUE(good.StartTls(certificates_.client_context(), false, "gateway.example.com"));
}

}  // namespace
}  // namespace rota::engine::testing
