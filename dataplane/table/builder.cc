#include "dataplane/table/builder.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "dataplane/table/api_decoder.h"
#include "dataplane/table/endpoint_pool.h"
#include "dataplane/table/secret_store.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kMaxMessage = 1024;  // of a Rejection

struct GatewaySettings {
  uint64_t hash = 0;
  HostRules hosts;
  bool allow_local_upstreams = false;
  std::vector<v1::Listener> listeners;
};

v1::Rejection MakeRejection(const v1::Resource& resource, uint64_t kept_hash,
                            const DecodeProblem& problem) {
  v1::Rejection rejection;
  *rejection.mutable_id() = resource.id();
  rejection.set_rejected_hash(resource.hash());
  rejection.set_kept_hash(kept_hash);
  rejection.set_code(problem.code);
  rejection.set_field(problem.field);
  rejection.set_message(std::string(Clip(problem.message, kMaxMessage)));
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
    // One that was not there before is no other one: a data plane that has started without its
    // Secrets must not end the suspensions of the whole fleet when they come. (Of one that was
    // taken away they have ended then.) New keys of an identity are the same account's.
    const bool was_known = !old->second->credential_missing && old->second->identity.empty();
    if (was_known &&
        (endpoint->credential_missing || !(endpoint->credential == old->second->credential))) {
      changed.insert(target);
    }
  }
}

// What other parts of the process remember of APIs.
struct Remembered {
  void Add(const Api& api) {
    for (const std::unique_ptr<BoundRotation>& bound : api.rotations) {
      const rotation::RotationSpec& spec = bound->rotation->spec();
      rotations.insert(spec.id);
      for (size_t i = 0; i < bound->targets.size(); ++i) {
        targets.insert(spec.targets[i].id);
        series.insert(bound->targets[i].series);
      }
    }
    for (const Operation& operation : api.operations) {
      for (const std::optional<Route>* route : {&operation.production, &operation.sandbox}) {
        if (route->has_value()) {
          series.insert((*route)->endpoint_series);
          series.insert((*route)->gateway_series);
        }
      }
    }
  }
  std::set<std::string> rotations;
  std::set<std::string> targets;
  std::set<SeriesId> series;
};

void AddChange(std::shared_ptr<const Api> before, std::shared_ptr<const Api> after,
               ApiChanges& changes) {
  if (before != after) {
    changes.push_back({std::move(before), std::move(after)});
  }
}

template <typename T>
std::vector<T> Difference(const std::set<T>& before, const std::set<T>& after) {
  std::vector<T> gone;
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(gone));
  return gone;
}

}  // namespace

struct Builder::State {
  State(BuilderOptions builder_options, rotation::Registry& rotation_registry)
      : options(std::move(builder_options)), registry(rotation_registry) {}

  // What one Build has decoded. Unchanged parts are shared with the one before.
  struct Decoded {
    SharedResource gateway_resource;  // null without one
    GatewaySettings gateway;
    std::vector<DecodeProblem> missing_certificates;  // of its listeners
    std::shared_ptr<const SecretStore> secrets = std::make_shared<const SecretStore>(
        SecretStore::Secrets(), Identities{{kAwsIdentity, {}}, {kAzureIdentity, {}}});
    bool has_other_secrets = true;  // than what was committed before
    ApiChanges changes;             // of the APIs in the table
    ApiList refused;                // APIs that are not served as configured, in part or whole
  };

  Decoded Unchanged() const;
  std::optional<DecodeProblem> TakeGateway(const v1::Resource& resource, Decoded& next) const;
  void TakeGateways(const ResourceMap& wanted, Decoded& next, BuildResult& result) const;
  void TakeSecrets(const ResourceMap& wanted, Decoded& next, BuildResult& result) const;
  static void TakeListeners(Decoded& next, BuildResult& result);
  void TakeApis(const ResourceMap& wanted, Decoded& next, BuildResult& result) const;
  void TakeChangedApis(const ResourceMap& wanted, const std::set<ResourceKey>& changed,
                       Decoded& next, BuildResult& result) const;
  // What `resource` is served as from now on (`known`: the API in use). `known` when nothing that
  // it is made from has changed, and when the resource is rejected; then null without one.
  std::shared_ptr<const Api> TakeApi(const SharedResource& resource,
                                     const std::shared_ptr<const Api>& known, const Decoded& next,
                                     BuildResult& result) const;
  std::variant<std::shared_ptr<const Api>, DecodeProblem> MakeApi(
      const SharedResource& resource, const std::shared_ptr<const Api>& known,
      const Decoded& next) const;
  bool IsRefused(const Api& api) const;
  ApiChanges RefusedOf(const ApiChanges& changes) const;
  void AddRefusals(const Decoded& next, const std::vector<Collision>& collisions,
                   BuildResult& result) const;
  static void RejectUnknownKinds(const ResourceMap& wanted, BuildResult& result);
  // The table with the changes of `next`, and what is to be said about it.
  void Finish(Decoded next, const std::string& snapshot_hash, BuildResult& result);

