#include "controller/serve/transaction_plan.h"

#include <algorithm>
#include <utility>

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using compile::ResourceKey;
using compile::ResourceSet;

constexpr size_t kCachedDeltas = 4;
// Tags, lengths, kind and hash of one entry, rounded up.
constexpr size_t kEntryOverhead = 48;

// Shards have an order of their own.
std::shared_ptr<const SnapshotDelta> Finish(SnapshotDelta delta, SnapshotPtr to) {
  std::sort(delta.upserts.begin(), delta.upserts.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  std::sort(delta.removals.begin(), delta.removals.end());
  for (const ResourceSet::Entry* upsert : delta.upserts) {
    delta.bytes += upsert->second->bytes.size();
  }
  delta.to = std::move(to);
  return std::make_shared<const SnapshotDelta>(std::move(delta));
}

}  // namespace

void ToProto(const ResourceKey& key, v1::ResourceId& id) {
  id.set_kind(static_cast<v1::Kind>(key.first));
  id.set_name(key.second);
}

ResourceKey FromProto(const v1::ResourceId& id) {
  return {static_cast<compile::ResourceKind>(id.kind()), id.name()};
}

std::shared_ptr<const SnapshotDelta> DeltaBetween(const compile::Snapshot* from, SnapshotPtr to) {
  SnapshotDelta delta;
  const compile::ResourceSet nothing;
  delta.full = from == nullptr;
  ResourceSet::Compare(
      from == nullptr ? nothing : from->resources, to->resources,
      [&delta](const ResourceSet::Entry* before, const ResourceSet::Entry* after) {
        if (after == nullptr) {
          delta.removals.push_back(before->first);
        } else if (before == nullptr || before->second->hash != after->second->hash) {
          delta.upserts.push_back(after);
        }
      });
  return Finish(std::move(delta), std::move(to));
}

std::shared_ptr<const SnapshotDelta> DeltaFromInventory(
    const std::map<ResourceKey, uint64_t>& inventory, SnapshotPtr to) {
  SnapshotDelta delta;
  delta.full = inventory.empty();
  for (const auto& [key, hash] : inventory) {
    if (!to->resources.contains(key)) {
      delta.removals.push_back(key);
    }
  }
  to->resources.ForEach([&](const ResourceSet::Entry& resource) {
    const auto held = inventory.find(resource.first);
    if (held == inventory.end() || held->second != resource.second->hash) {
      delta.upserts.push_back(&resource);
    }
  });
  return Finish(std::move(delta), std::move(to));
}

std::shared_ptr<const SnapshotDelta> DeltaCache::Between(const SnapshotPtr& from,
                                                         const SnapshotPtr& to) {
  // Computed under the lock: the other streams want the same one and would compute it meanwhile.
  std::lock_guard guard(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.from == from && entry.delta->to == to) {
      return entry.delta;
    }
  }
  entries_.push_front({from, DeltaBetween(from.get(), to)});
  if (entries_.size() > kCachedDeltas) {
    entries_.pop_back();
  }
  return entries_.front().delta;
}

v1::Chunk TransactionPlan::Next(size_t max_bytes) {
  v1::Chunk chunk;
  chunk.set_transaction(number_);
  size_t bytes = 0;
  const auto fits = [&](size_t more) {
    const bool first = bytes == 0;
    if (!first && bytes + more > max_bytes) {
      return false;
    }
    bytes += more;
    return true;
  };
  while (next_upsert_ < delta_->upserts.size()) {
    const auto& [key, body] = *delta_->upserts[next_upsert_];
    if (!fits(key.second.size() + body->bytes.size() + kEntryOverhead)) {
      return chunk;
    }
    v1::Resource& resource = *chunk.add_upserts();
    ToProto(key, *resource.mutable_id());
    resource.set_hash(body->hash);
    resource.set_body(body->bytes);
    ++next_upsert_;
  }
  while (next_removal_ < delta_->removals.size()) {
    const ResourceKey& key = delta_->removals[next_removal_];
    if (!fits(key.second.size() + kEntryOverhead)) {
      return chunk;
    }
    ToProto(key, *chunk.add_removals());
    ++next_removal_;
  }
  v1::Commit& commit = *chunk.mutable_commit();
  commit.set_snapshot_hash(delta_->to->hash);
  commit.set_resource_count(static_cast<uint32_t>(delta_->to->resources.size()));
  commit.set_full(delta_->full);
  for (const auto& [kind, version] : delta_->to->built_from.versions()) {
    v1::KindWatermark& watermark = *commit.add_built_from();
    watermark.set_kind(kind);
    watermark.set_resource_version(version);
  }
  done_ = true;
  return chunk;
}

}  // namespace rota::serve
