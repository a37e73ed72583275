#include "controller/identity/plan.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/hash.h"
#include "common/status_macros.h"

namespace rota::identity {
namespace {

// What the clocks of two replicas may differ by.
constexpr Duration kClockSkew = std::chrono::minutes(5);

// A certificate that is what it should be, at this moment.
struct Known {
  KeyPair pair;  // without the key when that does not fit
  CertificateFacts facts;

  bool can_sign() const { return !pair.key.empty(); }
};

const SecretString* Find(const std::optional<SecretData>& data, const char* key) {
  if (!data.has_value()) {
    return nullptr;
  }
  const auto found = data->find(key);
  return found == data->end() || found->second.empty() ? nullptr : &found->second;
}

std::optional<KeyPair> PairOf(const std::optional<SecretData>& data, const char* certificate,
                              const char* key) {
  const SecretString* pem = Find(data, certificate);
  if (pem == nullptr) {
    return std::nullopt;
  }
  const SecretString* key_pem = Find(data, key);
  return KeyPair{std::string(pem->Reveal()), key_pem == nullptr ? SecretString() : *key_pem};
}

std::optional<Known> Understand(std::optional<KeyPair> pair, WallTime now) {
  if (!pair.has_value()) {
    return std::nullopt;
  }
  const absl::StatusOr<CertificateFacts> facts = ReadCertificate(pair->certificate);
  if (!facts.ok() || !facts->validity.contains(now)) {
    return std::nullopt;
  }
  if (!KeyFits(*pair)) {
    pair->key = SecretString();
  }
  return Known{*std::move(pair), *facts};
}

std::optional<Known> Authority(const Stored& stored, const char* certificate, const char* key,
                               WallTime now) {
  std::optional<Known> known = Understand(PairOf(stored.authority, certificate, key), now);
  if (known.has_value() && !known->facts.is_authority) {
    known.reset();
  }
  return known;
}

// What is stored, understood. Without a newest CA everything else waits.
struct Situation {
  std::optional<Known> newest;
  std::optional<Known> old;
  std::optional<Known> serving;  // with its key
  bool serving_is_of_newest = false;
  bool serving_is_of_old = false;
};

Situation Look(const Stored& stored, WallTime now) {
  Situation situation;
  situation.newest = Authority(stored, kNewestCertificate, kNewestKey, now);
  situation.old = Authority(stored, kOldCertificate, kOldKey, now);
  situation.serving = Understand(PairOf(stored.serving, kServingCertificate, kServingKey), now);
  if (situation.serving.has_value() && !situation.serving->can_sign()) {
    situation.serving.reset();
  }
  if (situation.serving.has_value()) {
    const auto signed_by = [&](const std::optional<Known>& authority) {
      return authority.has_value() &&
             IsSignedBy(situation.serving->pair.certificate, authority->pair.certificate);
    };
    situation.serving_is_of_newest = signed_by(situation.newest);
    situation.serving_is_of_old = !situation.serving_is_of_newest && signed_by(situation.old);
  }
  return situation;
}

std::string SinceText(const std::string& fingerprint, WallTime time) {
  return absl::StrCat(
      fingerprint, " ",
      absl::FormatTime(absl::RFC3339_sec, absl::FromChrono(time), absl::UTCTimeZone()));
}

// Since when the bundle says that this CA is in it. A time to come is nobody's word.
std::optional<WallTime> SinceOf(const Bundle& bundle, const std::string& fingerprint,
                                WallTime now) {
  const std::string prefix = fingerprint + " ";
  absl::Time time;
  std::string error;
  if (bundle.newest_since.rfind(prefix, 0) != 0 ||
      !absl::ParseTime(absl::RFC3339_full, bundle.newest_since.substr(prefix.size()), &time,
                       &error) ||
      absl::ToChronoTime(time) > now + kClockSkew) {
    return std::nullopt;
  }
  return absl::ToChronoTime(time);
}

Decision MakeNewAuthority(std::string reason, const std::optional<Known>& old) {
  Decision decision;
  decision.action = Action::kMakeAuthority;
  decision.reason = std::move(reason);
  if (old.has_value()) {
    decision.old = old->pair;
  }
  return decision;
}

// The newest CA is no use: which of those that are left does a client need to trust still?
const std::optional<Known>& WorthKeeping(const Situation& situation) {
  if (situation.serving_is_of_newest) {
    return situation.newest;
  }
  return situation.serving_is_of_old || !situation.newest.has_value() ? situation.old
                                                                      : situation.newest;
}

std::optional<Decision> DecideAuthority(const Stored& stored, const Situation& situation,
                                        WallTime now) {
  if (!situation.newest.has_value() || !situation.newest->can_sign()) {
    const bool is_first = Find(stored.authority, kNewestCertificate) == nullptr &&
                          Find(stored.authority, kNewestKey) == nullptr;
    return MakeNewAuthority(
        is_first ? "there is none" : "the stored one cannot be used: not a valid CA with its key",
        WorthKeeping(situation));
  }
  if (now >= situation.newest->facts.validity.renew_at()) {
    return MakeNewAuthority("two thirds of the old one's life are over", situation.newest);
  }
  return std::nullopt;
}

std::optional<Decision> DecideBundle(const Stored& stored, const Situation& situation,
                                     WallTime now) {
  const CertificateFacts& newest = situation.newest->facts;
  Bundle wanted;
  wanted.certificates = newest.pem;
  if (situation.old.has_value()) {
    wanted.certificates += situation.old->facts.pem;
  }
  const bool complete =
      stored.bundle.has_value() && stored.bundle->certificates == wanted.certificates;
  const bool holds_newest = stored.bundle.has_value() &&
                            stored.bundle->certificates.find(newest.pem) != std::string::npos;
  const std::optional<WallTime> since =
      holds_newest ? SinceOf(*stored.bundle, newest.fingerprint, now) : std::nullopt;
  if (complete && since.has_value()) {
    return std::nullopt;
  }
  Decision decision;
  decision.action = Action::kPublishBundle;
  decision.reason = !holds_newest ? "the newest CA is not in it"
                    : complete    ? "it does not say since when the newest CA is in it"
                                  : "it does not hold exactly the CAs that are in use";
  wanted.newest_since = SinceText(newest.fingerprint, since.value_or(now));
  decision.bundle = std::move(wanted);
  return decision;
}

std::vector<std::string> Sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> Union(const std::vector<std::string>& wanted,
                               const std::vector<std::string>& present) {
  std::vector<std::string> names = wanted;
  for (const std::string& name : present) {
    if (names.size() < kMaxDnsNames && IsDnsName(name)) {
      names.push_back(name);
    }
  }
  return Sorted(std::move(names));
}

// `mature_at`: when everybody trusts the newest CA, so that it may sign.
std::optional<Decision> DecideServing(const Situation& situation, const Policy& policy,
                                      WallTime mature_at, WallTime now) {
  const bool mature = now >= mature_at;
  const bool old_signs = !mature && situation.old.has_value() && situation.old->can_sign();
  Decision decision;
  decision.action = Action::kIssueServing;
  decision.signer = old_signs ? situation.old->pair : situation.newest->pair;
  const std::vector<std::string> wanted = Sorted(policy.dns_names);
  decision.dns_names = wanted;
  if (!situation.serving.has_value()) {
    decision.reason = "there is none that can be used";
    return decision;
  }
  const CertificateFacts& facts = situation.serving->facts;
  // The old key is lost, the newest CA is not trusted everywhere yet, and what there is will do.
  if (!mature && !old_signs && situation.serving_is_of_old &&
      facts.validity.not_after > mature_at) {
    return std::nullopt;
  }
  if (now >= facts.validity.renew_at()) {
    decision.reason = "two thirds of its life are over";
    return decision;
  }
  decision.dns_names = Union(wanted, facts.dns_names);
  if (!std::includes(facts.dns_names.begin(), facts.dns_names.end(), wanted.begin(),
                     wanted.end())) {
    decision.reason = "a name is missing in it";
  } else if (!situation.serving_is_of_newest && !situation.serving_is_of_old) {
    decision.reason = "it is signed by no CA that is in use";
  } else if (mature && !situation.serving_is_of_newest) {
    decision.reason = "the newest CA has been in the bundle for long enough to sign";
  } else {
    return std::nullopt;
  }
  return decision;
}

Decision Forget(Action action, std::string reason) {
  Decision decision;
  decision.action = action;
  decision.reason = std::move(reason);
  return decision;
}

// Valid from a little ago, but never by more than a tenth of the life.
Validity From(WallTime now, Duration life, Duration backdate) {
  const auto seconds = [](Duration duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration);
  };
  return {now - seconds(std::min(backdate, life / 10)), now + seconds(life)};
}

}  // namespace

