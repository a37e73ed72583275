#include "controller/identity/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "common/clock.h"
#include "common/openssl_ptr.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const WallTime kNow = FakeClock().WallNow();

KeyPair Authority(const std::string& name = "ca one",
                  Validity validity = {kNow - hours(1), kNow + hours(100)}) {
  absl::StatusOr<KeyPair> made = MakeAuthority(name, validity);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

KeyPair Serving(const KeyPair& authority,
                const std::vector<std::string>& names = {"rota.example", "rota-system"},
                Validity validity = {kNow - hours(1), kNow + hours(10)}) {
  absl::StatusOr<KeyPair> made = IssueServing(authority, names, validity);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

openssl::Certificate Parse(const std::string& pem) {
  const openssl::Bio bio = openssl::ReadFrom(pem);
  return openssl::Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

// What a TLS client does: chain, dates, purpose and name, all by OpenSSL. X509_V_OK or the reason.
int Verify(const KeyPair& serving, const std::vector<KeyPair>& trusted, const std::string& host,
           WallTime now) {
  const openssl::Store store(X509_STORE_new());
  for (const KeyPair& authority : trusted) {
    X509_STORE_add_cert(store.get(), Parse(authority.certificate).get());
  }
  const openssl::Certificate certificate = Parse(serving.certificate);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
  X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context, 0, std::chrono::system_clock::to_time_t(now));
  X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), host.c_str(), 0);
  X509_verify_cert(context);
  const int error = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  return error;
}

