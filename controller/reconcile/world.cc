#include "controller/reconcile/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "controller/reconcile/world_status.h"
#include "controller/resource/decode.h"
#include "controller/resource/document.h"
#include "controller/resource/foreign_ref.h"

namespace rota::reconcile {
namespace {

using compile::ApiOutcome;
using compile::CompiledApi;
using resource::ObjectName;

// Of watermarks.
constexpr char kApiKind[] = "API";
constexpr char kSecretKind[] = "Secret";

// What decides the result of decoding and compiling, line numbers of messages included.
uint64_t ContentHash(const source::ApiObject& object) {
  std::string content = absl::StrCat(object.metadata.uid, "\n", object.bare_apk_conf ? 1 : 0, "\n");
  content += object.spec.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (const auto& [pointer, line] : object.lines) {
    absl::StrAppend(&content, "\n", pointer, ":", line);
  }
  return Hash64(content);
}

bool IsSame(const ApiOutcome& a, const ApiOutcome& b) {
  return a.served == b.served && a.body == b.body && a.accepted == b.accepted &&
         a.unresolved == b.unresolved;
}

}  // namespace

World::World(compile::GatewaySettings command_line) : gateways_(command_line) { ServeGateways(); }

compile::Age World::AgeOf(const ObjectName& name, const ApiEntry& entry) const {
  return {entry.metadata.creation_timestamp, name};
}

// Tells the assemblers which versions of an API there are.
void World::SetVersions(const ObjectName& name, ApiEntry& entry) {
  for (auto& [gateway, placement] : entry.placements) {
    if (placement.refusal.has_value()) {
      continue;
    }
    Served& served = served_.at(gateway);
    Inherit(entry.current, served.defaults, placement);
    served.assembler.SetApi(AgeOf(name, entry),
                            {entry.is_held ? nullptr : Permitted(placement.current, gateway),
                             Permitted(placement.last_good, gateway)});
  }
}

World::CompiledPtr World::Permitted(const Version& version, const std::string& gateway) const {
  return version.own == nullptr || gateways_.IdentityRefusal(gateway, *version.own).has_value()
             ? nullptr
             : version.inherited;
}

// An API is no longer served at a gateway, which may be gone.
void World::Withdraw(const ObjectName& name, const ApiEntry& entry, const std::string& gateway,
                     Placement& placement) {
  if (const auto served = served_.find(gateway); served != served_.end()) {
    served->second.assembler.RemoveApi(AgeOf(name, entry));
  }
  Release(std::exchange(placement.last_good, {}).own);
  placement.last_good_generation = 0;
}

void World::WithdrawAll(const ObjectName& name, ApiEntry& entry) {
  for (auto& [gateway, placement] : entry.placements) {
    Withdraw(name, entry, gateway, placement);
  }
}

void World::Compile(const source::ApiObject& object, ApiEntry& entry) {
  ++compile_count_;
  resource::DecodeOptions options;
  options.path_prefix = object.bare_apk_conf ? "" : "spec.";
  options.lines = &object.lines;
  options.ns = object.name.ns;
  resource::DecodedApi decoded = resource::DecodeApi(object.spec, options);
  entry.diagnostics = std::move(decoded.diagnostics);
  entry.field_prefix = options.path_prefix;
  entry.current = nullptr;
  if (!decoded.api.has_value()) {
    return;
  }
  auto compiled = std::make_shared<CompiledApi>(
      compile::CompileApi(object.name, object.metadata.uid, *decoded.api, options.path_prefix));
  for (resource::Diagnostic& diagnostic : compiled->diagnostics) {
    if (!object.lines.empty()) {
      diagnostic.line = resource::LineOfField(object.lines, diagnostic.field);
    }
    entry.diagnostics.push_back(diagnostic);
  }
  const bool is_served =
      std::any_of(entry.placements.begin(), entry.placements.end(),
                  [](const auto& placement) { return placement.second.last_good.own != nullptr; });
  if (compiled->body != nullptr || !is_served) {
    entry.gateways = decoded.api->gateways;  // else the last good version stays where it is
  }
  if (compiled->body != nullptr) {
    entry.current = std::move(compiled);
  }
}

void World::OnApi(source::ApiObject object) {
  auto [position, is_new] = apis_.try_emplace(object.name);
  ApiEntry& entry = position->second;
  if (object.file.empty()) {
    seen_.Raise(kApiKind, object.metadata.resource_version);
  }
  const uint64_t content_hash = ContentHash(object);
  const bool is_other_object = !is_new && entry.metadata.uid != object.metadata.uid;
  if (is_other_object) {
    // Deleted and made anew between two looks: nothing of the old one may be served as this one's.
    OnDeleted({source::ObjectKey{source::ObjectKind::kApi, object.name}});
    deleted_.pop_back();
    OnApi(std::move(object));
    return;
  }
  if (!is_new && entry.content_hash == content_hash) {
    if (entry.metadata.generation == object.metadata.generation && entry.file == object.file) {
      return;  // only its status or its metadata changed
    }
    entry.metadata = std::move(object.metadata);
    entry.file = std::move(object.file);
    for (auto& [gateway, placement] : entry.placements) {
      if (placement.last_good.own != nullptr && placement.last_good.own == entry.current) {
        placement.last_good_generation = entry.metadata.generation;
      }
    }
    touched_.insert(object.name);
    has_changes_ = true;
    return;
  }
  const CompiledPtr before = entry.current;
  if (entry.metadata.creation_timestamp != object.metadata.creation_timestamp) {
    for (auto& [gateway, placement] : entry.placements) {
      if (!placement.refusal.has_value()) {
        served_.at(gateway).assembler.RemoveApi(AgeOf(object.name, entry));
      }
    }
  }
  entry.metadata = object.metadata;
  entry.file = object.file;
  entry.content_hash = content_hash;
  entry.is_held = false;
  Compile(object, entry);
  Want(entry.current);
  Release(before);
  entry.held_until.reset();
  touched_.insert(object.name);
  if (entry.current != nullptr && !entry.current->secrets.empty()) {
    waiting_.insert(object.name);
  }
  Place(object.name, entry);
  has_changes_ = true;
}

void World::OnSecret(source::SecretObject object) {
  const auto found = secrets_.find(object.name);
  if (found == secrets_.end()) {
    return;
  }
  SecretEntry& entry = found->second;
  seen_.Raise(kSecretKind, object.metadata.resource_version);
  const bool was_answered = std::exchange(entry.is_answered, true);
  compile::SecretData data;
  for (auto& [key, value] : object.data) {
    if (entry.wanted.count(key) > 0) {
      data.emplace(key, std::move(value));
    }
  }
  if (entry.exists && entry.uid == object.metadata.uid && entry.data == data &&
      entry.resource_version == object.metadata.resource_version) {
    has_changes_ = has_changes_ || !was_answered;
    return;
  }
  entry.exists = true;
  entry.uid = object.metadata.uid;
  entry.resource_version = object.metadata.resource_version;
  entry.version = {};
  for (const auto& [key, value] : data) {
    entry.version.keys.insert(key);
  }
  entry.version.body = compile::SecretBody(entry.uid, entry.resource_version, data);
  entry.data = std::move(data);
  CheckCertificate(entry);
  for (auto& [gateway, served] : served_) {
    served.assembler.SetSecret(object.name, entry.version);
  }
  has_changes_ = true;
}

void World::OnDeleted(const source::ObjectKey& key) {
  if (key.kind == source::ObjectKind::kNamespace) {
    if (gateways_.OnNamespace(key.name.name, std::nullopt)) {
      PlaceNamespace(key.name.name);
    }
    return;
  }
  if (key.kind == source::ObjectKind::kGateway) {
    if (gateways_.OnDeleted(key.name)) {
      ServeGateways();
    }
    return;
  }
  if (key.kind == source::ObjectKind::kSecret) {
    const auto found = secrets_.find(key.name);
    if (found != secrets_.end()) {
      SecretEntry& entry = found->second;
      entry.is_answered = true;
      entry.exists = false;
      entry.data.clear();
      entry.version = {};
      for (auto& [gateway, served] : served_) {
        served.assembler.RemoveSecret(key.name);
      }
      has_changes_ = true;
    }
    return;
  }
  const auto found = apis_.find(key.name);
  if (found == apis_.end()) {
    return;
  }
  Release(found->second.current);
  WithdrawAll(key.name, found->second);
  waiting_.erase(key.name);
  touched_.erase(key.name);
  apis_.erase(found);
  deleted_.push_back(key.name);
  has_changes_ = true;
}

void World::Want(const CompiledPtr& api) {
  if (api != nullptr) {
    Want(api->secrets);
  }
}

void World::Release(const CompiledPtr& api) {
  if (api != nullptr) {
    Release(api->secrets);
  }
}

void World::Want(const std::vector<compile::SecretUse>& uses) {
  for (const compile::SecretUse& use : uses) {
    const auto [entry, is_new] = secrets_.try_emplace(use.secret);
    services_ += is_new && resource::IsService(use.secret) ? 1 : 0;
    if (++entry->second.wanted[use.key] == 1) {
      entry->second.is_answered = false;
      ++references_version_;
    }
  }
}

void World::Release(const std::vector<compile::SecretUse>& uses) {
  for (const compile::SecretUse& use : uses) {
    const auto found = secrets_.find(use.secret);
    const auto key = found->second.wanted.find(use.key);
    if (--key->second > 0) {
      continue;
    }
    found->second.wanted.erase(key);
    ++references_version_;
    if (found->second.wanted.empty()) {
      for (auto& [gateway, served] : served_) {
        served.assembler.RemoveSecret(use.secret);
      }
      services_ -= resource::IsService(use.secret) ? 1 : 0;
      secrets_.erase(found);
    }
  }
}

bool World::IsWaiting(const CompiledApi& api) const {
  return std::any_of(api.secrets.begin(), api.secrets.end(), [&](const compile::SecretUse& use) {
    const auto found = secrets_.find(use.secret);
    return found != secrets_.end() && !found->second.is_answered &&
           found->second.data.count(use.key) == 0;
  });
}

bool World::Hold(ApiEntry& entry, MonotonicTime now, std::optional<MonotonicTime>& rebuild_at) {
  const bool is_served =
      std::all_of(entry.placements.begin(), entry.placements.end(), [&](const auto& placement) {
        return placement.second.refusal.has_value() ||
               placement.second.last_good.own == entry.current;
      });
  if (entry.current == nullptr || is_served || !IsWaiting(*entry.current)) {
    return false;
  }
  if (!entry.held_until.has_value()) {
    entry.held_until = now + kSecretGrace;
  }
  if (now >= *entry.held_until) {
    return false;
  }
  rebuild_at = std::min(rebuild_at.value_or(*entry.held_until), *entry.held_until);
  return true;
}

void World::Accept(const ObjectName& name, ApiEntry& entry, const std::string& gateway,
                   ApiOutcome outcome) {
  Placement& placement = entry.placements.at(gateway);
  if (placement.current.own != nullptr) {
    if (auto refusal = gateways_.IdentityRefusal(gateway, *placement.current.own)) {
      outcome.accepted.push_back(*std::move(refusal));
    }
  }
  if (!IsSame(placement.outcome, outcome)) {
    touched_.insert(name);
  }
  placement.outcome = std::move(outcome);
  const CompiledPtr served = placement.outcome.served;
  if (served == nullptr || served == placement.last_good.inherited) {
    return;
  }
  // What is served now is what an invalid version will fall back to.
  Want(placement.current.own);
  Release(placement.last_good.own);
  placement.last_good = placement.current;
  placement.last_good_generation = entry.metadata.generation;
  served_.at(gateway).assembler.SetApi(
      AgeOf(name, entry), {placement.current.inherited, placement.last_good.inherited});
}

BuildResult World::Build(MonotonicTime now) {
  BuildResult result;
  for (auto name = waiting_.begin(); name != waiting_.end();) {
    ApiEntry& entry = apis_.at(*name);
    const bool is_held = Hold(entry, now, result.rebuild_at);
    if (std::exchange(entry.is_held, is_held) != is_held) {
      touched_.insert(*name);
    }
    SetVersions(*name, entry);
    name = is_held ? std::next(name) : waiting_.erase(name);
  }
  for (auto& [gateway, served] : served_) {
    if (served.assembler.has_changes()) {
      compile::Assembly assembly = served.assembler.Build();
      for (auto& [name, outcome] : assembly.apis) {
        Accept(name, apis_.at(name), gateway, std::move(outcome));
      }
      if (served.snapshot == nullptr || served.snapshot->hash != assembly.snapshot->hash) {
        assembly.snapshot->sequence = ++sequence_;
        assembly.snapshot->built_from = seen_;
        served.snapshot = std::move(assembly.snapshot);
      }
    }
    result.snapshots.emplace(gateway, served.snapshot);
  }
  result.changed.assign(touched_.begin(), touched_.end());
  touched_.clear();
  result.deleted = std::exchange(deleted_, {});
  has_changes_ = false;
  return result;
}

source::SecretReferences World::References() const {
  source::SecretReferences references;
  for (const auto& [name, entry] : secrets_) {
    std::set<std::string>& keys = references[name];
    for (const auto& [key, count] : entry.wanted) {
      keys.insert(key);
    }
  }
  return references;
}

std::optional<ApiStatus> World::StatusOf(const ObjectName& name) const {
  const auto found = apis_.find(name);
  if (found == apis_.end()) {
    return std::nullopt;
  }
  const ApiEntry& entry = found->second;
  ApiStatus status;
  for (const auto& [gateway, placement] : entry.placements) {
    WorldFacts facts;
    facts.generation = entry.metadata.generation;
    facts.diagnostics = &entry.diagnostics;
    facts.outcome = &placement.outcome;
    facts.is_held = entry.is_held;
    facts.is_current_served = placement.outcome.served != nullptr &&
                              placement.outcome.served == placement.current.inherited;
    facts.last_good_generation = placement.last_good_generation;
    AddGateway(gateway, DescribeWorld(facts),
               placement.outcome.body == nullptr ? 0 : placement.outcome.body->hash, status);
  }
  status.accepted = Aggregate(status.gateways, &ApiAtGateway::accepted);
  status.resolved_refs = Aggregate(status.gateways, &ApiAtGateway::resolved_refs);
  status.programmed = Aggregate(status.gateways, &ApiAtGateway::programmed);
  status.name = name;
  status.uid = entry.metadata.uid;
  status.file = entry.file;
  return status;
}

std::vector<ObjectName> World::Names() const {
  std::vector<ObjectName> names;
  names.reserve(apis_.size());
  for (const auto& [name, entry] : apis_) {
    names.push_back(name);
  }
  return names;
}

std::vector<ObjectName> World::NamesAfter(const ObjectName& name, size_t count) const {
  std::vector<ObjectName> names;
  auto next = apis_.upper_bound(name);
  while (names.size() < std::min(count, apis_.size())) {
    if (next == apis_.end()) {
      next = apis_.begin();
    }
    names.push_back(next->first);
    ++next;
  }
  return names;
}

}  // namespace rota::reconcile
