// Certificates for tests, made on the spot.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "engine_test_support.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

EVP_PKEY* NewKey() { return EVP_EC_gen("P-256"); }

void AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* NewCertificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, issuer == nullptr ? subject : X509_get_subject_name(issuer));
  if (issuer == nullptr) {
    AddExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    AddExtension(certificate, issuer, NID_subject_alt_name, "DNS:" + name + ",IP:127.0.0.1");
  }
  X509_sign(certificate, issuer_key, EVP_sha256());
  return certificate;
}

template <typename Write>
void WriteFile(const std::string& path, Write write) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr) << path;
  write(file);
  std::fclose(file);
}

}  // namespace

TestCertificates::TestCertificates(const std::string& name) {
  std::string pattern = std::filesystem::temp_directory_path() / "rota-tls-XXXXXX";
  folder_ = ::mkdtemp(pattern.data());
  EVP_PKEY* ca_key = NewKey();
  EVP_PKEY* key = NewKey();
  X509* ca = NewCertificate("test CA", ca_key, nullptr, ca_key);
  X509* certificate = NewCertificate(name, key, ca, ca_key);
  WriteFile(ca_file(), [ca](std::FILE* file) { PEM_write_X509(file, ca); });
  WriteFile(certificate_file(),
            [certificate](std::FILE* file) { PEM_write_X509(file, certificate); });
  WriteFile(key_file(), [key](std::FILE* file) {
    PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  server_ = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate(server_, certificate);
  SSL_CTX_use_PrivateKey(server_, key);
  client_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(client_, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_load_verify_locations(client_, ca_file().c_str(), nullptr);
  X509_free(ca);
  X509_free(certificate);
  EVP_PKEY_free(ca_key);
  EVP_PKEY_free(key);
}

TestCertificates::~TestCertificates() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace rota::engine::testing
