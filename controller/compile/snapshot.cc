#include "controller/compile/snapshot.h"

#include "common/secret.h"

namespace rota::compile {

ResourceBody::~ResourceBody() { WipeString(bytes); }

ResourceSet::ResourceSet(const ResourceSet& other)
    : shards_(other.shards_), size_(other.size_), hash_(other.hash_) {
  other.owned_.reset();
}

size_t ResourceSet::ShardOf(const ResourceKey& key) {
  return std::hash<std::string>()(key.second) % kShards;
}

ResourceSet::Shard& ResourceSet::Own(size_t shard) {
  std::shared_ptr<Shard>& place = shards_[shard];
  if (!owned_[shard]) {
    place = place == nullptr ? std::make_shared<Shard>() : std::make_shared<Shard>(*place);
    owned_.set(shard);
  }
  return *place;
}

void ResourceSet::Set(const ResourceKey& key, ResourceBodyPtr body) {
  const uint64_t version = body->hash;
  const auto [entry, is_new] = Own(ShardOf(key)).try_emplace(key);
  if (is_new) {
    ++size_;
  } else {
    hash_.Remove(static_cast<uint8_t>(key.first), key.second, entry->second->hash);
  }
  entry->second = std::move(body);
  hash_.Add(static_cast<uint8_t>(key.first), key.second, version);
}

void ResourceSet::Erase(const ResourceKey& key) {
  const Entry* entry = Find(key);
  if (entry == nullptr) {
    return;
  }
  hash_.Remove(static_cast<uint8_t>(key.first), key.second, entry->second->hash);
  --size_;
  Own(ShardOf(key)).erase(key);
}

const ResourceSet::Entry* ResourceSet::Find(const ResourceKey& key) const {
  const std::shared_ptr<Shard>& shard = shards_[ShardOf(key)];
  if (shard == nullptr) {
    return nullptr;
  }
  const auto found = shard->find(key);
  return found == shard->end() ? nullptr : &*found;
}

void ResourceSet::ForEach(const std::function<void(const Entry&)>& visit) const {
  for (const std::shared_ptr<Shard>& shard : shards_) {
    if (shard != nullptr) {
      for (const Entry& entry : *shard) {
        visit(entry);
      }
    }
  }
}

void ResourceSet::Compare(const ResourceSet& before, const ResourceSet& after,
                          const std::function<void(const Entry*, const Entry*)>& visit) {
  const Shard nothing;
  for (size_t i = 0; i < kShards; ++i) {
    if (before.shards_[i] == after.shards_[i]) {
      continue;
    }
    const Shard& old_ones = before.shards_[i] == nullptr ? nothing : *before.shards_[i];
    const Shard& new_ones = after.shards_[i] == nullptr ? nothing : *after.shards_[i];
    auto old_one = old_ones.begin();
    for (const Entry& new_one : new_ones) {
      for (; old_one != old_ones.end() && old_one->first < new_one.first; ++old_one) {
        visit(&*old_one, nullptr);
      }
      const bool is_known = old_one != old_ones.end() && old_one->first == new_one.first;
      if (!is_known) {
        visit(nullptr, &new_one);
      } else if (const Entry& known = *old_one++; known.second != new_one.second) {
        visit(&known, &new_one);
      }
    }
    for (; old_one != old_ones.end(); ++old_one) {
      visit(&*old_one, nullptr);
    }
  }
}

bool operator==(const ResourceSet& a, const ResourceSet& b) {
  bool same = true;
  ResourceSet::Compare(a, b, [&same](const auto*, const auto*) { same = false; });
  return same;
}

}  // namespace rota::compile
