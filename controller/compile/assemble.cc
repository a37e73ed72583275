#include "controller/compile/assemble.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "controller/compile/withheld_services.h"
#include "controller/resource/foreign_ref.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::ObjectName;
using resource::Severity;

bool IsServable(const std::shared_ptr<const CompiledApi>& api) {
  return api != nullptr && api->body != nullptr;
}

// Which API serves which path prefix.
class Paths {
 public:
  // True: all paths of `api` are its own now. False: `owner` has one of them already.
  bool Claim(const CompiledApi& api, const ObjectName*& owner, std::string& path) {
    for (const std::string& wanted : api.paths) {
      const auto entry = owners_.find(wanted);
      if (entry != owners_.end()) {
        owner = entry->second;
        path = wanted;
        return false;
      }
    }
    for (const std::string& wanted : api.paths) {
      owners_.emplace(wanted, &api.name);
    }
    return true;
  }

 private:
  std::unordered_map<std::string_view, const ObjectName*> owners_;
};

resource::Diagnostic Conflict(const CompiledApi& api, const ObjectName& owner,
                              const std::string& path) {
  return {Severity::kError, "PathConflict", api.field_prefix + "basePath",
          absl::StrCat("the path '", path, "' belongs to the older API ", owner.ToString(),
                       "; change basePath or version here, or delete the other one")};
}

// Whether it exists is nobody's business who may not use it.
resource::Diagnostic NotGranted(const SecretUse& use, const resource::ForeignObject& object) {
  const std::string& ns = object.name.ns;
  if (object.kind == ReferentKind::kService) {
    return {
        Severity::kError, "RefNotPermitted", use.field,
        absl::StrCat("Service ", object.name.ToString(), " needs a ReferenceGrant of namespace ",
                     ns, " from {group: gateway.rota.dev, kind: API, namespace: ", use.secret.ns,
                     "} to {group: \"\", kind: Service, name: ", object.name.name,
                     "}; make one there (none counts where APIs are read from files), or put "
                     "the API into that namespace")};
  }
  return {Severity::kError, "RefNotPermitted", use.field,
          absl::StrCat("Secret ", object.name.ToString(),
                       " does not exist, or no ReferenceGrant of namespace ", ns, " lets APIs of ",
                       use.secret.ns, " use it; make one there, or copy the Secret")};
}

resource::Diagnostic MissingSecret(const SecretUse& use) {
  if (const auto foreign = resource::ForeignObjectOf(use.secret)) {
    return NotGranted(use, *foreign);
  }
  return {Severity::kError, "SecretNotFound", use.field,
          absl::StrCat("Secret ", use.secret.ToString(), " does not exist (key '", use.key,
                       "' is needed); create it with kubectl -n ", use.secret.ns,
                       " create secret generic ", use.secret.name, " --from-literal=", use.key,
                       "=..., or as a manifest where the APIs are files")};
}

resource::Diagnostic MissingKey(const SecretUse& use) {
  const auto foreign = resource::ForeignObjectOf(use.secret);
  const ObjectName& secret = foreign.has_value() ? foreign->name : use.secret;
  return {Severity::kError, "SecretKeyNotFound", use.field,
          absl::StrCat("Secret ", secret.ToString(), " has no key '", use.key,
                       "'; add it to the Secret or name another key")};
}

// Chooses the version of one API that is served.
ApiOutcome Choose(const ApiVersions& versions, Paths& paths) {
  ApiOutcome outcome;
  const ObjectName* owner = nullptr;
  std::string path;
  if (IsServable(versions.current)) {
    if (paths.Claim(*versions.current, owner, path)) {
      outcome.served = versions.current;
      return outcome;
    }
    outcome.accepted.push_back(Conflict(*versions.current, *owner, path));
  }
  if (IsServable(versions.last_good) && versions.last_good != versions.current &&
      paths.Claim(*versions.last_good, owner, path)) {
    outcome.served = versions.last_good;
  }
  return outcome;
}

// Every path that one of the versions claims, each once.
std::vector<std::string> PathsOf(const ApiVersions& versions) {
  std::vector<std::string> paths;
  for (const auto& api : {versions.current, versions.last_good}) {
    if (!IsServable(api)) {
      continue;
    }
    for (const std::string& path : api->paths) {
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) {
        paths.push_back(path);
      }
    }
  }
  return paths;
}

}  // namespace