  const BuilderOptions options;
  rotation::Registry& registry;
  const std::unique_ptr<EndpointPool> endpoints = std::make_unique<EndpointPool>();
  const std::unique_ptr<SharePool<OperationIndex>> indexes =
      std::make_unique<SharePool<OperationIndex>>();
  Decoded committed;
  std::shared_ptr<const RouteTable> table = std::make_shared<const RouteTable>();  // of `committed`
  Decoded built;  // by the last Build, waiting for Commit
};

Builder::State::Decoded Builder::State::Unchanged() const {
  Decoded next = committed;
  next.has_other_secrets = false;
  next.changes.clear();
  return next;
}

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
  next.gateway = {resource.hash(),
                  *std::move(hosts),
                  message.allow_local_upstreams(),
                  {message.listeners().begin(), message.listeners().end()}};
  return std::nullopt;
}

void Builder::State::TakeGateways(const ResourceMap& wanted, Decoded& next,
                                  BuildResult& result) const {
  // The flags hold also without a Gateway resource.
  absl::StatusOr<HostRules> hosts =
      HostRules::Make(options.production_hosts, options.sandbox_hosts);
  if (hosts.ok()) {
    next.gateway.hosts = *std::move(hosts);
  }
  for (auto it = wanted.lower_bound({v1::GATEWAY, ""});
       it != wanted.end() && it->first.first == v1::GATEWAY; ++it) {
    const std::optional<DecodeProblem> problem = TakeGateway(*it->second, next);
    if (!problem.has_value()) {
      next.gateway_resource = it->second;
      continue;
    }
    const SharedResource& kept = committed.gateway_resource;
    const bool has_kept = kept != nullptr && kept->id().name() == it->first.second;
    if (has_kept) {
      next.gateway = committed.gateway;
      next.gateway_resource = kept;
    }
    result.rejected.push_back(MakeRejection(*it->second, has_kept ? kept->hash() : 0, *problem));
  }
}

void Builder::State::TakeSecrets(const ResourceMap& wanted, Decoded& next,
                                 BuildResult& result) const {
  const SecretStore::Secrets& before = committed.secrets->secrets();
  SecretStore::Secrets secrets;
  for (auto it = wanted.lower_bound({v1::SECRET, ""});
       it != wanted.end() && it->first.first == v1::SECRET; ++it) {
    const v1::Resource& resource = *it->second;
    const auto known = before.find(resource.id().name());
    if (known != before.end() && known->second->hash == resource.hash()) {
      secrets.insert(*known);
      continue;
    }
    absl::StatusOr<std::shared_ptr<const DecodedSecret>> secret = SecretStore::Decode(resource);
    if (secret.ok()) {
      secrets[resource.id().name()] = *std::move(secret);
      continue;
    }
    if (known != before.end()) {
      secrets.insert(*known);
    }
    result.rejected.push_back(
        MakeRejection(resource, known == before.end() ? 0 : known->second->hash,
                      {v1::Rejection::MALFORMED, "", std::string(secret.status().message())}));
  }
  next.has_other_secrets = secrets != before;
  next.secrets =
      std::make_shared<const SecretStore>(std::move(secrets), committed.secrets->identities());
}

// A certificate whose Secret is not there is in the list without its content: whoever has it from
// before goes on with it.
void Builder::State::TakeListeners(Decoded& next, BuildResult& result) {
  result.certificates.emplace();
  for (int i = 0; i < static_cast<int>(next.gateway.listeners.size()); ++i) {
    const v1::Listener& listener = next.gateway.listeners[static_cast<size_t>(i)];
    ServerCertificate certificate;
    certificate.listener = listener.name();
    certificate.hostname = listener.hostname();
    absl::StatusOr<std::string> chain = next.secrets->Text(listener.certificate());
    absl::StatusOr<SecretString> key = next.secrets->Bytes(listener.key());
    if (chain.ok() && key.ok()) {
      certificate.version = next.secrets->HashOf(listener.certificate().secret());
      certificate.chain = *std::move(chain);
      certificate.key = *std::move(key);
    } else {
      const absl::Status& missing = chain.ok() ? key.status() : chain.status();
      next.missing_certificates.push_back({v1::Rejection::SECRET_MISSING,
                                           absl::StrCat("listeners[", i, "]"),
                                           std::string(missing.message())});
    }
    result.certificates->push_back(std::move(certificate));
  }
}

