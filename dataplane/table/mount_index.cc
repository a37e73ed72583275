#include "dataplane/table/mount_index.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

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
struct MountIndex::BucketChange {
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
                                                              const BucketChange& change) {
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

MountIndex::MountIndex(const MountIndex& before, const ApiChanges& changes)
    : groups_(before.groups_), deepest_(before.deepest_), collisions_(before.collisions_) {
  std::map<size_t, std::map<size_t, BucketChange>> changes_of;  // group, bucket
  const auto change_of = [&changes_of](const Claim& claim) -> BucketChange& {
    const Place place = PlaceOf(HashOf(claim.path));
    return changes_of[place.group][place.bucket];
  };
  for (const ApiChange& change : changes) {
    if (change.before != nullptr) {
      for (const Claim& claim : ClaimsOf(*change.before)) {
        change_of(claim).removed.push_back(claim.api);
      }
    }
    if (change.after != nullptr) {
      for (const Claim& claim : ClaimsOf(*change.after)) {
        change_of(claim).added.push_back(claim);
        deepest_ = std::max(deepest_, std::min(CountSegments(claim.path), kMaxSegments));
      }
    }
  }
  for (const auto& [number, buckets] : changes_of) {
    std::shared_ptr<const Group>& group = groups_[number];
    auto anew = group == nullptr ? std::make_shared<Group>() : std::make_shared<Group>(*group);
    for (const auto& [place, change] : buckets) {
      std::shared_ptr<const Bucket>& bucket = (*anew)[place];
      collisions_ -= CountCollisions(bucket.get());
      bucket = Rebuild(bucket.get(), change);
      collisions_ += CountCollisions(bucket.get());
    }
    group = std::move(anew);
  }
}

size_t MountIndex::CountCollisions(const Bucket* bucket) {
  return bucket == nullptr ? 0 : bucket->collisions.size();
}

const Api* MountIndex::Find(std::string_view path) const {
  const size_t hash = HashOf(path);
  const Place place = PlaceOf(hash);
  const Group* group = groups_[place.group].get();
  if (group == nullptr) {
    return nullptr;
  }
  const Bucket* bucket = (*group)[place.bucket].get();
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
  std::vector<Collision> all;
  for (size_t group = 0; group < kGroups && all.size() < collisions_; ++group) {
    if (groups_[group] == nullptr) {
      continue;
    }
    for (const std::shared_ptr<const Bucket>& bucket : *groups_[group]) {
      if (bucket != nullptr) {
        all.insert(all.end(), bucket->collisions.begin(), bucket->collisions.end());
      }
    }
  }
  return all;
}

}  // namespace rota::table