TEST(CertificatesTest, AClientTrustsWhatItsAuthorityHasIssuedForTheName) {
  const KeyPair authority = Authority();
  const KeyPair serving = Serving(authority);
  EXPECT_EQ(Verify(serving, {authority}, "rota.example", kNow), X509_V_OK);
  EXPECT_EQ(Verify(serving, {authority}, "rota-system", kNow), X509_V_OK);
  EXPECT_EQ(Verify(serving, {authority}, "other.example", kNow), X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(Verify(serving, {authority}, "rota.example", kNow + hours(11)),
            X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(Verify(serving, {authority}, "rota.example", kNow - hours(2)),
            X509_V_ERR_CERT_NOT_YET_VALID);
}

TEST(CertificatesTest, OfTwoTrustedAuthoritiesTheRightOneIsFound) {
  const KeyPair one = Authority("ca one");
  const KeyPair two = Authority("ca two");
  EXPECT_EQ(Verify(Serving(one), {two, one}, "rota.example", kNow), X509_V_OK);
  EXPECT_EQ(Verify(Serving(two), {two, one}, "rota.example", kNow), X509_V_OK);
  EXPECT_NE(Verify(Serving(one), {two}, "rota.example", kNow), X509_V_OK);
}

TEST(CertificatesTest, AServingCertificateSignsNothing) {
  const KeyPair authority = Authority();
  const KeyPair serving = Serving(authority);
  const KeyPair forged = Serving(serving);
  EXPECT_NE(Verify(forged, {authority, serving}, "rota.example", kNow), X509_V_OK);
}

TEST(CertificatesTest, FactsAreReadBack) {
  const KeyPair authority = Authority();
  const KeyPair serving = Serving(authority, {"b.example", "a.example"});
  const auto facts = ReadCertificate(serving.certificate);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_THAT(facts->dns_names, ElementsAre("a.example", "b.example"));
  EXPECT_FALSE(facts->is_authority);
  EXPECT_EQ(facts->validity.not_before, kNow - hours(1));
  EXPECT_EQ(facts->validity.not_after, kNow + hours(10));
  EXPECT_EQ(facts->pem, serving.certificate);
  const auto of_authority = ReadCertificate(authority.certificate);
  ASSERT_TRUE(of_authority.ok());
  EXPECT_TRUE(of_authority->is_authority);
  EXPECT_NE(of_authority->fingerprint, facts->fingerprint);
}

TEST(CertificatesTest, OnlyTheFirstCertificateOfATextCountsAndNothingAroundIt) {
  const KeyPair one = Authority("ca one");
  const KeyPair two = Authority("ca two");
  const auto facts = ReadCertificate("words\n" + one.certificate + "more\n" + two.certificate);
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->pem, one.certificate);
}

TEST(CertificatesTest, AKeyFitsItsOwnCertificateOnly) {
  const KeyPair one = Authority("ca one");
  const KeyPair two = Authority("ca two");
  EXPECT_TRUE(KeyFits(one));
  EXPECT_FALSE(KeyFits({one.certificate, two.key}));
  EXPECT_FALSE(KeyFits({one.certificate, SecretString()}));
  EXPECT_FALSE(KeyFits({"", one.key}));
}

TEST(CertificatesTest, WhoHasSignedIsToldByTheKeyNotByTheName) {
  const KeyPair one = Authority("same name");
  const KeyPair two = Authority("same name");
  const KeyPair serving = Serving(one);
  EXPECT_TRUE(IsSignedBy(serving.certificate, one.certificate));
  EXPECT_FALSE(IsSignedBy(serving.certificate, two.certificate));
  EXPECT_FALSE(IsSignedBy("", one.certificate));
  EXPECT_FALSE(IsSignedBy(serving.certificate, "garbage"));
}

TEST(CertificatesTest, GarbageIsAnErrorThatQuotesNothing) {
  for (const std::string& text :
       {std::string(), std::string("s3cr3t"), std::string("\0\xff", 2),
        std::string("-----BEGIN CERTIFICATE-----\ns3cr3t\n-----END CERTIFICATE-----\n"),
        Authority().certificate.substr(0, 200)}) {
    const auto facts = ReadCertificate(text);
    EXPECT_EQ(facts.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(facts.status().message()), Not(HasSubstr("s3cr3t")));
    EXPECT_FALSE(KeyFits({Authority().certificate, SecretString(text)}));
  }
}

TEST(CertificatesTest, AnEncryptedKeyIsNoKeyAndNobodyIsAskedForItsPassword) {
  const KeyPair authority = Authority();
  const openssl::Bio bio = openssl::ReadFrom(authority.key.Reveal());
  const openssl::Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  const openssl::Bio encrypted(BIO_new(BIO_s_mem()));
  const unsigned char password[] = "password";
  ASSERT_EQ(PEM_write_bio_PrivateKey(encrypted.get(), key.get(), EVP_aes_128_cbc(), password,
                                     sizeof password - 1, nullptr, nullptr),
            1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(encrypted.get(), &data);
  EXPECT_FALSE(KeyFits(
      {authority.certificate, SecretString(std::string_view(data, static_cast<size_t>(size)))}));
}

TEST(CertificatesTest, TwoCertificatesHaveTwoSerialNumbersAndTwoKeys) {
  const KeyPair authority = Authority();
  const KeyPair one = Serving(authority);
  const KeyPair two = Serving(authority);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(Parse(one.certificate).get()),
                             X509_get0_serialNumber(Parse(two.certificate).get())),
            0);
  EXPECT_FALSE(one.key == two.key);
}

TEST(CertificatesTest, ANameThatWouldSayMoreThanOneNameIsRefused) {
  const KeyPair authority = Authority();
  const Validity validity = {kNow, kNow + hours(1)};
  for (const char* name :
       {"", "a,DNS:evil.example", "*.example", "A.example", "a b", "a..b", ".a", "URI:x", "a\nb"}) {
    EXPECT_FALSE(IsDnsName(name)) << name;
    EXPECT_EQ(IssueServing(authority, {name}, validity).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
  EXPECT_FALSE(IsDnsName(std::string(254, 'a')));
  EXPECT_TRUE(IsDnsName("rota-controller.rota-system.svc.cluster.local"));
  EXPECT_FALSE(IssueServing(authority, {}, validity).ok());
}

TEST(ValidityTest, TwoThirdsOfALife) {
  const Validity validity = {kNow, kNow + hours(9)};
  EXPECT_EQ(validity.renew_at(), kNow + hours(6));
  EXPECT_TRUE(validity.contains(kNow));
  EXPECT_FALSE(validity.contains(kNow + hours(9)));
  EXPECT_FALSE(validity.contains(kNow - std::chrono::seconds(1)));
}

}  // namespace
}  // namespace rota::identity
