#include "controller/identity/certificates.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/openssl_ptr.h"
#include "common/status_macros.h"

namespace rota::identity {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Key;
using openssl::ReadFrom;

// RFC 5280: at most 20 bytes, positive.
constexpr int kSerialBits = 128;
// The year 2255: WallTime counts nanoseconds and ends soon after.
constexpr std::time_t kLatestTime = 9'000'000'000;
constexpr size_t kMaxNameBytes = 253;

// OpenSSL's queue of errors is per thread and would be somebody else's next error.
struct ErrorQueue {
  ~ErrorQueue() { ERR_clear_error(); }
};

absl::Status Failed(const char* what) {
  const unsigned long error = ERR_get_error();
  const char* reason = ERR_reason_error_string(error);
  return absl::InternalError(
      absl::StrCat("OpenSSL cannot ", what, ": ", reason == nullptr ? "no reason given" : reason));
}

Certificate Parse(std::string_view pem) {
  if (pem.empty()) {
    return nullptr;
  }
  const Bio bio = ReadFrom(pem);
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

Key ParseKey(const SecretString& pem) {
  if (pem.empty()) {
    return nullptr;
  }
  const Bio bio = ReadFrom(pem.Reveal());
  // A key that is encrypted is no key: without this OpenSSL would ask the terminal.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

WallTime TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    return WallTime{};  // long past
  }
  return std::chrono::system_clock::from_time_t(
      std::clamp<std::time_t>(timegm(&parts), 0, kLatestTime));
}

std::vector<std::string> DnsNames(const X509* certificate) {
  std::vector<std::string> found;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      const ASN1_IA5STRING* text = name->d.dNSName;
      found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                         static_cast<size_t>(ASN1_STRING_length(text)));
    }
  }
  GENERAL_NAMES_free(names);
  std::sort(found.begin(), found.end());
  return found;
}

bool SetTimes(X509* certificate, const Validity& validity) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate),
                       std::chrono::system_clock::to_time_t(validity.not_before)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate),
                       std::chrono::system_clock::to_time_t(validity.not_after)) != nullptr;
}

bool SetSerial(X509* certificate) {
  BIGNUM* serial = BN_new();
  const bool good = serial != nullptr && BN_rand(serial, kSerialBits, BN_RAND_TOP_ONE, 0) == 1 &&
                    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(serial);
  return good;
}

bool SetName(X509_NAME* name, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.data()),
                                    static_cast<int>(common_name.size()), -1, 0) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  const bool good = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return good;
}

struct Request {
  std::string common_name;
  Validity validity;
  std::vector<std::pair<int, std::string>> extensions;
};

// `issuer` null: self-signed.
absl::StatusOr<KeyPair> Make(const Request& request, X509* issuer, EVP_PKEY* issuer_key) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (key == nullptr || certificate == nullptr) {
    return Failed("make a key");
  }
  X509* signer = issuer == nullptr ? certificate.get() : issuer;
  if (X509_set_version(certificate.get(), X509_VERSION_3) != 1 || !SetSerial(certificate.get()) ||
      !SetTimes(certificate.get(), request.validity) ||
      X509_set_pubkey(certificate.get(), key.get()) != 1 ||
      !SetName(X509_get_subject_name(certificate.get()), request.common_name) ||
      X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) != 1) {
    return Failed("fill in a certificate");
  }
  for (const auto& [kind, value] : request.extensions) {
    if (!AddExtension(certificate.get(), signer, kind, value)) {
      return Failed("add an extension to a certificate");
    }
  }
  if (X509_sign(certificate.get(), issuer == nullptr ? key.get() : issuer_key, EVP_sha256()) <= 0) {
    return Failed("sign a certificate");
  }
  const Bio certificate_pem(BIO_new(BIO_s_mem()));
  const Bio key_pem(BIO_new(BIO_s_mem()));  // OpenSSL wipes it when it is freed
  if (PEM_write_bio_X509(certificate_pem.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return Failed("write a certificate");
  }
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(key_pem.get(), &bytes);
  return KeyPair{Text(certificate_pem.get()),
                 SecretString(std::string_view(bytes, static_cast<size_t>(size)))};
}

}  // namespace

bool IsDnsName(const std::string& name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
         name.find("..") == std::string::npos && std::all_of(name.begin(), name.end(), is_allowed);
}

absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem) {
  const ErrorQueue errors;
  const Certificate certificate = Parse(pem);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError("there is no certificate in it");
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  if (size <= 0) {
    return absl::InvalidArgumentError("the certificate cannot be encoded");
  }
  CertificateFacts facts;
  const Bio pem_again(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(pem_again.get(), certificate.get());
  facts.pem = Text(pem_again.get());
  facts.fingerprint =
      Sha256Hex(std::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(size)));
  OPENSSL_free(der);
  facts.validity = {TimeOf(X509_get0_notBefore(certificate.get())),
                    TimeOf(X509_get0_notAfter(certificate.get()))};
  facts.is_authority = X509_check_ca(certificate.get()) == 1;
  facts.dns_names = DnsNames(certificate.get());
  return facts;
}

bool KeyFits(const KeyPair& pair) {
  const ErrorQueue errors;
  const Certificate certificate = Parse(pair.certificate);
  const Key key = ParseKey(pair.key);
  return certificate != nullptr && key != nullptr &&
         X509_check_private_key(certificate.get(), key.get()) == 1;
}

bool IsSignedBy(std::string_view certificate, std::string_view authority) {
  const ErrorQueue errors;
  const Certificate signed_one = Parse(certificate);
  const Certificate signer = Parse(authority);
  return signed_one != nullptr && signer != nullptr &&
         X509_verify(signed_one.get(), X509_get0_pubkey(signer.get())) == 1;
}

absl::StatusOr<KeyPair> MakeAuthority(const std::string& common_name, const Validity& validity) {
  const ErrorQueue errors;
  return Make({common_name,
               validity,
               {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                {NID_key_usage, "critical,keyCertSign"},
                {NID_subject_key_identifier, "hash"}}},
              nullptr, nullptr);
}

absl::StatusOr<KeyPair> IssueServing(const KeyPair& authority,
                                     const std::vector<std::string>& dns_names,
                                     const Validity& validity) {
  const ErrorQueue errors;
  const Certificate issuer = Parse(authority.certificate);
  const Key issuer_key = ParseKey(authority.key);
  if (issuer == nullptr || issuer_key == nullptr || dns_names.empty() ||
      !std::all_of(dns_names.begin(), dns_names.end(), IsDnsName)) {
    return absl::InvalidArgumentError("a certificate needs an authority and DNS names");
  }
  std::string alternatives;
  for (const std::string& name : dns_names) {
    absl::StrAppend(&alternatives, alternatives.empty() ? "DNS:" : ",DNS:", name);
  }
  return Make({"rota-controller",
               validity,
               {{NID_basic_constraints, "critical,CA:FALSE"},
                {NID_key_usage, "critical,digitalSignature"},
                {NID_ext_key_usage, "serverAuth"},
                {NID_subject_key_identifier, "hash"},
                {NID_authority_key_identifier, "keyid:always"},
                {NID_subject_alt_name, alternatives}}},
              issuer.get(), issuer_key.get());
}

}  // namespace rota::identity
