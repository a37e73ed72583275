#include "dataplane/table/mount_index.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "dataplane/table/route_table.h"

namespace rota::table {
namespace {

size_t HashOf(std::string_view path) {
  return absl::Hash<absl::string_view>()(absl::string_view(path.data(), path.size()));
}

uint32_t TagOf(size_t hash) { return static_cast<uint32_t>(hash >> 32); }

size_t CountSegments(std::string_view path) {
  return static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace

// What becomes of one bucket.
struct MountIndex::Change {
  std::vector<const Api*> removed;
  std::vector<Claim> added;
};

std::vector<MountIndex::Claim> MountIndex::ClaimsOf(const Api& api) {
  std::vector<Claim> claims;
  for (const std::string& path : api.mounts) {
    claims.push_back({path, &api, TagOf(HashOf(path)), false});
  }
  if (api.major_mount.has_value()) {
    claims.push_back({*api.major_mount, &api, TagOf(HashOf(*api.major_mount)), true});
  }
  return claims;
}

// "/v1" belongs to version "v1" where there is one, else to the largest "v1.x".
bool MountIndex::Precedes(const Claim& a, const Claim& b) {
  const auto rank = [](const Claim& claim) {
    const uint64_t minor = claim.is_major ? UINT64_MAX - claim.api->minor_version : 0;
    return std::tuple(claim.path, claim.is_major, minor, std::string_view(claim.api->id));
  };
  return rank(a) < rank(b);
}

std::shared_ptr<const MountIndex::Bucket> MountIndex::Rebuild(const Bucket* before,
                                                              const Change& change) {
  auto bucket = std::make_shared<Bucket>();
  if (before != nullptr) {
    for (const Claim& claim : before->claims) {
      if (std::find(change.removed.begin(), change.removed.end(), claim.api) ==
          change.removed.end()) {
        bucket->claims.push_back(claim);
      }
    }
  }
  bucket->claims.insert(bucket->claims.end(), change.added.begin(), change.added.end());
  if (bucket->claims.empty()) {
    return nullptr;
  }
  Finish(*bucket);
  return bucket;
}

void MountIndex::Finish(Bucket& bucket) {
  std::sort(bucket.claims.begin(), bucket.claims.end(), Precedes);
  const Claim* owner = nullptr;
  for (const Claim& claim : bucket.claims) {
    if (owner == nullptr || owner->path != claim.path) {
      owner = &claim;
    } else if (!claim.is_major && owner->api != claim.api) {
      bucket.collisions.push_back({claim.api, owner->api, std::string(claim.path)});
    }
  }
}

MountIndex::MountIndex(const MountIndex& before, const std::vector<const Api*>& removed,
                       const std::vector<const Api*>& added)
    : buckets_(before.buckets_), deepest_(before.deepest_) {
  std::map<size_t, Change> changes;
  for (const Api* api : removed) {
    for (const Claim& claim : ClaimsOf(*api)) {
      changes[HashOf(claim.path) % kBuckets].removed.push_back(api);
    }
  }
  for (const Api* api : added) {
    for (const Claim& claim : ClaimsOf(*api)) {
      changes[HashOf(claim.path) % kBuckets].added.push_back(claim);
      deepest_ = std::max(deepest_, std::min(CountSegments(claim.path), kMaxSegments));
    }
  }
  for (const auto& [number, change] : changes) {
    buckets_[number] = Rebuild(buckets_[number].get(), change);
  }
}

const Api* MountIndex::Find(std::string_view path) const {
  const size_t hash = HashOf(path);
  const Bucket* bucket = buckets_[hash % kBuckets].get();
  if (bucket == nullptr) {
    return nullptr;
  }
  const uint32_t tag = TagOf(hash);
  for (const Claim& claim : bucket->claims) {
    if (claim.tag == tag && claim.path == path) {
      return claim.api;
    }
  }
  return nullptr;
}

std::vector<Collision> MountIndex::Collisions() const {
  std::vector<Collision> collisions;
  for (const std::shared_ptr<const Bucket>& bucket : buckets_) {
    if (bucket != nullptr) {
      collisions.insert(collisions.end(), bucket->collisions.begin(), bucket->collisions.end());
    }
  }
  return collisions;
}

}  // namespace rota::table
