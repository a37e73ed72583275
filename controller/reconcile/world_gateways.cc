// What a world does about its gateways: world.h.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/server_certificate.h"
#include "controller/compile/gateway_defaults.h"
#include "controller/reconcile/world.h"

namespace rota::reconcile {
namespace {

using resource::ObjectName;

// Keeps the pointer while the defaults are the same, so that it stands for them.
void SetDefaults(const resource::GatewayDefaults& defaults,
                 std::shared_ptr<const resource::GatewayDefaults>& held) {
  if (defaults == resource::GatewayDefaults{}) {
    held = nullptr;
  } else if (held == nullptr || *held != defaults) {
    held = std::make_shared<const resource::GatewayDefaults>(defaults);
  }
}

resource::Diagnostic Unusable(const compile::SecretUse& use, const std::string& what) {
  return {resource::Severity::kError, "InvalidCertificateRef", use.field,
          absl::StrCat("Secret ", use.secret.ToString(), " ", what)};
}

}  // namespace

void World::OnGateway(const source::GatewayObject& object) {
  has_changes_ = true;  // its status may be another one in any case
  if (gateways_.OnGateway(object)) {
    ServeGateways();
  }
}

void World::OnNamespace(const source::NamespaceObject& object) {
  resource::Labels labels;
  for (const auto& [label, value] : object.spec.items()) {
    if (value.is_string()) {
      labels.emplace(label, value.get<std::string>());
    }
  }
  if (gateways_.OnNamespace(object.name.name, std::move(labels))) {
    PlaceNamespace(object.name.name);
  }
}

void World::OnNamespacesKnown() {
  gateways_.OnNamespacesKnown();
  for (auto& [name, entry] : apis_) {
    Place(name, entry);
  }
  has_changes_ = true;
}

// The APIs of one namespace, where they belong now.
void World::PlaceNamespace(const std::string& ns) {
  for (auto api = apis_.lower_bound({ns, ""}); api != apis_.end() && api->first.ns == ns; ++api) {
    Place(api->first, api->second);
  }
  has_changes_ = true;
}

// Makes served_ and the places of all APIs what the book says. Gateways change rarely.
void World::ServeGateways() {
  for (const auto& [name, entry] : gateways_.entries()) {
    if (!entry.in_force.has_value()) {
      continue;
    }
    const compile::GatewaySettings settings = gateways_.SettingsOf(name);
    const auto body = compile::GatewayBody(settings);
    if (!served_.contains(name)) {
      Served served{compile::Assembler(name, body), 0, nullptr, {}, nullptr};
      for (const auto& [secret, content] : secrets_) {
        if (content.exists) {
          served.assembler.SetSecret(secret, content.version);
        }
      }
      served_.emplace(name, std::move(served));
    }
    Served& served = served_.at(name);
    if (std::exchange(served.settings_hash, body->hash) != body->hash) {
      std::vector<compile::SecretUse> secrets = compile::SecretsOf(settings);
      Want(secrets);
      Release(served.secrets);
      served.secrets = std::move(secrets);
      served.assembler.SetGateway(body, served.secrets);
    }
    SetDefaults(gateways_.DefaultsOf(name), served.defaults);
  }
  for (auto served = served_.begin(); served != served_.end();) {
    const auto entry = gateways_.entries().find(served->first);
    if (entry != gateways_.entries().end() && entry->second.in_force.has_value()) {
      ++served;
      continue;
    }
    const std::vector<compile::SecretUse> secrets = std::move(served->second.secrets);
    served = served_.erase(served);
    Release(secrets);
  }
  for (auto& [name, entry] : apis_) {
    Place(name, entry);
  }
  has_changes_ = true;
}

// Puts an API where it belongs, and takes it from everywhere else.
void World::Place(const ObjectName& name, ApiEntry& entry) {
  const std::vector<std::string> wanted = gateways_.GatewaysOf(entry.gateways);
  for (auto placement = entry.placements.begin(); placement != entry.placements.end();) {
    if (std::find(wanted.begin(), wanted.end(), placement->first) != wanted.end()) {
      ++placement;
      continue;
    }
    Withdraw(name, entry, placement->first, placement->second);
    placement = entry.placements.erase(placement);
    touched_.insert(name);
  }
  for (const std::string& gateway : wanted) {
    const auto [position, is_new] = entry.placements.try_emplace(gateway);
    Placement& placement = position->second;
    if (!is_new && !placement.refusal.has_value() && gateways_.IsUndecided(gateway, name)) {
      continue;
    }
    std::optional<resource::Diagnostic> refusal =
        gateways_.Refusal(gateway, name, entry.field_prefix + "gateways");
    if (refusal.has_value()) {
      Withdraw(name, entry, gateway, placement);
      placement.outcome = {};
      placement.outcome.accepted = {*refusal};
    }
    if (is_new || placement.refusal != refusal) {
      touched_.insert(name);
    }
    placement.refusal = std::move(refusal);
  }
  SetVersions(name, entry);
}

// Makes the versions what they are at a gateway with these defaults.
void World::Inherit(const CompiledPtr& current, const DefaultsPtr& defaults, Placement& placement) {
  const bool has_other_defaults = std::exchange(placement.defaults, defaults) != defaults;
  const auto inherit = [&](Version& version) {
    version.inherited = version.own != nullptr && defaults != nullptr
                            ? compile::WithDefaults(version.own, *defaults)
                            : version.own;
  };
  if (has_other_defaults || placement.current.own != current) {
    placement.current.own = current;
    inherit(placement.current);
  }
  if (placement.last_good.own == placement.current.own) {
    placement.last_good = placement.current;
  } else if (has_other_defaults) {
    inherit(placement.last_good);
  }
}

size_t World::ReachOf(const source::ObjectKey& key) const {
  if (key.kind == source::ObjectKind::kApi) {
    const auto api = apis_.find(key.name);
    const bool is_served =
        api != apis_.end() &&
        std::any_of(api->second.placements.begin(), api->second.placements.end(),
                    [](const auto& placement) { return !placement.second.refusal.has_value(); });
    return is_served ? 1 : 0;
  }
  const std::string gateway = key.name.ToString();
  if (gateway == gateways_.default_gateway()) {
    return 0;  // the command line takes its place
  }
  return static_cast<size_t>(std::count_if(apis_.begin(), apis_.end(), [&](const auto& api) {
    const auto placement = api.second.placements.find(gateway);
    return placement != api.second.placements.end() && !placement->second.refusal.has_value();
  }));
}

std::vector<GatewayStatus> World::GatewayStatuses() const {
  std::map<std::string, size_t> attached;
  for (const auto& [name, entry] : apis_) {
    for (const auto& [gateway, placement] : entry.placements) {
      attached[gateway] += placement.refusal.has_value() ? 0 : 1;
    }
  }
  std::vector<GatewayStatus> statuses;
  for (const auto& [name, entry] : gateways_.entries()) {
    const auto served = served_.find(name);
    GatewayStatus status = DescribeGateway(
        name, entry, served == served_.end() ? GatewayReferences() : ReferencesOf(served->second));
    status.attached_apis = attached[name];
    status.is_default = name == gateways_.default_gateway();
    if (served != served_.end() && served->second.snapshot != nullptr) {
      status.snapshot = served->second.snapshot->hash;
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

// One finding per listener.
GatewayReferences World::ReferencesOf(const Served& served) const {
  GatewayReferences references;
  resource::Diagnostics& unresolved = references.unresolved;
  for (const compile::SecretUse& use : served.secrets) {
    if (!unresolved.empty() && unresolved.back().field == use.field) {
      continue;
    }
    const SecretEntry& secret = secrets_.at(use.secret);
    if (!secret.is_answered && !secret.data.contains(use.key)) {
      references.unread = use.secret.ToString();
    } else if (!secret.exists) {
      unresolved.push_back(Unusable(
          use, absl::StrCat("does not exist; create it with kubectl -n ", use.secret.ns,
                            " create secret tls ", use.secret.name, " --cert=FILE --key=FILE")));
    } else if (!secret.data.contains(use.key)) {
      unresolved.push_back(Unusable(
          use, absl::StrCat("has no key '", use.key, "'; name one of type kubernetes.io/tls")));
    } else if (!secret.certificate.ok()) {
      unresolved.push_back(Unusable(
          use, absl::StrCat("(tls.crt, tls.key) ", std::string(secret.certificate.message()),
                            "; replace it, or name another one")));
    }
  }
  return references;
}

void World::CheckCertificate(SecretEntry& secret) {
  const auto chain = secret.data.find(compile::kCertificateKey);
  const auto key = secret.data.find(compile::kPrivateKeyKey);
  secret.certificate = chain == secret.data.end() || key == secret.data.end()
                           ? absl::OkStatus()
                           : CheckServerCertificate(chain->second.Reveal(), key->second.Reveal());
}

}  // namespace rota::reconcile
