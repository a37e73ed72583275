#include "controller/compile/assemble.h"

#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
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

resource::Diagnostic MissingSecret(const SecretUse& use) {
  return {
      Severity::kError, "SecretNotFound", use.field,
      absl::StrCat("Secret ", use.secret.ToString(), " does not exist (key '", use.key,
                   "' is needed); create it: kubectl -n ", use.secret.ns, " create secret generic ",
                   use.secret.name, " --from-literal=", use.key, "=...")};
}

resource::Diagnostic MissingKey(const SecretUse& use) {
  return {Severity::kError, "SecretKeyNotFound", use.field,
          absl::StrCat("Secret ", use.secret.ToString(), " has no key '", use.key,
                       "'; add it to the Secret or name another key")};
}

// Adds the Secrets of a served API to the snapshot, and what is missing to the outcome.
void ResolveSecrets(const CompiledApi& api, const std::map<ObjectName, SecretVersion>& secrets,
                    Snapshot& snapshot, ApiOutcome& outcome) {
  for (const SecretUse& use : api.secrets) {
    const auto found = secrets.find(use.secret);
    if (found == secrets.end()) {
      outcome.unresolved.push_back(MissingSecret(use));
      continue;
    }
    if (found->second.data->count(use.key) == 0) {
      outcome.unresolved.push_back(MissingKey(use));
    }
    snapshot.resources.try_emplace({ResourceKind::kSecret, use.secret.ToString()},
                                   found->second.body);
  }
}

// Chooses the version of one API that is served.
ApiOutcome Admit(const ApiVersions& versions, Paths& paths) {
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

std::string HashOfResources(const Snapshot& snapshot) {
  std::map<ResourceKey, uint64_t> versions;
  for (const auto& [key, body] : snapshot.resources) {
    versions.emplace_hint(versions.end(), key, body->hash);
  }
  return HashOf(versions);
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
  auto body = std::make_shared<ResourceBody>();
  body->bytes = gateway.SerializeAsString();
  body->hash = Hash64(body->bytes);
  return body;
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

Assembly Assemble(const std::map<Age, ApiVersions>& apis,
                  const std::map<ObjectName, SecretVersion>& secrets,
                  const std::string& gateway_name,
                  const std::shared_ptr<const ResourceBody>& gateway) {
  Assembly assembly;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->resources.emplace(ResourceKey{ResourceKind::kGateway, gateway_name}, gateway);
  Paths paths;
  for (const auto& [age, versions] : apis) {
    ApiOutcome outcome = Admit(versions, paths);
    if (outcome.served != nullptr) {
      snapshot->resources.emplace(ResourceKey{ResourceKind::kApi, age.name.ToString()},
                                  outcome.served->body);
      ResolveSecrets(*outcome.served, secrets, *snapshot, outcome);
    }
    assembly.apis.emplace(age.name, std::move(outcome));
  }
  snapshot->hash = HashOfResources(*snapshot);
  assembly.snapshot = std::move(snapshot);
  return assembly;
}

}  // namespace rota::compile
