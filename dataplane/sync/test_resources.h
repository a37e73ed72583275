#pragma once

// Resources and chunks as a controller would send them. Test code only.

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/sync/resource_store.h"

namespace rota::sync {

struct TestResource {
  std::string name;
  uint64_t hash = 1;
  rota::sync::v1::Kind kind = rota::sync::v1::API;
};

inline rota::sync::v1::Resource MakeResource(const TestResource& resource) {
  rota::sync::v1::Resource message;
  message.mutable_id()->set_kind(resource.kind);
  message.mutable_id()->set_name(resource.name);
  message.set_hash(resource.hash);
  message.set_body(resource.name + "@" + std::to_string(resource.hash));
  return message;
}

// The commit of a snapshot that holds exactly these.
inline rota::sync::v1::Commit MakeCommit(const std::vector<TestResource>& snapshot,
                                         bool full = false) {
  SetHash hash;
  for (const TestResource& resource : snapshot) {
    hash.Add(static_cast<uint8_t>(resource.kind), resource.name, resource.hash);
  }
  rota::sync::v1::Commit commit;
  commit.set_snapshot_hash(hash.Bytes());
  commit.set_resource_count(static_cast<uint32_t>(snapshot.size()));
  commit.set_full(full);
  return commit;
}

// One whole transaction: `upserts` and `removals` lead to `snapshot`.
inline rota::sync::v1::Chunk MakeChunk(uint64_t number, const std::vector<TestResource>& upserts,
                                       const std::vector<TestResource>& snapshot,
                                       const std::vector<std::string>& removals = {},
                                       bool full = false) {
  rota::sync::v1::Chunk chunk;
  chunk.set_transaction(number);
  for (const TestResource& resource : upserts) {
    *chunk.add_upserts() = MakeResource(resource);
  }
  for (const std::string& name : removals) {
    rota::sync::v1::ResourceId& id = *chunk.add_removals();
    id.set_kind(rota::sync::v1::API);
    id.set_name(name);
  }
  *chunk.mutable_commit() = MakeCommit(snapshot, full);
  return chunk;
}

inline rota::sync::v1::Rejection MakeRejection(const TestResource& resource) {
  rota::sync::v1::Rejection rejection;
  rejection.mutable_id()->set_kind(resource.kind);
  rejection.mutable_id()->set_name(resource.name);
  rejection.set_code(rota::sync::v1::Rejection::INVALID);
  rejection.set_message("no good");
  return rejection;
}

}  // namespace rota::sync