std::variant<std::shared_ptr<const Api>, DecodeProblem> Builder::State::MakeApi(
    const SharedResource& resource, const std::shared_ptr<const Api>& known,
    const Decoded& next) const {
  if (known != nullptr && known->origin->resource->hash() == resource->hash()) {
    const auto& used = known->origin->used_secrets;
    const bool has_same_secrets =
        !next.has_other_secrets || std::all_of(used.begin(), used.end(), [&next](const auto& use) {
          return next.secrets->HashOf(use.first) == use.second;
        });
    if (has_same_secrets) {
      return known;
    }
  }
  return DecodeApi(resource, {*next.secrets, registry, *endpoints, *indexes, options.intern_series,
                              options.want_identity});
}

std::shared_ptr<const Api> Builder::State::TakeApi(const SharedResource& resource,
                                                   const std::shared_ptr<const Api>& known,
                                                   const Decoded& next, BuildResult& result) const {
  auto made = MakeApi(resource, known, next);
  if (const auto* problem = std::get_if<DecodeProblem>(&made)) {
    result.rejected.push_back(
        MakeRejection(*resource, known == nullptr ? 0 : known->origin->resource->hash(), *problem));
    if (known == nullptr) {
      return nullptr;
    }
    // The old version with the Secrets of today. It was good once, so it is now.
    made = MakeApi(known->origin->resource, known, next);
  }
  auto* api = std::get_if<std::shared_ptr<const Api>>(&made);
  if (api == nullptr) {
    return nullptr;
  }
  if (known != nullptr && known != *api) {
    CollectChangedCredentials(*known, **api, result.changed_credentials);
  }
  return std::move(*api);
}

void Builder::State::TakeApis(const ResourceMap& wanted, Decoded& next, BuildResult& result) const {
  auto known = table->apis().begin();  // both sides are in the order of names
  const auto end = table->apis().end();
  for (auto it = wanted.lower_bound({v1::API, ""});
       it != wanted.end() && it->first.first == v1::API; ++it) {
    for (; known != end && (*known)->id < it->first.second; ++known) {
      next.changes.push_back({*known, nullptr});
    }
    std::shared_ptr<const Api> before;
    if (known != end && (*known)->id == it->first.second) {
      before = *known;
      ++known;
    }
    AddChange(before, TakeApi(it->second, before, next, result), next.changes);
  }
  for (; known != end; ++known) {
    next.changes.push_back({*known, nullptr});
  }
}

void Builder::State::TakeChangedApis(const ResourceMap& wanted,
                                     const std::set<ResourceKey>& changed, Decoded& next,
                                     BuildResult& result) const {
  for (const ResourceKey& key : changed) {
    const std::shared_ptr<const Api> before = table->apis().Find(key.second);
    const auto resource = wanted.find(key);
    AddChange(before,
              resource == wanted.end() ? nullptr : TakeApi(resource->second, before, next, result),
              next.changes);
  }
}

bool Builder::State::IsRefused(const Api& api) const {
  return !api.origin->missing.empty() ||
         (api.origin->secured_operations > 0 && !options.allow_unauthenticated);
}

// What those changes are to the list of those that are refused.
ApiChanges Builder::State::RefusedOf(const ApiChanges& changes) const {
  const auto if_refused = [this](const std::shared_ptr<const Api>& api) {
    return api != nullptr && IsRefused(*api) ? api : nullptr;
  };
  ApiChanges refused;
  for (const ApiChange& change : changes) {
    AddChange(if_refused(change.before), if_refused(change.after), refused);
  }
  return refused;
}

