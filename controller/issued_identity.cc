#include "controller/issued_identity.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/grpc_client.h"
#include "common/metric_families.h"
#include "common/status_macros.h"
#include "controller/identity/token_review.h"

namespace rota::controller {
namespace {

identity::Policy PolicyOf(const Flags& flags) {
  identity::Policy policy;
  policy.authority_life = flags.tls_ca_life;
  policy.serving_life = flags.tls_certificate_life;
  policy.overlap = flags.tls_ca_overlap;
  policy.dns_names = flags.tls_dns_names;
  return policy;
}

// Often enough that a certificate is renewed, and a renewed one shown, well before the old one
// ends.
Duration PollOf(const identity::Policy& policy) {
  const Duration longest = identity::KeeperOptions().poll;
  return std::clamp<Duration>(std::min(policy.serving_life / 20, policy.overlap / 4),
                              std::chrono::milliseconds(200), longest);
}

std::string NamespaceOf(const Flags& flags, const KubeConnection& kube) {
  return flags.tls_namespace.empty() ? kube.default_namespace() : flags.tls_namespace;
}

}  // namespace

absl::StatusOr<serve::AccessRules> AccessRulesOf(const Flags& flags) {
  serve::AccessRules rules;
  for (const std::string& rule : flags.allow_service_accounts) {
    const size_t equals = rule.find('=');  // CheckFlags has found it
    rules.data_planes[rule.substr(0, equals)].insert(rule.substr(equals + 1));
  }
  if (!flags.token_file.empty()) {
    ASSIGN_OR_RETURN(const SecretString token, ReadToken({"--token-file", flags.token_file}));
    absl::StatusOr<std::string> account = identity::AccountOfOwnToken(token);
    if (!account.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--token-file: '", flags.token_file, "': ", account.status().message()));
    }
    rules.controller = *std::move(account);
  }
  return rules;
}

IssuedIdentity::IssuedIdentity(const Flags& flags, KubeConnection& kube, Clock& clock)
    : token_file_(flags.token_file),
      store_(kube.transport(), NamespaceOf(flags, kube), flags.tls_objects),
      authenticator_({}, identity::KubeReviewer(kube.transport()), clock) {}

absl::StatusOr<std::unique_ptr<IssuedIdentity>> IssuedIdentity::Start(
    const Flags& flags, KubeConnection& kube, Clock& clock, std::function<bool()> is_leader) {
  std::unique_ptr<IssuedIdentity> identity(new IssuedIdentity(flags, kube, clock));
  identity::KeeperOptions options;
  options.policy = PolicyOf(flags);
  options.poll = PollOf(options.policy);
  options.is_leader = std::move(is_leader);
  ASSIGN_OR_RETURN(identity->keeper_,
                   identity::Keeper::Create(std::move(options), identity->store_, clock));
  identity->keeper_->Start();
  return identity;
}

void IssuedIdentity::Use(serve::GrpcServerOptions& options) {
  options.issued = &keeper_->certificate();
  options.authenticator = &authenticator_;
}

void IssuedIdentity::Use(serve::PeerDiallerOptions& options) const {
  options.trust = [this] { return keeper_->trust(); };
  options.token_file = token_file_;
}

std::string IssuedIdentity::NotReady() const {
  const std::string missing = keeper_->missing();
  return missing.empty()
             ? ""
             : absl::StrCat("no certificate yet (Secret ", store_.serving_name(), "): ", missing);
}

std::vector<prometheus::MetricFamily> IssuedIdentity::Collect() const {
  MetricFamilies families;
  if (const std::optional<WallTime> expires = keeper_->expires()) {
    families.Gauge("rota_controller_certificate_expiry_timestamp_seconds",
                   "When the certificate that data planes are shown ends, in Unix time.",
                   std::chrono::duration<double>(expires->time_since_epoch()).count());
  }
  const identity::TokenStats stats = authenticator_.stats();
  constexpr char kStreams[] = "rota_controller_token_streams_total";
  families.Counter(kStreams, "Streams that showed a token or should have, by what was found.",
                   stats.good, {{"result", "good"}});
  families.Counter(kStreams, "", stats.bad, {{"result", "bad"}});
  families.Counter(kStreams, "", stats.unknown, {{"result", "unknown"}});
  families.Counter("rota_controller_token_reviews_total",
                   "Tokens that the Kubernetes API was asked about.", stats.reviews);
  return families.Take();
}

}  // namespace rota::controller