Decision Decide(const Stored& stored, const Policy& policy, WallTime now) {
  const Situation situation = Look(stored, now);
  if (std::optional<Decision> decision = DecideAuthority(stored, situation, now)) {
    return *std::move(decision);
  }
  if (std::optional<Decision> decision = DecideBundle(stored, situation, now)) {
    return *std::move(decision);
  }
  const Known& newest = *situation.newest;
  const WallTime since = SinceOf(*stored.bundle, newest.facts.fingerprint, now).value_or(now);
  const WallTime mature_at = since + policy.overlap;
  if (std::optional<Decision> decision = DecideServing(situation, policy, mature_at, now)) {
    return *std::move(decision);
  }
  const bool old_stored = Find(stored.authority, kOldCertificate) != nullptr ||
                          Find(stored.authority, kOldKey) != nullptr;
  const WallTime old_until = mature_at + policy.serving_life;
  if (old_stored && (!situation.old.has_value() || now >= old_until)) {
    return Forget(Action::kForgetOld, situation.old.has_value()
                                          ? "nothing that it has signed is valid any more"
                                          : "it cannot be used");
  }
  if (now >= mature_at && Find(stored.authority, kOldKey) != nullptr) {
    return Forget(Action::kForgetOldKey, "the newest CA signs");
  }
  Decision nothing;
  nothing.look_again =
      std::min(newest.facts.validity.renew_at(), situation.serving->facts.validity.renew_at());
  if (now < mature_at) {
    nothing.look_again = std::min(nothing.look_again, mature_at);
  }
  if (old_stored) {
    nothing.look_again = std::min(nothing.look_again, old_until);
  }
  return nothing;
}

