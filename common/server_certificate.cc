#include "common/server_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <memory>

#include "common/openssl_ptr.h"

namespace rota {
namespace {

using SslContext = std::unique_ptr<SSL_CTX, openssl::Freer<SSL_CTX_free>>;

// Nobody is there to be asked for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status Invalid(const char* what) {
  ERR_clear_error();
  return absl::InvalidArgumentError(what);
}

}  // namespace

absl::Status UseServerCertificate(SSL_CTX* context, std::string_view chain, std::string_view key) {
  ERR_clear_error();
  const openssl::Bio chain_text = openssl::ReadFrom(chain);
  const openssl::Certificate own(
      PEM_read_bio_X509_AUX(chain_text.get(), nullptr, NoPassphrase, nullptr));
  if (own == nullptr) {
    return Invalid(
        "holds no PEM certificate (-----BEGIN CERTIFICATE-----): put the server's certificate "
        "first, then its chain");
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return Invalid("the certificate is of a kind that cannot be used (its key is too weak?)");
  }
  // The macros for these cast in a way that our warnings refuse.
  SSL_CTX_ctrl(context, SSL_CTRL_CHAIN, 0, nullptr);
  while (true) {
    const openssl::Certificate next(
        PEM_read_bio_X509(chain_text.get(), nullptr, NoPassphrase, nullptr));
    if (next == nullptr) {
      break;
    }
    if (SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 1, next.get()) != 1) {
      return Invalid("a certificate of the chain is of a kind that cannot be used");
    }
  }
  ERR_clear_error();  // the end of the text counts as an error
  const openssl::Bio key_text = openssl::ReadFrom(key);
  const openssl::Key private_key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, NoPassphrase, nullptr));
  if (private_key == nullptr) {
    return Invalid("holds no PEM key without a passphrase (-----BEGIN PRIVATE KEY-----)");
  }
  if (SSL_CTX_use_PrivateKey(context, private_key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Invalid("the key is not that of the certificate");
  }
  return absl::OkStatus();
}

absl::Status CheckServerCertificate(std::string_view chain, std::string_view key) {
  const SslContext context(SSL_CTX_new(TLS_server_method()));
  return context == nullptr ? absl::InternalError("OpenSSL has no TLS server method")
                            : UseServerCertificate(context.get(), chain, key);
}

}  // namespace rota
