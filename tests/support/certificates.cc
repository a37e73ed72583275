#include "tests/support/certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <iostream>

#include "common/address.h"
#include "common/openssl_ptr.h"

namespace rota::testing {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Key;

void Check(bool good, const char* what) {
  if (!good) {
    std::cerr << "test certificate: " << what << " failed\n";
    std::abort();
  }
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string PemOf(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
        "writing a key");
  return Text(bio.get());
}

std::string PemOf(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_X509(bio.get(), certificate) == 1, "writing a certificate");
  return Text(bio.get());
}

void AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  Check(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
  X509_EXTENSION_free(extension);
}

void AddName(X509_NAME* name, const char* field, const std::string& value) {
  if (!value.empty()) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(value.data());
    Check(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes,
                                     static_cast<int>(value.size()), -1, 0) == 1,
          "naming a certificate");
  }
}

// `issuer` nullptr: self-signed.
Certificate Build(EVP_PKEY* key, const std::string& common_name, const std::string& organization,
                  const std::string& alternatives, X509* issuer, EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  AddName(name, "O", organization);
  AddName(name, "CN", common_name);
  X509* signer = issuer == nullptr ? certificate.get() : issuer;
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  AddExtension(certificate.get(), signer, NID_basic_constraints,
               issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (!alternatives.empty()) {
    AddExtension(certificate.get(), signer, NID_subject_alt_name, alternatives);
  }
  Check(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0, "signing");
  return certificate;
}

}  // namespace

std::string MakeKey() {
  const Key key(EVP_EC_gen("P-256"));
  Check(key != nullptr, "making a key");
  // The form in which kube-apiserver finds a public key inside a private one.
  const Bio bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_PrivateKey_traditional(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                             nullptr) == 1,
        "writing a key");
  return Text(bio.get());
}

KeyPair MakeAuthority(const std::string& common_name) {
  const Key key(EVP_EC_gen("P-256"));
  Check(key != nullptr, "making a key");
  const Certificate certificate = Build(key.get(), common_name, "", "", nullptr, key.get());
  return {PemOf(certificate.get()), PemOf(key.get())};
}

KeyPair MakeCertificate(const KeyPair& authority, const std::string& common_name,
                        const std::string& organization, const std::vector<std::string>& names) {
  const Bio certificate_pem = openssl::ReadFrom(authority.certificate);
  const Bio key_pem = openssl::ReadFrom(authority.key);
  const Certificate issuer(PEM_read_bio_X509(certificate_pem.get(), nullptr, nullptr, nullptr));
  const Key issuer_key(PEM_read_bio_PrivateKey(key_pem.get(), nullptr, nullptr, nullptr));
  Check(issuer != nullptr && issuer_key != nullptr, "reading the authority");
  std::string alternatives;
  for (const std::string& name : names) {
    const bool has_kind = name.starts_with("URI:");
    const std::string kind = has_kind ? "" : IsAddress(name) ? "IP:" : "DNS:";
    alternatives += (alternatives.empty() ? "" : ",") + kind + name;
  }
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate =
      Build(key.get(), common_name, organization, alternatives, issuer.get(), issuer_key.get());
  return {PemOf(certificate.get()), PemOf(key.get())};
}

}  // namespace rota::testing
