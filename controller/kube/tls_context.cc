#include "controller/kube/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "common/openssl_ptr.h"
#include "common/server_name.h"
#include "common/status_macros.h"

namespace rota::kube {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Key;
using openssl::Store;

absl::Status Bad(std::string_view what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_peek_last_error(), text.data(), text.size());
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), " (", text.data(), ")"));
}

absl::Status SetTrust(SSL_CTX* context, const std::string& ca) {
  Store store(X509_STORE_new());
  const Bio pem = openssl::ReadFrom(ca);
  int count = 0;
  while (Certificate certificate{PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr)}) {
    if (X509_STORE_add_cert(store.get(), certificate.get()) != 1) {
      return Bad("the certificate authority cannot be used");
    }
    ++count;
  }
  ERR_clear_error();  // the end of the bundle is reported as an error
  if (count == 0) {
    return absl::InvalidArgumentError(
        "the certificate authority holds no PEM certificate; it must start with "
        "-----BEGIN CERTIFICATE-----");
  }
  SSL_CTX_set_cert_store(context, store.release());
  return absl::OkStatus();
}

absl::Status SetIdentity(SSL_CTX* context, const TlsMaterial& material) {
  const Bio certificates = openssl::ReadFrom(material.certificate);
  Certificate leaf(PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return Bad("the client certificate is not usable PEM");
  }
  while (Certificate chain{PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)}) {
    if (SSL_CTX_add1_chain_cert(context, chain.get()) != 1) {
      return Bad("the client certificate's chain cannot be used");
    }
  }
  ERR_clear_error();
  const Bio key_pem = openssl::ReadFrom(material.key.Reveal());
  // A callback that gives no password: never ask a terminal for one.
  const Key key(PEM_read_bio_PrivateKey(
      key_pem.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr));
  if (key == nullptr) {
    return Bad("the client key is not usable PEM (encrypted keys are not supported)");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return Bad("the client key does not belong to the client certificate");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ConfigureClientContext(SSL_CTX* context, const TlsMaterial& material,
                                    const std::string& name) {
  ERR_clear_error();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (!material.ca.empty()) {
    RETURN_IF_ERROR(SetTrust(context, material.ca));
  }
  if (!material.certificate.empty()) {
    RETURN_IF_ERROR(SetIdentity(context, material));
  }
  return ExpectServerName(SSL_CTX_get0_param(context), name)
             ? absl::OkStatus()
             : Bad("the server name cannot be checked");
}

}  // namespace rota::kube
