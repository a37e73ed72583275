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

World::World(compile::GatewaySettings gateway)
    : gateway_(std::move(gateway)),
      gateway_body_(compile::GatewayBody(gateway_)),
      assembler_(gateway_.name, gateway_body_) {}

compile::Age World::AgeOf(const ObjectName& name, const ApiEntry& entry) const {
  return {entry.metadata.creation_timestamp, name};
}

void World::Compile(const source::ApiObject& object, ApiEntry& entry) {
  ++compile_count_;
  resource::DecodeOptions options;
  options.path_prefix = object.bare_apk_conf ? "" : "spec.";
  options.lines = &object.lines;
  options.ns = object.name.ns;
  resource::DecodedApi decoded = resource::DecodeApi(object.spec, options);
  entry.diagnostics = std::move(decoded.diagnostics);
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
    if (entry.last_good != nullptr && entry.last_good == entry.current) {
      entry.last_good_generation = entry.metadata.generation;
    }
    touched_.insert(object.name);
    has_changes_ = true;
    return;
  }
  const CompiledPtr before = entry.current;
  if (entry.metadata.creation_timestamp != object.metadata.creation_timestamp) {
    assembler_.RemoveApi(AgeOf(object.name, entry));
  }
  entry.metadata = object.metadata;
  entry.file = object.file;
  entry.content_hash = content_hash;
  Compile(object, entry);
  Want(entry.current);
  Release(before);
  entry.held_until.reset();
  touched_.insert(object.name);
  if (entry.current != nullptr && !entry.current->secrets.empty()) {
    waiting_.insert(object.name);
  }
  assembler_.SetApi(AgeOf(object.name, entry), {entry.current, entry.last_good});
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
  compile::SecretVersion version;
  for (const auto& [key, value] : data) {
    version.keys.insert(key);
  }
  version.body = compile::SecretBody(entry.uid, entry.resource_version, data);
  entry.data = std::move(data);
  assembler_.SetSecret(object.name, version);
  has_changes_ = true;
}

void World::OnDeleted(const source::ObjectKey& key) {
  if (key.kind == source::ObjectKind::kSecret) {
    const auto found = secrets_.find(key.name);
    if (found != secrets_.end()) {
      SecretEntry& entry = found->second;
      entry.is_answered = true;
      entry.exists = false;
      entry.data.clear();
      assembler_.RemoveSecret(key.name);
      has_changes_ = true;
    }
    return;
  }
  const auto found = apis_.find(key.name);
  if (found == apis_.end()) {
    return;
  }
  Release(found->second.current);
  Release(found->second.last_good);
  assembler_.RemoveApi(AgeOf(key.name, found->second));
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
      assembler_.RemoveSecret(use.secret);
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
  if (entry.current == nullptr || entry.current == entry.last_good || !IsWaiting(*entry.current)) {
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

void World::Accept(const ObjectName& name, ApiEntry& entry, ApiOutcome outcome) {
  if (!IsSame(entry.outcome, outcome)) {
    touched_.insert(name);
  }
  entry.outcome = std::move(outcome);
  if (entry.outcome.served == nullptr || entry.outcome.served == entry.last_good) {
    return;
  }
  // What is served now is what an invalid version will fall back to.
  Want(entry.outcome.served);
  Release(entry.last_good);
  entry.last_good = entry.outcome.served;
  entry.last_good_generation = entry.metadata.generation;
  assembler_.SetApi(AgeOf(name, entry), {entry.current, entry.last_good});
}

BuildResult World::Build(MonotonicTime now) {
  BuildResult result;
  for (auto name = waiting_.begin(); name != waiting_.end();) {
    ApiEntry& entry = apis_.at(*name);
    const bool is_held = Hold(entry, now, result.rebuild_at);
    if (std::exchange(entry.is_held, is_held) != is_held) {
      touched_.insert(*name);
    }
    assembler_.SetApi(AgeOf(*name, entry), {is_held ? nullptr : entry.current, entry.last_good});
    name = is_held ? std::next(name) : waiting_.erase(name);
  }
  compile::Assembly assembly = assembler_.Build();
  for (auto& [name, outcome] : assembly.apis) {
    Accept(name, apis_.at(name), std::move(outcome));
  }
  result.changed.assign(touched_.begin(), touched_.end());
  touched_.clear();
  if (snapshot_ == nullptr || snapshot_->hash != assembly.snapshot->hash) {
    assembly.snapshot->sequence = ++sequence_;
    assembly.snapshot->built_from = seen_;
    snapshot_ = std::move(assembly.snapshot);
  }
  result.snapshot = snapshot_;
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
  WorldFacts facts;
  facts.generation = entry.metadata.generation;
  facts.diagnostics = &entry.diagnostics;
  facts.outcome = &entry.outcome;
  facts.is_held = entry.is_held;
  facts.is_current_served =
      entry.outcome.served != nullptr && entry.outcome.served == entry.current;
  facts.last_good_generation = entry.last_good_generation;
  ApiStatus status = DescribeWorld(facts);
  status.name = name;
  status.uid = entry.metadata.uid;
  status.file = entry.file;
  return status;
}

uint64_t World::ServedHash(const ObjectName& name) const {
  const auto found = apis_.find(name);
  if (found == apis_.end() || found->second.outcome.served == nullptr) {
    return 0;
  }
  return found->second.outcome.served->body->hash;
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
