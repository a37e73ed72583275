#include "dataplane/table/builder.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/table/api_decoder.h"
#include "dataplane/table/secret_store.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

using ResourceKey = ResourceMap::key_type;

constexpr size_t kMaxMessage = 1024;  // of a Rejection

struct GatewaySettings {
  uint64_t hash = 0;
  HostRules hosts;
  bool allow_local_upstreams = false;
};

v1::Rejection MakeRejection(const v1::Resource& resource, uint64_t kept_hash,
                            const DecodeProblem& problem) {
  v1::Rejection rejection;
  *rejection.mutable_id() = resource.id();
  rejection.set_rejected_hash(resource.hash());
  rejection.set_kept_hash(kept_hash);
  rejection.set_code(problem.code);
  rejection.set_field(problem.field);
  rejection.set_message(problem.message.substr(0, kMaxMessage));
  return rejection;
}

// The credential that each target of an API is sent with.
std::unordered_map<std::string, const Endpoint*> EndpointsByTarget(const Api& api) {
  std::unordered_map<std::string, const Endpoint*> endpoints;
  for (const std::unique_ptr<BoundRotation>& bound : api.rotations) {
    for (size_t i = 0; i < bound->targets.size(); ++i) {
      endpoints[bound->rotation->spec().targets[i].id] = bound->targets[i].endpoint;
    }
  }
  return endpoints;
}

void CollectChangedCredentials(const Api& before, const Api& after,
                               std::set<std::string>& changed) {
  const auto old_endpoints = EndpointsByTarget(before);
  for (const auto& [target, endpoint] : EndpointsByTarget(after)) {
    const auto old = old_endpoints.find(target);
    if (old == old_endpoints.end()) {
      continue;
    }
    if (endpoint->credential_missing != old->second->credential_missing ||
        !(endpoint->credential == old->second->credential)) {
      changed.insert(target);
    }
  }
}

// Whether the registry has something to forget.
bool HasLostTargets(const Api& before, const Api& after) {
  if (&before == &after) {
    return false;
  }
  const auto endpoints = EndpointsByTarget(after);
  for (const auto& [target, endpoint] : EndpointsByTarget(before)) {
    if (!endpoints.contains(target)) {
      return true;
    }
  }
  return before.rotations.size() != after.rotations.size();
}

}  // namespace

struct Builder::State {
  State(BuilderOptions builder_options, rotation::Registry& rotation_registry)
      : options(std::move(builder_options)), registry(rotation_registry) {}

  using Apis = std::map<std::string, std::pair<uint64_t, std::shared_ptr<const DecodedApi>>>;

  // What one Build has decoded.
  struct Decoded {
    GatewaySettings gateway;
    SecretStore secrets;
    Apis apis;  // with the hash of the resource that it was made from
  };

  std::optional<DecodeProblem> TakeGateway(const v1::Resource& resource, Decoded& next) const;
  std::optional<DecodeProblem> TakeSecret(const v1::Resource& resource,
                                          SecretStore::Secrets& secrets) const;
  std::optional<DecodeProblem> TakeApi(const v1::Resource& resource, Decoded& next) const;
  std::optional<DecodeProblem> Take(const v1::Resource& resource, SecretStore::Secrets& secrets,
                                    Decoded& next) const;
  // Calls Take for every resource of that kind; a bad one is replaced by what is in use.
  void TakeAll(v1::Kind kind, const ResourceMap& wanted, SecretStore::Secrets& secrets,
               Decoded& next, BuildResult& result) const;
  void AddRefusals(const ResourceMap& in_use, const Decoded& next,
                   const std::vector<RouteTable::Collision>& collisions, BuildResult& result) const;

  const BuilderOptions options;
  rotation::Registry& registry;
  ResourceMap in_use;
  Decoded committed;
  Decoded built;  // by the last Build, waiting for Commit
  // Since the last time the registry was told, an API has been removed or replaced.
  bool has_gone = false;
};

