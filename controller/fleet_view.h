#pragma once

// What the sync service knows about its data planes, and what other replicas say about theirs, in
// the words of the reconciler.

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "controller/compile/snapshot.h"
#include "controller/reconcile/status.h"
#include "controller/serve/fleet.h"
#include "controller/serve/peer_exchange.h"

namespace rota::controller {

// The newest snapshots of this replica. Replicas that know the same objects make the same snapshot,
// so what data planes of other replicas have is looked up here. Thread-safe.
class RecentSnapshots {
 public:
  // Of changes that follow each other faster than replicas tell each other about them.
  static constexpr size_t kRemembered = 16;

  void Add(std::shared_ptr<const compile::Snapshot> snapshot);
  // Null: older than what is remembered, or made of other objects.
  std::shared_ptr<const compile::Snapshot> Find(const std::string& hash) const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const compile::Snapshot>> snapshots_;  // the newest last
};

reconcile::FleetView ToFleetView(const std::vector<serve::NodeReport>& nodes,
                                 const std::vector<serve::PeerReport>& peers,
                                 const RecentSnapshots& snapshots);

}  // namespace rota::controller
