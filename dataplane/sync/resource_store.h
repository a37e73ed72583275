#pragma once

// What this data plane holds: the resources in use, and the hashes of those that it was sent but
// could not take. Verifies a transaction against its commit before anything is applied; a rejected
// resource keeps the version in use before. What is in use survives every disconnect.
//
// Single-thread (SyncClient guards it).

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/set_hash.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::sync {

using ResourceKey = std::pair<rota::sync::v1::Kind, std::string>;
// The same type as table::ResourceMap: resources as they travel. Shared with the table, which keeps
// them too; never null.
using ResourceMap = std::map<ResourceKey, std::shared_ptr<const rota::sync::v1::Resource>>;

ResourceKey KeyOf(const rota::sync::v1::ResourceId& id);

// What came of building a table. `kept_hash` need not be set: the store knows it.
struct ApplyResult {
  std::vector<rota::sync::v1::Rejection> rejected;
  std::vector<rota::sync::v1::Rejection> refused;
};

// Which resources may differ from those of the call before, as that one left them; absent: any.
using ChangedKeys = std::optional<std::set<ResourceKey>>;

// Builds the table of `wanted`, publishes it, and says what it could not take. Called on one
// thread.
using Applier = std::function<ApplyResult(const ResourceMap& wanted, const ChangedKeys& changed,
                                          const std::string& snapshot_hash)>;

// A whole transaction, staged.
struct Transaction {
  uint64_t number = 0;
  ResourceMap upserts;
  std::set<ResourceKey> removals;
  rota::sync::v1::Commit commit;
};

class ResourceStore {
 public:
  // Applies a transaction. FailedPrecondition (nothing has changed then) when the result would not
  // be the snapshot that the commit describes; the cure is a full transaction (ForgetInventory).
  absl::StatusOr<rota::sync::v1::Ack> Apply(Transaction transaction, const Applier& applier);
  // Serves from saved resources. `snapshot_hash` is empty when they are not the whole snapshot.
  void Load(ResourceMap resources, const std::string& snapshot_hash, const Applier& applier);

  // Inventory and snapshot hash of what is in use, and what it was built from.
  void FillHello(rota::sync::v1::Hello& hello) const;
  // The next Hello asks for everything.
  void ForgetInventory() { forget_inventory_ = true; }
  // A new stream: the server does not know what an earlier one was told about rejections.
  void OnNewStream();

  const ResourceMap& in_use() const { return in_use_; }
  const std::string& snapshot_hash() const { return snapshot_hash_; }
  // What snapshot_hash() is of is complete: nothing rejected, nothing left out.
  bool complete() const { return complete_; }
  size_t rejected_count() const { return rejected_.size(); }
  size_t refused_count() const { return refused_.size(); }

 private:
  absl::Status Verify(const Transaction& transaction) const;
  void Put(const ResourceKey& key, std::shared_ptr<const rota::sync::v1::Resource> resource);
  // What was in use; null when nothing was.
  std::shared_ptr<const rota::sync::v1::Resource> Take(const ResourceKey& key);
  bool ChangesNothing(const Transaction& transaction) const;
  void KeepOld(const ResourceKey& key, ResourceMap& old, rota::sync::v1::Rejection& rejection);

  ResourceMap in_use_;
  SetHash in_use_hash_;
  std::map<ResourceKey, uint64_t> rejected_;  // sent on this stream, not taken: hash
  std::vector<rota::sync::v1::Rejection> refused_;
  std::string snapshot_hash_;
  google::protobuf::RepeatedPtrField<rota::sync::v1::KindWatermark> built_from_;
  bool complete_ = false;
  bool applied_once_ = false;
  bool forget_inventory_ = false;
};

}  // namespace rota::sync