void Builder::State::AddRefusals(const Decoded& next, const std::vector<Collision>& collisions,
                                 BuildResult& result) const {
  const auto refuse = [&result](const v1::Resource& resource, const DecodeProblem& problem) {
    result.refused.push_back(MakeRejection(resource, resource.hash(), problem));
  };
  for (const DecodeProblem& missing : next.missing_certificates) {
    refuse(*next.gateway_resource, missing);
  }
  for (const std::shared_ptr<const Api>& api : next.refused) {
    const ApiOrigin& origin = *api->origin;
    if (origin.secured_operations > 0 && !options.allow_unauthenticated) {
      refuse(*origin.resource,
             {v1::Rejection::AUTH_NOT_ENFORCED, "operations",
              absl::StrCat(origin.secured_operations,
                           " operations ask for authentication, which this data plane does "
                           "not enforce: they are refused. Start it with "
                           "--allow-unauthenticated, or set secured: false")});
    }
    for (const DecodeProblem& missing : origin.missing) {
      refuse(*origin.resource, missing);
    }
  }
  for (const Collision& collision : collisions) {
    refuse(*collision.api->origin->resource,
           {v1::Rejection::INVALID, "base_path",
            absl::StrCat("API ", collision.owner->id, " has the path ", collision.path,
                         " already and keeps it; choose another basePath or version")});
  }
}

Builder::Builder(BuilderOptions options, rotation::Registry& registry)
    : state_(std::make_unique<State>(std::move(options), registry)) {}

Builder::~Builder() = default;

void Builder::State::RejectUnknownKinds(const ResourceMap& wanted, BuildResult& result) {
  const auto reject = [&result](auto begin, auto end) {
    for (; begin != end; ++begin) {
      result.rejected.push_back(MakeRejection(
          *begin->second, 0,
          {v1::Rejection::UNSUPPORTED, "", "this data plane does not know the kind; update it"}));
    }
  };
  reject(wanted.begin(), wanted.lower_bound({v1::GATEWAY, ""}));
  reject(wanted.lower_bound({static_cast<v1::Kind>(v1::SECRET + 1), ""}), wanted.end());
}

void Builder::State::Finish(Decoded next, const std::string& snapshot_hash, BuildResult& result) {
  result.table = std::make_shared<const RouteTable>(
      RouteTable::Options{next.gateway.hosts, snapshot_hash, next.gateway.allow_local_upstreams},
      *table, next.changes);
  next.refused = committed.refused.With(RefusedOf(next.changes));
  AddRefusals(next, result.table->Collisions(), result);
  built = std::move(next);
}

BuildResult Builder::Build(const ResourceMap& wanted, const std::string& snapshot_hash,
                           const ChangedKeys& changed) {
  BuildResult result;
  State::Decoded next;
  const bool only_apis =
      changed.has_value() && std::all_of(changed->begin(), changed->end(),
                                         [](const auto& key) { return key.first == v1::API; });
  if (only_apis) {
    next = state_->Unchanged();
    state_->TakeChangedApis(wanted, *changed, next, result);
  } else {
    state_->TakeGateways(wanted, next, result);
    state_->TakeSecrets(wanted, next, result);
    State::TakeListeners(next, result);
    state_->TakeApis(wanted, next, result);
    State::RejectUnknownKinds(wanted, result);
  }
  state_->Finish(std::move(next), snapshot_hash, result);
  return result;
}

BuildResult Builder::BuildWithIdentity(const std::string& name, const Identity& identity) {
  BuildResult result;
  State::Decoded next = state_->Unchanged();
  Identities identities = next.secrets->identities();
  identities[name] = identity;
  next.secrets =
      std::make_shared<const SecretStore>(next.secrets->secrets(), std::move(identities));
  next.has_other_secrets = true;
  for (const std::shared_ptr<const Api>& api : state_->table->apis()) {
    AddChange(api, state_->TakeApi(api->origin->resource, api, next, result), next.changes);
  }
  state_->Finish(std::move(next), state_->table->snapshot_hash(), result);
  return result;
}

std::vector<SeriesId> Builder::Commit(const BuildResult& result) {
  Remembered before;
  Remembered after;
  for (const ApiChange& change : state_->built.changes) {
    if (change.before != nullptr) {
      before.Add(*change.before);
    }
    if (change.after != nullptr) {
      after.Add(*change.after);
    }
  }
  state_->committed = std::move(state_->built);
  state_->committed.changes = {};
  state_->built = State::Decoded();
  state_->table = result.table;
  state_->registry.Forget(Difference(before.rotations, after.rotations),
                          Difference(before.targets, after.targets));
  return Difference(before.series, after.series);
}

}  // namespace rota::table
