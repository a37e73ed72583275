#pragma once

// The controller's product: one consistent, immutable set of resources for one gateway.

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/set_hash.h"
#include "controller/compile/watermarks.h"

namespace rota::compile {

// Gateways that one controller serves at most.
inline constexpr size_t kMaxGateways = 64;

// Mirrors rota.sync.v1.Kind.
enum class ResourceKind { kGateway = 1, kApi = 2, kSecret = 3 };

using ResourceKey =
    std::pair<ResourceKind, std::string>;  // name as in the proto: "<namespace>/<name>"

struct ResourceBody {
  uint64_t hash = 0;  // of the content (Secrets: of uid and resourceVersion)
  std::string bytes;  // serialised rota.sync.v1.Gateway, .Api or .Secret
  ~ResourceBody();    // wiped: it may be a Secret
};
using ResourceBodyPtr = std::shared_ptr<const ResourceBody>;

// A map in shards that its copies share: a copy costs a pointer per shard, the first change of a
// shard after it a copy of that shard, and a comparison of two copies what differs. Single-thread,
// copying included; each copy may be on another thread.
class ResourceSet {
 public:
  using Entry = std::pair<const ResourceKey, ResourceBodyPtr>;

  ResourceSet() = default;
  ResourceSet(const ResourceSet& other);
  ResourceSet& operator=(const ResourceSet&) = delete;

  void Set(const ResourceKey& key, ResourceBodyPtr body);
  void Erase(const ResourceKey& key);

  // Null when it is not there. The entry lives as long as this set or a copy of it.
  const Entry* Find(const ResourceKey& key) const;
  bool contains(const ResourceKey& key) const { return Find(key) != nullptr; }
  size_t size() const { return size_; }
  // See SetHash.
  std::string Hash() const { return hash_.Bytes(); }
  void ForEach(const std::function<void(const Entry&)>& visit) const;

  // Calls `visit` with what each set has of a key, null for nothing, where that is not the same
  // body.
  static void Compare(const ResourceSet& before, const ResourceSet& after,
                      const std::function<void(const Entry*, const Entry*)>& visit);
  // The same bodies under the same keys.
  friend bool operator==(const ResourceSet& a, const ResourceSet& b);

 private:
  static constexpr size_t kShards = 256;
  using Shard = std::map<ResourceKey, ResourceBodyPtr>;

  static size_t ShardOf(const ResourceKey& key);
  // To be changed: made one's own if a copy may share it.
  Shard& Own(size_t shard);

  std::array<std::shared_ptr<Shard>, kShards> shards_;  // null: empty
  mutable std::bitset<kShards> owned_;                  // shared with no copy
  size_t size_ = 0;
  SetHash hash_;
};

struct Snapshot {
  ResourceSet resources;
  std::string hash;       // 32 bytes: resources.Hash()
  uint64_t sequence = 0;  // counts up in this process; for logs only
  Watermarks built_from;  // not part of the hash
};

}  // namespace rota::compile