absl::StatusOr<Change> CarryOut(const Decision& decision, const Stored& stored,
                                const Policy& policy, WallTime now) {
  Change change;
  const auto keep = [&](const char* key) {
    if (const SecretString* value = Find(stored.authority, key)) {
      change.secret[key] = *value;
    }
  };
  switch (decision.action) {
    case Action::kMakeAuthority: {
      ASSIGN_OR_RETURN(const KeyPair made,
                       MakeAuthority("rota CA " + RandomHex(4),
                                     From(now, policy.authority_life, policy.backdate)));
      change.secret[kNewestCertificate] = SecretString(made.certificate);
      change.secret[kNewestKey] = made.key;
      if (decision.old.has_value()) {
        change.secret[kOldCertificate] = SecretString(decision.old->certificate);
        if (!decision.old->key.empty()) {
          change.secret[kOldKey] = decision.old->key;
        }
      }
      break;
    }
    case Action::kForgetOldKey:
      keep(kOldCertificate);
      [[fallthrough]];
    case Action::kForgetOld:
      keep(kNewestCertificate);
      keep(kNewestKey);
      break;
    case Action::kPublishBundle:
      change.object = Change::Object::kBundle;
      change.bundle = decision.bundle;
      break;
    case Action::kIssueServing: {
      change.object = Change::Object::kServing;
      ASSIGN_OR_RETURN(const CertificateFacts signer,
                       ReadCertificate(decision.signer->certificate));
      Validity validity = From(now, policy.serving_life, policy.backdate);
      validity.not_after = std::min(validity.not_after, signer.validity.not_after);
      ASSIGN_OR_RETURN(const KeyPair issued,
                       IssueServing(*decision.signer, decision.dns_names, validity));
      change.secret[kServingCertificate] = SecretString(issued.certificate);
      change.secret[kServingKey] = issued.key;
      break;
    }
    case Action::kNothing:
      return absl::InvalidArgumentError("there is nothing to carry out");
  }
  return change;
}

std::optional<KeyPair> UsableServing(const Stored& stored) {
  std::optional<KeyPair> pair = PairOf(stored.serving, kServingCertificate, kServingKey);
  if (pair.has_value() && !KeyFits(*pair)) {
    pair.reset();
  }
  return pair;
}

}  // namespace rota::identity
