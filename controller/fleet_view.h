#pragma once

// What the sync service knows about its data planes, and what other replicas say about theirs, in
// the words of the reconciler.

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "controller/compile/snapshot.h"
#include "controller/reconcile/status.h"
#include "controller/serve/gateway_registry.h"
#include "controller/serve/peer_exchange.h"

namespace rota::controller {

// The newest snapshots of this replica, by gateway. Replicas that know the same objects make the
// same snapshot, so what data planes of other replicas have is looked up here. Thread-safe. Bounded
// by the gateways.
class RecentSnapshots {
 public:
  // Of changes that follow each other faster than replicas tell each other about them.
  static constexpr size_t kRemembered = 16;

  void Add(const std::string& gateway, std::shared_ptr<const compile::Snapshot> snapshot);
  // The gateway is gone.
  void Forget(const std::string& gateway);
  // Null: older than what is remembered, or made of other objects.
  std::shared_ptr<const compile::Snapshot> Find(const std::string& gateway,
                                                const std::string& hash) const;

 private:
  mutable std::mutex mutex_;
  // The newest last.
  std::map<std::string, std::deque<std::shared_ptr<const compile::Snapshot>>> snapshots_;
};

reconcile::FleetView ToFleetView(const std::string& gateway,
                                 const std::vector<serve::NodeReport>& nodes,
                                 const std::vector<serve::PeerReport>& peers,
                                 const RecentSnapshots& snapshots);
reconcile::FleetViews ToFleetViews(const serve::GatewayRegistry& gateways,
                                   const std::vector<serve::PeerReport>& peers,
                                   const RecentSnapshots& snapshots);

}  // namespace rota::controller