std::shared_ptr<const ResourceBody> GatewayBody(const GatewaySettings& settings) {
  pb::Gateway gateway;
  for (const std::string& host : settings.production_hosts) {
    gateway.add_production_hosts(host);
  }
  for (const std::string& host : settings.sandbox_hosts) {
    gateway.add_sandbox_hosts(host);
  }
  gateway.set_allow_local_upstreams(settings.allow_local_upstreams);
  const std::string ns = settings.name.substr(0, settings.name.find('/'));
  for (const resource::GatewayListener& listener : settings.listeners) {
    pb::Listener& out = *gateway.add_listeners();
    out.set_name(listener.name);
    out.set_hostname(listener.hostname);
    const std::string secret = absl::StrCat(ns, "/", listener.secret_name);
    out.mutable_certificate()->set_secret(secret);
    out.mutable_certificate()->set_key(kCertificateKey);
    out.mutable_key()->set_secret(secret);
    out.mutable_key()->set_key(kPrivateKeyKey);
  }
  auto body = std::make_shared<ResourceBody>();
  body->bytes = gateway.SerializeAsString();
  body->hash = Hash64(body->bytes);
  return body;
}

std::vector<SecretUse> SecretsOf(const GatewaySettings& settings) {
  const std::string ns = settings.name.substr(0, settings.name.find('/'));
  std::vector<SecretUse> uses;
  for (size_t i = 0; i < settings.listeners.size(); ++i) {
    for (const char* const key : {kCertificateKey, kPrivateKeyKey}) {
      uses.push_back({{ns, settings.listeners[i].secret_name},
                      key,
                      absl::StrCat("spec.listeners[", i, "].certificateRef")});
    }
  }
  return uses;
}

std::shared_ptr<const ResourceBody> SecretBody(const std::string& uid,
                                               const std::string& resource_version,
                                               const SecretData& data) {
  pb::Secret secret;
  std::string identity =
      absl::StrCat(uid.size(), ":", uid, resource_version.size(), ":", resource_version);
  for (const auto& [key, value] : data) {
    pb::Secret::Entry& entry = *secret.add_entries();
    entry.set_key(key);
    entry.set_value(value.Reveal().data(), value.Reveal().size());
    absl::StrAppend(&identity, key.size(), ":", key);
  }
  auto body = std::make_shared<ResourceBody>();
  body->bytes = secret.SerializeAsString();
  body->hash = Hash64(identity);
  for (pb::Secret::Entry& entry : *secret.mutable_entries()) {
    WipeString(*entry.mutable_value());
  }
  return body;
}

Assembler::Assembler(const std::string& gateway_name, std::shared_ptr<const ResourceBody> gateway)
    : gateway_key_(ResourceKind::kGateway, gateway_name) {
  SetGateway(std::move(gateway));
}

void Assembler::SetGateway(std::shared_ptr<const ResourceBody> gateway,
                           const std::vector<SecretUse>& secrets) {
  resources_.Set(gateway_key_, std::move(gateway));
  std::set<ObjectName> touched = std::exchange(of_gateway_, {});
  for (const SecretUse& use : secrets) {
    of_gateway_.insert(use.secret);
    touched.insert(use.secret);
  }
  for (const ObjectName& secret : touched) {
    Supply(secret);
  }
  has_changes_ = true;
}

void Assembler::Supply(const ObjectName& secret) {
  if (resource::IsService(secret)) {
    return;  // data planes have no use for the grant
  }
  const ResourceKey key{ResourceKind::kSecret, secret.ToString()};
  const auto known = secrets_.find(secret);
  if (known != secrets_.end() && (users_.contains(secret) || of_gateway_.contains(secret))) {
    resources_.Set(key, known->second.body);
  } else {
    resources_.Erase(key);
  }
}

void Assembler::Forget(const Age& age, Entry& entry) {
  for (const std::string& path : entry.paths) {
    const auto claimants = claimants_.find(path);
    // Somebody else may get the path, or may have to be told another owner.
    is_contended_ = is_contended_ || claimants->second > 1;
    if (--claimants->second == 0) {
      claimants_.erase(claimants);
    }
  }
  entry.paths.clear();
  dirty_.erase(age);
}

void Assembler::SetApi(const Age& age, const ApiVersions& versions) {
  const auto [position, is_new] = apis_.try_emplace(age);
  Entry& entry = position->second;
  if (is_new) {
    entry.key = {ResourceKind::kApi, age.name.ToString()};
  }
  std::vector<std::string> paths = PathsOf(versions);
  if (entry.is_admitted && IsServable(versions.current) &&
      versions.current == entry.versions.current && versions.current == entry.outcome.served &&
      paths == entry.paths) {
    entry.versions = versions;  // what is served has become the last good version
    return;
  }
  Forget(age, entry);
  entry.versions = versions;
  entry.paths = std::move(paths);
  for (const std::string& path : entry.paths) {
    is_contended_ = ++claimants_[path] > 1 || is_contended_;
  }
  entry.is_admitted = false;
  dirty_.insert(age);
  has_changes_ = true;
}

