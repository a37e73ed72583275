#pragma once

// Which API a path belongs to, by the path that the API is mounted at. The index is cut into groups
// of buckets that consecutive indexes share: a change of one API of 5,000 makes one or two small
// buckets anew and copies some hundred pointers.
//
// Pure. Thread-safe: const after construction. Holds pointers into the APIs: whoever has the index
// keeps them alive.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "dataplane/table/api_list.h"

namespace rota::table {

// Where two APIs have the same path the one whose id is smaller keeps it.
struct Collision {
  const Api* api = nullptr;
  const Api* owner = nullptr;
  std::string path;
};

class MountIndex {
 public:
  MountIndex() = default;  // empty
  // `before` with the changes.
  MountIndex(const MountIndex& before, const ApiChanges& changes);

  // The API that is mounted at exactly that path, null without one.
  const Api* Find(std::string_view path) const;
  // At least the number of segments of the longest mount (at most kMaxSegments).
  size_t deepest() const { return deepest_; }
  // Every mount that another API has taken already. "/v1" of "v1.2" yields in silence.
  std::vector<Collision> Collisions() const;

  // Mounts with more segments are refused by the builder.
  static constexpr size_t kMaxSegments = 64;

 private:
  // Two or three mounts in each bucket with 5,000 APIs.
  static constexpr size_t kGroups = 64;
  static constexpr size_t kBucketsInGroup = 32;

  // One API's wish for one path.
  struct Claim {
    std::string_view path;  // into the API
    const Api* api = nullptr;
    uint32_t tag = 0;       // of the path's hash: another path is known without looking at it
    bool is_major = false;  // "/v1" of version "v1.2"
  };
  // In order of paths; the first claim to a path has it.
  struct Bucket {
    absl::InlinedVector<Claim, 3> claims;  // as many as most have; more are elsewhere
    std::vector<Collision> collisions;
  };
  struct Place {
    size_t group;
    size_t bucket;  // in the group
  };
  using Group = std::array<std::shared_ptr<const Bucket>, kBucketsInGroup>;  // null: empty
  struct BucketChange;

  static std::vector<Claim> ClaimsOf(const Api& api);
  static Place PlaceOf(size_t hash) { return {hash % kGroups, hash / kGroups % kBucketsInGroup}; }
  static bool Precedes(const Claim& a, const Claim& b);
  static std::shared_ptr<const Bucket> Rebuild(const Bucket* before, const BucketChange& change);
  static void Finish(Bucket& bucket);
  static size_t CountCollisions(const Bucket* bucket);

  std::array<std::shared_ptr<const Group>, kGroups> groups_;  // null: empty
  size_t deepest_ = 0;
  size_t collisions_ = 0;
};

}  // namespace rota::table
