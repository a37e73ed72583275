#pragma once

// What to do next about the certificates of this installation, given what is stored now: one pure
// function, one step at a time. Whoever carries a step out reads everything again and asks anew, so
// it does not matter who did the step before, or whether it was done whole.
//
// Three objects are kept (docs/concepts/identity.md):
//   the authority (Secret):     ca.crt, ca.key: the newest CA; old-ca.crt, old-ca.key: the one
//   before the bundle (ConfigMap):     ca.crt: what data planes trust, and since when the newest is
//   in it the certificate (Secret):   tls.crt, tls.key: what every replica shows
// A new CA is put into the bundle at once, and signs when it has been there for `overlap`; until
// then the old one signs. Then the old key is forgotten; the old CA is trusted until nothing that
// it has signed can be valid any more.
//
// Nothing stored is taken for granted: garbage, half a pair, a key that does not fit, a date out of
// range all count as absent. Thread-safe; no I/O, no clock.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "controller/identity/certificates.h"

namespace rota::identity {

inline constexpr char kNewestCertificate[] = "ca.crt";
inline constexpr char kNewestKey[] = "ca.key";
inline constexpr char kOldCertificate[] = "old-ca.crt";
inline constexpr char kOldKey[] = "old-ca.key";
inline constexpr char kServingCertificate[] = "tls.crt";
inline constexpr char kServingKey[] = "tls.key";

struct Policy {
  Duration authority_life = std::chrono::hours(365 * 24);
  Duration serving_life = std::chrono::hours(7 * 24);
  // For a new CA to reach every data plane before it signs: a mounted ConfigMap takes about two
  // minutes.
  Duration overlap = std::chrono::hours(1);
  // New certificates are valid from so long ago, for hosts whose clocks are late. Shorter for
  // short lives.
  Duration backdate = std::chrono::hours(1);
  std::vector<std::string> dns_names;  // at least one
};

// A serving certificate keeps the names of the one before until it is renewed, so that replicas of
// two versions do not undo each other's work; at most so many names.
inline constexpr size_t kMaxDnsNames = 32;

using SecretData = std::map<std::string, SecretString>;

struct Bundle {
  std::string certificates;  // PEM, the newest first
  // "FINGERPRINT TIME": since when that newest CA has been in the bundle.
  std::string newest_since;
};

// What is stored; nullopt: there is no such object.
struct Stored {
  std::optional<SecretData> authority;
  std::optional<Bundle> bundle;
  std::optional<SecretData> serving;
};

enum class Action {
  kNothing,
  kMakeAuthority,  // a new newest CA; `old` stays beside it
  kForgetOldKey,   // the old CA signs no more
  kForgetOld,      // and is trusted no more
  kPublishBundle,  // as `bundle`
  kIssueServing,   // for `dns_names`, signed by `signer`
};

struct Decision {
  Action action = Action::kNothing;
  std::string reason;  // for the log
  std::optional<KeyPair> old;
  Bundle bundle;
  std::optional<KeyPair> signer;
  std::vector<std::string> dns_names;
  WallTime look_again;  // with kNothing: when there will be something to do
};

Decision Decide(const Stored& stored, const Policy& policy, WallTime now);

// The object that the action is about, as it is to be stored: exactly these keys.
struct Change {
  enum class Object { kAuthority, kBundle, kServing };
  Object object = Object::kAuthority;
  SecretData secret;  // of kAuthority and kServing
  Bundle bundle;
};

// Makes the keys and certificates. REQUIRES: decision.action != kNothing.
absl::StatusOr<Change> CarryOut(const Decision& decision, const Stored& stored,
                                const Policy& policy, WallTime now);

// What to show clients: the stored certificate when it can be shown at all, expired or not.
std::optional<KeyPair> UsableServing(const Stored& stored);

}  // namespace rota::identity