std::optional<DecodeProblem> Builder::State::TakeGateway(const v1::Resource& resource,
                                                         Decoded& next) const {
  v1::Gateway message;
  if (!message.ParseFromString(resource.body())) {
    return DecodeProblem{v1::Rejection::MALFORMED, "", "the bytes are not a rota.sync.v1.Gateway"};
  }
  std::vector<std::string> production(message.production_hosts().begin(),
                                      message.production_hosts().end());
  std::vector<std::string> sandbox(message.sandbox_hosts().begin(), message.sandbox_hosts().end());
  production.insert(production.end(), options.production_hosts.begin(),
                    options.production_hosts.end());
  sandbox.insert(sandbox.end(), options.sandbox_hosts.begin(), options.sandbox_hosts.end());
  absl::StatusOr<HostRules> hosts = HostRules::Make(production, sandbox);
  if (!hosts.ok()) {
    return DecodeProblem{v1::Rejection::INVALID, "hosts", std::string(hosts.status().message())};
  }
  next.gateway = {resource.hash(), *std::move(hosts), message.allow_local_upstreams()};
  return std::nullopt;
}

std::optional<DecodeProblem> Builder::State::TakeSecret(const v1::Resource& resource,
                                                        SecretStore::Secrets& secrets) const {
  const std::string& name = resource.id().name();
  const auto& known = committed.secrets.secrets();
  if (const auto found = known.find(name);
      found != known.end() && found->second->hash == resource.hash()) {
    secrets[name] = found->second;
    return std::nullopt;
  }
  absl::StatusOr<std::shared_ptr<const DecodedSecret>> secret = SecretStore::Decode(resource);
  if (!secret.ok()) {
    return DecodeProblem{v1::Rejection::MALFORMED, "", std::string(secret.status().message())};
  }
  secrets[name] = *std::move(secret);
  return std::nullopt;
}

std::optional<DecodeProblem> Builder::State::TakeApi(const v1::Resource& resource,
                                                     Decoded& next) const {
  const std::string& name = resource.id().name();
  if (const auto found = committed.apis.find(name);
      found != committed.apis.end() && found->second.first == resource.hash()) {
    const auto& used = found->second.second->used_secrets;
    const bool has_same_secrets = std::all_of(used.begin(), used.end(), [&next](const auto& use) {
      return next.secrets.HashOf(use.first) == use.second;
    });
    if (has_same_secrets) {
      next.apis[name] = found->second;
      return std::nullopt;
    }
  }
  std::variant<DecodedApi, DecodeProblem> decoded =
      DecodeApi(resource, {next.secrets, registry, options.intern_series});
  if (auto* problem = std::get_if<DecodeProblem>(&decoded)) {
    return std::move(*problem);
  }
  next.apis[name] = {resource.hash(),
                     std::make_shared<const DecodedApi>(std::get<DecodedApi>(std::move(decoded)))};
  return std::nullopt;
}

std::optional<DecodeProblem> Builder::State::Take(const v1::Resource& resource,
                                                  SecretStore::Secrets& secrets,
                                                  Decoded& next) const {
  switch (resource.id().kind()) {
    case v1::GATEWAY:
      return TakeGateway(resource, next);
    case v1::SECRET:
      return TakeSecret(resource, secrets);
    case v1::API:
      return TakeApi(resource, next);
    default:
      return DecodeProblem{v1::Rejection::UNSUPPORTED, "",
                           "this data plane does not know the kind; update it"};
  }
}

void Builder::State::TakeAll(v1::Kind kind, const ResourceMap& wanted,
                             SecretStore::Secrets& secrets, Decoded& next,
                             BuildResult& result) const {
  for (auto it = wanted.lower_bound({kind, ""}); it != wanted.end() && it->first.first == kind;
       ++it) {
    const v1::Resource& resource = it->second;
    const std::optional<DecodeProblem> problem = Take(resource, secrets, next);
    if (!problem.has_value()) {
      continue;
    }
    const auto kept = in_use.find(it->first);
    const bool has_kept = kept != in_use.end() && !Take(kept->second, secrets, next).has_value();
    result.rejected.push_back(
        MakeRejection(resource, has_kept ? kept->second.hash() : 0, *problem));
    if (has_kept) {
      result.in_use[it->first] = kept->second;
    } else {
      result.in_use.erase(it->first);
    }
  }
}

