// Certificates for the engine's tests, made on the spot, and contexts of both ends.

#include <openssl/ssl.h>

#include <filesystem>

#include "common/file.h"
#include "engine_test_support.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"

namespace rota::engine::testing {

TestCertificates::TestCertificates(const std::string& name) {
  std::string pattern = std::filesystem::temp_directory_path() / "rota-tls-XXXXXX";
  folder_ = ::mkdtemp(pattern.data());
  const rota::testing::KeyPair authority = rota::testing::MakeAuthority("test CA");
  const rota::testing::KeyPair server =
      rota::testing::MakeCertificate(authority, name, "", {name, "127.0.0.1"});
  EXPECT_TRUE(WriteFileAtomically(ca_file(), authority.certificate).ok());
  EXPECT_TRUE(WriteFileAtomically(certificate_file(), server.certificate).ok());
  EXPECT_TRUE(WriteFileAtomically(key_file(), server.key).ok());
  server_ = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate_file(server_, certificate_file().c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(server_, key_file().c_str(), SSL_FILETYPE_PEM);
  client_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(client_, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_load_verify_locations(client_, ca_file().c_str(), nullptr);
}

TestCertificates::~TestCertificates() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace rota::engine::testing
