#include "controller/reconcile/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "controller/reconcile/world_status.h"
#include "controller/resource/decode.h"
#include "controller/resource/document.h"

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
  return a.served == b.served && a.accepted == b.accepted && a.unresolved == b.unresolved;
}

}  // namespace

World::World(compile::GatewaySettings command_line) : gateways_(command_line) { ServeGateways(); }

compile::Age World::AgeOf(const ObjectName& name, const ApiEntry& entry) const {
  return {entry.metadata.creation_timestamp, name};
}

void World::OnGateway(const source::GatewayObject& object) {
  has_changes_ = true;  // its status may be another one in any case
  if (gateways_.OnGateway(object)) {
    ServeGateways();
  }
}

// Makes served_ and the places of all APIs what the book says. Gateways change rarely.
void World::ServeGateways() {
  for (const auto& [name, entry] : gateways_.entries()) {
    if (!entry.in_force.has_value()) {
      continue;
    }
    const auto body = compile::GatewayBody(gateways_.SettingsOf(name));
    const auto known = served_.find(name);
    if (known == served_.end()) {
      Served served{compile::Assembler(name, body), body->hash, nullptr};
      for (const auto& [secret, content] : secrets_) {
        if (content.exists) {
          served.assembler.SetSecret(secret, content.version);
        }
      }
      served_.emplace(name, std::move(served));
    } else if (std::exchange(known->second.settings_hash, body->hash) != body->hash) {
      known->second.assembler.SetGateway(body);
    }
  }
  std::erase_if(served_, [this](const auto& served) {
    const auto entry = gateways_.entries().find(served.first);
    return entry == gateways_.entries().end() || !entry->second.in_force.has_value();
  });
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

// Tells the assemblers which versions of an API there are.
void World::SetVersions(const ObjectName& name, ApiEntry& entry) {
  for (const auto& [gateway, placement] : entry.placements) {
    if (!placement.refusal.has_value()) {
      served_.at(gateway).assembler.SetApi(
          AgeOf(name, entry), {entry.is_held ? nullptr : entry.current, placement.last_good});
    }
  }
}

// An API is no longer served at a gateway, which may be gone.
void World::Withdraw(const ObjectName& name, const ApiEntry& entry, const std::string& gateway,
                     Placement& placement) {
  if (const auto served = served_.find(gateway); served != served_.end()) {
    served->second.assembler.RemoveApi(AgeOf(name, entry));
  }
  Release(std::exchange(placement.last_good, nullptr));
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
                  [](const auto& placement) { return placement.second.last_good != nullptr; });
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
      if (placement.last_good != nullptr && placement.last_good == entry.current) {
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
  for (auto& [gateway, served] : served_) {
    served.assembler.SetSecret(object.name, entry.version);
  }
  has_changes_ = true;
}

void World::OnDeleted(const source::ObjectKey& key) {
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
  if (api == nullptr) {
    return;
  }
  for (const compile::SecretUse& use : api->secrets) {
    SecretEntry& entry = secrets_[use.secret];
    if (++entry.wanted[use.key] == 1) {
      entry.is_answered = false;
      ++references_version_;
    }
  }
}

void World::Release(const CompiledPtr& api) {
  if (api == nullptr) {
    return;
  }
  for (const compile::SecretUse& use : api->secrets) {
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
        return placement.second.refusal.has_value() || placement.second.last_good == entry.current;
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
  if (!IsSame(placement.outcome, outcome)) {
    touched_.insert(name);
  }
  placement.outcome = std::move(outcome);
  const CompiledPtr served = placement.outcome.served;
  if (served == nullptr || served == placement.last_good) {
    return;
  }
  // What is served now is what an invalid version will fall back to.
  Want(served);
  Release(placement.last_good);
  placement.last_good = served;
  placement.last_good_generation = entry.metadata.generation;
  served_.at(gateway).assembler.SetApi(AgeOf(name, entry), {entry.current, placement.last_good});
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
    facts.is_current_served =
        placement.outcome.served != nullptr && placement.outcome.served == entry.current;
    facts.last_good_generation = placement.last_good_generation;
    AddGateway(gateway, DescribeWorld(facts),
               placement.outcome.served == nullptr ? 0 : placement.outcome.served->body->hash,
               status);
  }
  status.accepted = Aggregate(status.gateways, &ApiAtGateway::accepted);
  status.resolved_refs = Aggregate(status.gateways, &ApiAtGateway::resolved_refs);
  status.programmed = Aggregate(status.gateways, &ApiAtGateway::programmed);
  status.name = name;
  status.uid = entry.metadata.uid;
  status.file = entry.file;
  return status;
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
    GatewayStatus status = DescribeGateway(name, entry);
    status.attached_apis = attached[name];
    status.is_default = name == gateways_.default_gateway();
    if (const auto served = served_.find(name);
        served != served_.end() && served->second.snapshot != nullptr) {
      status.snapshot = served->second.snapshot->hash;
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
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
