#include "dataplane/engine/certificate_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509.h>

#include <atomic>
#include <thread>

#include "dataplane/engine/tls.h"
#include "tests/support/certificates.h"

namespace rota::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The common name of a certificate; "" without one.
std::string NameOf(const X509* certificate) {
  char name[256] = "";
  if (certificate != nullptr) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof(name));
  }
  return name;
}

std::string NameIn(SSL_CTX* context) {
  return NameOf(context == nullptr ? nullptr : SSL_CTX_get0_certificate(context));
}

// The common name that a client sees who asks a server with that context for `host`; "": there is
// no handshake.
std::string NamePresented(SSL_CTX* server_context, SSL_CTX* client_context, const char* host) {
  BIO* client_end = nullptr;
  BIO* server_end = nullptr;
  BIO_new_bio_pair(&client_end, 0, &server_end, 0);
  const std::unique_ptr<SSL, void (*)(SSL*)> server(SSL_new(server_context), SSL_free);
  const std::unique_ptr<SSL, void (*)(SSL*)> client(SSL_new(client_context), SSL_free);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_bio(client.get(), client_end, client_end);
  // The macro for it casts in a way that our warnings refuse.
  std::string name = host;
  SSL_ctrl(client.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  for (int i = 0; i < 10 && SSL_is_init_finished(client.get()) == 0; ++i) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  const std::unique_ptr<X509, void (*)(X509*)> shown(SSL_get1_peer_certificate(client.get()),
                                                     X509_free);
  return NameOf(shown.get());
}

class CertificateSetTest : public ::testing::Test {
 protected:
  // A certificate that says "<listener> <version>".
  table::ServerCertificate Certificate(const std::string& listener, const std::string& hostname,
                                       uint64_t version = 1) {
    const auto pair = testing::MakeCertificate(authority_, listener + " " + std::to_string(version),
                                               "", {"gateway.test"});
    return {listener, hostname, version, pair.certificate, SecretString(pair.key)};
  }
  std::shared_ptr<const CertificateSet> Make(
      const std::vector<table::ServerCertificate>& certificates,
      const CertificateSet* before = nullptr) {
    problems_.clear();
    return std::make_shared<const CertificateSet>(certificates, before, problems_);
  }

  const testing::KeyPair authority_ = testing::MakeAuthority("test");
  std::vector<CertificateProblem> problems_;
};

TEST_F(CertificateSetTest, TheNameThatTheClientAsksForDecides) {
  const auto set =
      Make({Certificate("rest", ""), Certificate("wide", "*.example.com"),
            Certificate("narrow", "*.ai.example.com"), Certificate("exact", "ai.example.com")});

  EXPECT_EQ(NameIn(set->Choose("ai.example.com")), "exact 1");
  EXPECT_EQ(NameIn(set->Choose("AI.Example.com")), "exact 1");
  EXPECT_EQ(NameIn(set->Choose("x.ai.example.com")), "narrow 1");
  EXPECT_EQ(NameIn(set->Choose("y.x.ai.example.com")), "narrow 1");
  EXPECT_EQ(NameIn(set->Choose("other.example.com")), "wide 1");
  EXPECT_EQ(NameIn(set->Choose("example.com")), "rest 1");
  EXPECT_EQ(NameIn(set->Choose("badexample.com")), "rest 1");
  EXPECT_EQ(NameIn(set->Choose("")), "rest 1");
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(CertificateSetTest, WithoutAListenerForTheRestTheFirstOneAnswers) {
  const auto set = Make({Certificate("a", "a.test"), Certificate("b", "b.test")});

  EXPECT_EQ(NameIn(set->Choose("c.test")), "a 1");
  EXPECT_EQ(NameIn(set->Choose("")), "a 1");
}

TEST_F(CertificateSetTest, NothingToAnswerWithIsNoContext) {
  EXPECT_EQ(Make({})->front(), nullptr);
  EXPECT_EQ(Make({{"a", "", 0, "", SecretString()}})->front(), nullptr);
  EXPECT_NE(Make({Certificate("a", "")})->front(), nullptr);
}

TEST_F(CertificateSetTest, ACertificateThatCannotBeUsedLeavesTheOneBefore) {
  const auto before = Make({Certificate("a", "a.test"), Certificate("b", "b.test")});
  table::ServerCertificate broken = Certificate("a", "a.test", 2);
  broken.chain = "no certificate";
  table::ServerCertificate mixed = Certificate("b", "b.test", 2);
  mixed.key = Certificate("b", "b.test", 3).key;
  table::ServerCertificate hopeless = Certificate("c", "c.test");
  hopeless.key = SecretString("no key");

  const auto after = Make({broken, mixed, hopeless}, before.get());

  EXPECT_EQ(NameIn(after->Choose("a.test")), "a 1");
  EXPECT_EQ(NameIn(after->Choose("b.test")), "b 1");
  EXPECT_EQ(NameIn(after->Choose("c.test")), "a 1");
  ASSERT_THAT(problems_, SizeIs(3));
  EXPECT_EQ(problems_[0].listener, "a");
  EXPECT_THAT(problems_[0].message, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_THAT(problems_[1].message, HasSubstr("not that of the certificate"));
  EXPECT_THAT(problems_[2].message, HasSubstr("PRIVATE KEY"));
  EXPECT_FALSE(after->IsMadeOf({broken, mixed}));
}

TEST_F(CertificateSetTest, ASecretThatIsGoneLeavesTheCertificateInUse) {
  const auto before = Make({Certificate("a", "a.test")});

  const auto after = Make({{"a", "new.test", 0, "", SecretString()}}, before.get());

  EXPECT_EQ(NameIn(after->Choose("new.test")), "a 1");
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(CertificateSetTest, TheSameVersionIsNotReadAgain) {
  const auto first = Certificate("a", "");
  const auto before = Make({first});
  EXPECT_TRUE(before->IsMadeOf({first}));
  const auto after = Make({first, Certificate("b", "b.test")}, before.get());

  EXPECT_EQ(after->Choose(""), before->Choose(""));
}

TEST_F(CertificateSetTest, WhoHasAContextKeepsTheSet) {
  const auto tls = *ServerTls::Create("", "");
  EXPECT_EQ(tls->context(), nullptr);
  EXPECT_THAT(tls->SetCertificates({Certificate("a", "")}), IsEmpty());
  const SslContext held = tls->context();
  ASSERT_NE(held, nullptr);

  EXPECT_THAT(tls->SetCertificates({Certificate("a", "", 2)}), IsEmpty());

  EXPECT_NE(tls->context(), held);
  SSL* const ssl = SSL_new(held.get());  // what it points at must still be there
  EXPECT_NE(ssl, nullptr);
  SSL_free(ssl);
}

// As loops accept connections while the thread that applies configuration replaces certificates.
TEST_F(CertificateSetTest, ConnectionsBeginWhileCertificatesAreReplaced) {
  constexpr int kClients = 2;
  const auto tls = *ServerTls::Create("", "");
  const std::vector<table::ServerCertificate> versions[] = {
      {Certificate("a", "a.test", 1), Certificate("b", "b.test", 1)},
      {Certificate("a", "a.test", 2), Certificate("b", "b.test", 1)}};
  tls->SetCertificates(versions[0]);
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&] {
        const SslContext client(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
        for (int round = 0; round < 20; ++round) {
          const SslContext context = tls->context();
          const std::string a = NamePresented(context.get(), client.get(), "a.test");
          const std::string b = NamePresented(context.get(), client.get(), "b.test");
          wrong += (a == "a 1" || a == "a 2") && b == "b 1" ? 0 : 1;
        }
      });
    }
    for (int round = 0; round < 40; ++round) {
      EXPECT_THAT(tls->SetCertificates(versions[(round + 1) % 2]), IsEmpty());
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace rota::engine