void Builder::State::AddRefusals(const ResourceMap& wanted, const Decoded& next,
                                 const std::vector<RouteTable::Collision>& collisions,
                                 BuildResult& result) const {
  const auto refuse = [&](const std::string& name, const DecodeProblem& problem) {
    const v1::Resource& resource = wanted.at({v1::API, name});
    result.refused.push_back(MakeRejection(resource, resource.hash(), problem));
  };
  for (const auto& [name, entry] : next.apis) {
    const DecodedApi& decoded = *entry.second;
    if (decoded.secured_operations > 0 && !options.allow_unauthenticated) {
      refuse(name, {v1::Rejection::AUTH_NOT_ENFORCED, "operations",
                    absl::StrCat(decoded.secured_operations,
                                 " operations ask for authentication, which this data plane does "
                                 "not enforce: they are refused. Start it with "
                                 "--allow-unauthenticated, or set secured: false")});
    }
    for (const DecodeProblem& missing : decoded.missing) {
      refuse(name, missing);
    }
  }
  for (const RouteTable::Collision& collision : collisions) {
    refuse(collision.api->id,
           {v1::Rejection::INVALID, "base_path",
            absl::StrCat("API ", collision.owner->id, " has the path ", collision.path,
                         " already and keeps it; choose another basePath or version")});
  }
}

Builder::Builder(BuilderOptions options, rotation::Registry& registry)
    : state_(std::make_unique<State>(std::move(options), registry)) {}

Builder::~Builder() = default;

BuildResult Builder::Build(const ResourceMap& wanted, const std::string& snapshot_hash) {
  BuildResult result;
  result.in_use = wanted;
  State::Decoded next;
  SecretStore::Secrets secrets;
  // The flags hold also without a Gateway resource.
  absl::StatusOr<HostRules> flag_hosts =
      HostRules::Make(state_->options.production_hosts, state_->options.sandbox_hosts);
  if (flag_hosts.ok()) {
    next.gateway.hosts = *std::move(flag_hosts);
  }
  state_->TakeAll(v1::GATEWAY, wanted, secrets, next, result);
  state_->TakeAll(v1::SECRET, wanted, secrets, next, result);
  next.secrets = SecretStore(std::move(secrets));
  SecretStore::Secrets none;
  state_->TakeAll(v1::API, wanted, none, next, result);
  for (const auto& [key, resource] : wanted) {
    if (key.first != v1::GATEWAY && key.first != v1::SECRET && key.first != v1::API) {
      result.rejected.push_back(MakeRejection(resource, 0, *state_->Take(resource, none, next)));
      result.in_use.erase(key);
    }
  }

  std::vector<std::shared_ptr<const Api>> apis;
  apis.reserve(next.apis.size());
  for (const auto& [name, entry] : next.apis) {
    apis.push_back(entry.second->api);
    const auto before = state_->committed.apis.find(name);
    if (before != state_->committed.apis.end() && before->second.second->api != entry.second->api) {
      CollectChangedCredentials(*before->second.second->api, *entry.second->api,
                                result.changed_credentials);
    }
  }
  std::vector<RouteTable::Collision> collisions;
  result.table = std::make_shared<const RouteTable>(
      RouteTable::Options{next.gateway.hosts, snapshot_hash, next.gateway.allow_local_upstreams},
      std::move(apis), &collisions);
  state_->AddRefusals(result.in_use, next, collisions, result);
  state_->built = std::move(next);
  return result;
}

void Builder::Commit(const BuildResult& result) {
  for (const auto& [name, entry] : state_->committed.apis) {
    const auto after = state_->built.apis.find(name);
    if (after == state_->built.apis.end() ||
        HasLostTargets(*entry.second->api, *after->second.second->api)) {
      state_->has_gone = true;
    }
  }
  state_->in_use = result.in_use;
  state_->committed = std::move(state_->built);
  state_->built = State::Decoded();
  if (!std::exchange(state_->has_gone, false)) {
    return;
  }
  std::set<std::string> rotations;
  std::set<std::string> targets;
  for (const auto& [name, entry] : state_->committed.apis) {
    for (const std::unique_ptr<BoundRotation>& bound : entry.second->api->rotations) {
      const rotation::RotationSpec& spec = bound->rotation->spec();
      rotations.insert(spec.id);
      for (const rotation::TargetSpec& target : spec.targets) {
        targets.insert(target.id);
      }
    }
  }
  state_->registry.Retain(rotations, targets);
}

}  // namespace rota::table
