#pragma once

// The controller's product: one consistent, immutable set of resources for one gateway.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace rota::compile {

// Mirrors rota.sync.v1.Kind.
enum class ResourceKind { kGateway = 1, kApi = 2, kSecret = 3 };

using ResourceKey =
    std::pair<ResourceKind, std::string>;  // name as in the proto: "<namespace>/<name>"

struct ResourceBody {
  uint64_t hash = 0;  // of the content (Secrets: of uid and resourceVersion)
  std::string bytes;  // serialised rota.sync.v1.Gateway, .Api or .Secret
  ~ResourceBody();    // wiped: it may be a Secret
};

// Unchanged resources are shared between snapshots, so that a new one costs what has changed.
struct Snapshot {
  std::map<ResourceKey, std::shared_ptr<const ResourceBody>> resources;
  std::string hash;       // 32 bytes: SHA-256 over the sorted (kind, name, hash)
  uint64_t sequence = 0;  // counts up in this process; for logs only
};

// SHA-256 over (kind, NUL-terminated name, big-endian hash) of every resource in order. Both sides
// of the sync protocol compute it.
std::string HashOf(const std::map<ResourceKey, uint64_t>& versions);
std::string HashOfResources(
    const std::map<ResourceKey, std::shared_ptr<const ResourceBody>>& resources);

}  // namespace rota::compile
