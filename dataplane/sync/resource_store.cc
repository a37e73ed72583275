#include "dataplane/sync/resource_store.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "common/status_macros.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kMaxMessageBytes = 1024;

void CutMessage(v1::Rejection& rejection) {
  std::string& message = *rejection.mutable_message();
  message.resize(Clip(message, kMaxMessageBytes).size());
}

}  // namespace

ResourceKey KeyOf(const v1::ResourceId& id) { return {id.kind(), id.name()}; }

absl::Status ResourceStore::Verify(const Transaction& transaction) const {
  // What the server believes that this data plane was sent: in use, less what was rejected, plus
  // changes. 0 stands for a removal.
  std::map<ResourceKey, uint64_t> changes;
  if (!transaction.commit.full()) {
    changes = rejected_;
  }
  for (const auto& [key, resource] : transaction.upserts) {
    changes[key] = resource->hash();
  }
  for (const ResourceKey& key : transaction.removals) {
    changes[key] = 0;
  }
  const bool full = transaction.commit.full();
  SetHash hash = full ? SetHash() : in_use_hash_;
  size_t count = full ? 0 : in_use_.size();
  for (const auto& [key, version] : changes) {
    const auto kind = static_cast<uint8_t>(key.first);
    const auto held = full ? in_use_.end() : in_use_.find(key);
    if (held != in_use_.end()) {
      hash.Remove(kind, key.second, held->second->hash());
      --count;
    }
    if (version != 0) {
      hash.Add(kind, key.second, version);
      ++count;
    }
  }
  if (count != transaction.commit.resource_count()) {
    return absl::FailedPreconditionError(
        absl::StrCat("transaction ", transaction.number, " leads to ", count,
                     " resources, but its commit says ", transaction.commit.resource_count()));
  }
  if (hash.Bytes() != transaction.commit.snapshot_hash()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "transaction ", transaction.number, " leads to another snapshot than its commit says"));
  }
  return absl::OkStatus();
}

void ResourceStore::Put(const ResourceKey& key, std::shared_ptr<const v1::Resource> resource) {
  in_use_hash_.Add(static_cast<uint8_t>(key.first), key.second, resource->hash());
  in_use_.emplace(key, std::move(resource));
}

std::shared_ptr<const v1::Resource> ResourceStore::Take(const ResourceKey& key) {
  auto node = in_use_.extract(key);
  if (node.empty()) {
    return nullptr;
  }
  in_use_hash_.Remove(static_cast<uint8_t>(key.first), key.second, node.mapped()->hash());
  return std::move(node.mapped());
}

bool ResourceStore::ChangesNothing(const Transaction& transaction) const {
  return applied_once_ && complete_ && transaction.upserts.empty() &&
         transaction.removals.empty() && transaction.commit.snapshot_hash() == snapshot_hash_;
}

absl::StatusOr<v1::Ack> ResourceStore::Apply(Transaction transaction, const Applier& applier) {
  RETURN_IF_ERROR(Verify(transaction));
  forget_inventory_ = false;
  built_from_ = transaction.commit.built_from();
  v1::Ack ack;
  ack.set_transaction(transaction.number);
  if (ChangesNothing(transaction)) {
    ack.set_applied_snapshot_hash(snapshot_hash_);
    ack.mutable_refused()->Add(refused_.begin(), refused_.end());
    return ack;
  }
  // What the transaction replaces or removes, for what turns out to be rejected.
  ResourceMap old;
  ChangedKeys changed;
  if (transaction.commit.full()) {
    old = std::exchange(in_use_, {});
    in_use_hash_ = {};
    rejected_.clear();
  } else if (applied_once_) {
    changed = transaction.removals;
  }
  for (auto& [key, resource] : transaction.upserts) {
    if (changed.has_value()) {
      changed->insert(key);
    }
    rejected_.erase(key);
    if (auto replaced = Take(key); replaced != nullptr) {
      old.emplace(key, std::move(replaced));
    }
    // Sent again as it was: the object that the table keeps anyway.
    const auto same = old.find(key);
    const bool is_same = same != old.end() && same->second->hash() == resource->hash();
    Put(key, is_same ? same->second : std::move(resource));
  }
  for (const ResourceKey& key : transaction.removals) {
    rejected_.erase(key);
    Take(key);
  }
  ApplyResult result = applier(in_use_, changed, transaction.commit.snapshot_hash());
  for (v1::Rejection& rejection : result.rejected) {
    KeepOld(KeyOf(rejection.id()), old, rejection);
    *ack.add_rejected() = rejection;
  }
  for (v1::Rejection& refusal : result.refused) {
    CutMessage(refusal);
  }
  refused_ = std::move(result.refused);
  ack.mutable_refused()->Add(refused_.begin(), refused_.end());
  complete_ = rejected_.empty();
  applied_once_ = true;
  snapshot_hash_ = transaction.commit.snapshot_hash();
  ack.set_applied_snapshot_hash(in_use_hash_.Bytes());
  return ack;
}

void ResourceStore::KeepOld(const ResourceKey& key, ResourceMap& old, v1::Rejection& rejection) {
  CutMessage(rejection);
  const std::shared_ptr<const v1::Resource> wanted = Take(key);
  if (wanted == nullptr) {
    return;
  }
  rejection.set_rejected_hash(wanted->hash());
  rejected_[key] = wanted->hash();
  const auto kept = old.extract(key);
  rejection.set_kept_hash(kept.empty() ? 0 : kept.mapped()->hash());
  if (!kept.empty()) {
    Put(key, kept.mapped());
  }
}

void ResourceStore::Load(ResourceMap resources, const std::string& snapshot_hash,
                         const Applier& applier) {
  in_use_.clear();
  in_use_hash_ = {};
  for (auto& [key, resource] : resources) {
    Put(key, std::move(resource));
  }
  rejected_.clear();
  ApplyResult result = applier(in_use_, std::nullopt, snapshot_hash);
  ResourceMap none;
  for (v1::Rejection& rejection : result.rejected) {
    KeepOld(KeyOf(rejection.id()), none, rejection);
  }
  refused_ = std::move(result.refused);
  complete_ = !snapshot_hash.empty() && rejected_.empty();
  snapshot_hash_ = snapshot_hash;
  rejected_.clear();  // no server knows of them
  applied_once_ = true;
}

void ResourceStore::OnNewStream() { rejected_.clear(); }

void ResourceStore::FillHello(v1::Hello& hello) const {
  if (forget_inventory_) {
    return;
  }
  for (const auto& [key, resource] : in_use_) {
    v1::ResourceVersion& version = *hello.add_inventory();
    version.mutable_id()->set_kind(key.first);
    version.mutable_id()->set_name(key.second);
    version.set_hash(resource->hash());
  }
  *hello.mutable_seen() = built_from_;
  if (complete_) {
    hello.set_snapshot_hash(snapshot_hash_);
  }
}

}  // namespace rota::sync
