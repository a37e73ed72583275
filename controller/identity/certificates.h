#pragma once

// Certificates as this controller makes and reads them: ECDSA P-256, X.509 v3, PEM. The only file
// here that speaks to OpenSSL.
//
// Times are whole seconds. Pure but for the randomness of keys and serial numbers; thread-safe.
// Keys are kept in zeroising memory only, and no error quotes what it could not read.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"

namespace rota::identity {

struct KeyPair {
  std::string certificate;  // PEM
  SecretString key;         // PEM; empty: not known
};

struct Validity {
  WallTime not_before;
  WallTime not_after;

  bool contains(WallTime now) const { return not_before <= now && now < not_after; }
  // When two thirds of it have gone: time for the next one.
  WallTime renew_at() const { return not_before + (not_after - not_before) * 2 / 3; }
};

struct CertificateFacts {
  std::string pem;          // of this certificate alone, as OpenSSL writes it
  std::string fingerprint;  // SHA-256, hex
  Validity validity;
  bool is_authority = false;           // may sign certificates
  std::vector<std::string> dns_names;  // sorted
};

// Lower-case letters, digits, '-' and '.': what a Service can be called.
bool IsDnsName(const std::string& name);

// The first certificate of `pem`. InvalidArgument when there is none.
absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem);

// Whether `pair.key` is the private key of `pair.certificate`.
bool KeyFits(const KeyPair& pair);

// Whether the key of `authority` has signed `certificate`. Looks at no dates.
bool IsSignedBy(std::string_view certificate, std::string_view authority);

// A new self-signed authority. `common_name` should differ from that of any other one.
absl::StatusOr<KeyPair> MakeAuthority(const std::string& common_name, const Validity& validity);

// A new serving certificate. REQUIRES: KeyFits(authority); the caller keeps within its validity.
// InvalidArgument unless every name IsDnsName().
absl::StatusOr<KeyPair> IssueServing(const KeyPair& authority,
                                     const std::vector<std::string>& dns_names,
                                     const Validity& validity);

}  // namespace rota::identity
