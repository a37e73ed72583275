#pragma once

// From what a data plane holds to one snapshot: the difference, cut into chunks that are made one
// at a time. The snapshot is pinned, so that a slow reader costs one chunk and a list of pointers,
// never a copy.
//
// Bytes are serialised sizes. SnapshotDelta is immutable; DeltaCache is thread-safe;
// TransactionPlan is single-thread.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "controller/compile/snapshot.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

using SnapshotPtr = std::shared_ptr<const compile::Snapshot>;

struct SnapshotDelta {
  SnapshotPtr to;
  std::vector<const compile::ResourceSet::Entry*> upserts;  // in `to`, sorted by key
  std::vector<compile::ResourceKey> removals;
  size_t bytes = 0;   // of the upserts
  bool full = false;  // nothing was there before: what is not among the upserts is gone
};

// `from` may be null: nothing is there.
std::shared_ptr<const SnapshotDelta> DeltaBetween(const compile::Snapshot* from, SnapshotPtr to);
// From what a data plane says that it holds.
std::shared_ptr<const SnapshotDelta> DeltaFromInventory(
    const std::map<compile::ResourceKey, uint64_t>& inventory, SnapshotPtr to);

// All data planes move between the same snapshots: each difference is computed once.
class DeltaCache {
 public:
  std::shared_ptr<const SnapshotDelta> Between(const SnapshotPtr& from, const SnapshotPtr& to);

 private:
  struct Entry {
    SnapshotPtr from;
    std::shared_ptr<const SnapshotDelta> delta;
  };
  std::mutex mutex_;
  std::deque<Entry> entries_;  // newest first; at most 4, because each pins two snapshots
};

class TransactionPlan {
 public:
  TransactionPlan(uint64_t number, std::shared_ptr<const SnapshotDelta> delta)
      : number_(number), delta_(std::move(delta)) {}

  // The next chunk; the last one carries the commit. At least one resource goes into each, however
  // large. REQUIRES: !done().
  rota::sync::v1::Chunk Next(size_t max_bytes);
  bool done() const { return done_; }
  uint64_t number() const { return number_; }
  const SnapshotDelta& delta() const { return *delta_; }
  const SnapshotPtr& target() const { return delta_->to; }

 private:
  uint64_t number_;
  std::shared_ptr<const SnapshotDelta> delta_;
  size_t next_upsert_ = 0;
  size_t next_removal_ = 0;
  bool done_ = false;
};

void ToProto(const compile::ResourceKey& key, rota::sync::v1::ResourceId& id);
compile::ResourceKey FromProto(const rota::sync::v1::ResourceId& id);

}  // namespace rota::serve