void Assembler::RemoveApi(const Age& age) {
  const auto found = apis_.find(age);
  if (found == apis_.end()) {
    return;
  }
  Forget(age, found->second);
  Serve(age, found->second, nullptr);
  apis_.erase(found);
  has_changes_ = true;
}

void Assembler::Touch(const ObjectName& secret) {
  const auto users = users_.find(secret);
  if (users != users_.end()) {
    dirty_.insert(users->second.begin(), users->second.end());
  }
  has_changes_ = has_changes_ || users != users_.end() || of_gateway_.contains(secret);
}

void Assembler::SetSecret(const ObjectName& name, const SecretVersion& version) {
  secrets_[name] = version;
  Supply(name);
  Touch(name);
}

void Assembler::RemoveSecret(const ObjectName& name) {
  if (secrets_.erase(name) > 0) {
    Supply(name);
    Touch(name);
  }
}

// Replaces what is served of one API, and with it which Secrets are needed. Its body: Resolve().
void Assembler::Serve(const Age& age, Entry& entry, std::shared_ptr<const CompiledApi> api) {
  const std::shared_ptr<const CompiledApi> old =
      std::exchange(entry.outcome.served, std::move(api));
  if (old == entry.outcome.served) {
    return;
  }
  if (old != nullptr) {
    resources_.Erase(entry.key);
    for (const SecretUse& use : old->secrets) {
      std::set<Age>& users = users_[use.secret];
      users.erase(age);
      if (users.empty()) {
        users_.erase(use.secret);
        Supply(use.secret);
      }
    }
  }
  if (entry.outcome.served != nullptr) {
    for (const SecretUse& use : entry.outcome.served->secrets) {
      users_[use.secret].insert(age);
      Supply(use.secret);
    }
  }
}

void Assembler::Resolve(Entry& entry) {
  ApiOutcome& outcome = entry.outcome;
  outcome.unresolved.clear();
  if (outcome.served == nullptr) {
    outcome.body = nullptr;
    return;
  }
  std::set<ObjectName> withheld;
  for (const SecretUse& use : outcome.served->secrets) {
    const bool is_service = resource::IsService(use.secret);
    const auto secret = secrets_.find(use.secret);
    if (secret == secrets_.end()) {
      outcome.unresolved.push_back(MissingSecret(use));
      if (is_service) {
        withheld.insert(use.secret);
      }
    } else if (!is_service && secret->second.keys.count(use.key) == 0) {
      outcome.unresolved.push_back(MissingKey(use));
    }
  }
  std::shared_ptr<const ResourceBody> body = BodyWithout(withheld, *outcome.served);
  if (withheld.empty() || outcome.body == nullptr || outcome.body->bytes != body->bytes) {
    outcome.body = std::move(body);
  }
  const ResourceSet::Entry* known = resources_.Find(entry.key);
  if (known == nullptr || known->second != outcome.body) {
    resources_.Set(entry.key, outcome.body);
  }
}

Assembly Assembler::Build() {
  has_changes_ = false;
  // With contention the whole order of age counts; else each API has its paths for itself.
  Paths paths;
  if (std::exchange(is_contended_, false)) {
    for (auto& [age, entry] : apis_) {
      entry.is_admitted = false;
      dirty_.insert(dirty_.end(), age);
    }
  }
  Assembly assembly;
  for (const Age& age : std::exchange(dirty_, {})) {
    Entry& entry = apis_.at(age);
    if (!std::exchange(entry.is_admitted, true)) {
      ApiOutcome outcome = Choose(entry.versions, paths);
      Serve(age, entry, outcome.served);
      entry.outcome.accepted = std::move(outcome.accepted);
    }
    Resolve(entry);
    assembly.apis.emplace_hint(assembly.apis.end(), age.name, entry.outcome);
  }
  assembly.snapshot = std::make_shared<Snapshot>(resources_, resources_.Hash());
  return assembly;
}

Assembly Assemble(const std::map<Age, ApiVersions>& apis,
                  const std::map<ObjectName, SecretVersion>& secrets,
                  const std::string& gateway_name,
                  const std::shared_ptr<const ResourceBody>& gateway) {
  Assembler assembler(gateway_name, gateway);
  for (const auto& [name, version] : secrets) {
    assembler.SetSecret(name, version);
  }
  for (const auto& [age, versions] : apis) {
    assembler.SetApi(age, versions);
  }
  return assembler.Build();
}

}  // namespace rota::compile
