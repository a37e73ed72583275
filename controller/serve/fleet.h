#pragma once

// Who is connected and what each data plane has applied. Feeds `Programmed`, metrics and /debug.
// Thread-safe; listeners are called without a lock, from the thread of the change.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/compile/snapshot.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

// A resource that a data plane did not take (rejected) or does not serve as asked (refused).
struct ResourceProblem {
  uint64_t rejected_hash = 0;
  uint64_t kept_hash = 0;  // 0: nothing is kept
  rota::sync::v1::Rejection::Code code = rota::sync::v1::Rejection::CODE_UNSPECIFIED;
  std::string field;
  std::string message;
};

using ResourceProblems = std::map<compile::ResourceKey, ResourceProblem>;

// One connected data plane, as a plain value.
struct NodeReport {
  std::string gateway;
  std::string node;
  std::string build;
  std::string peer;  // network address, for people
  // What the data plane has acknowledged last; null until its first acknowledgement.
  std::shared_ptr<const compile::Snapshot> acknowledged;
  std::string applied_snapshot_hash;  // equals acknowledged->hash iff nothing is rejected
  ResourceProblems rejected;
  ResourceProblems refused;
  MonotonicTime connected_at;
  MonotonicTime acknowledged_at;
  Duration apply_time{};

  // The version of a resource that this data plane serves now; 0 = none.
  uint64_t AppliedHash(const compile::ResourceKey& key) const;
};

class Fleet {
 public:
  // Called after a data plane has come, gone or acknowledged.
  using Listener = std::function<void()>;

  void AddListener(Listener listener);

  // `stream` tells two streams of one node apart: the newer one counts.
  void Update(uint64_t stream, NodeReport report);
  void Remove(uint64_t stream);

  // Sorted by node.
  std::vector<NodeReport> Nodes() const;
  size_t connected() const;

 private:
  void Notify();

  mutable std::mutex mutex_;
  std::map<uint64_t, NodeReport> streams_;
  std::map<std::string, size_t> nodes_;  // number of streams of each
  std::vector<Listener> listeners_;
};

}  // namespace rota::serve
