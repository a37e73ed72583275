#pragma once

// The gateways that this controller serves, by name ("<namespace>/<name>"): what each one's data
// planes are given, and what is known of them. Nothing is shared between two gateways: neither
// configuration nor suspensions, so that the data planes of one cannot act on another's.
//
// Thread-safe. Bounded: at most compile::kMaxGateways.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/published.h"
#include "controller/compile/snapshot.h"
#include "controller/serve/fleet.h"
#include "controller/serve/place_book.h"
#include "controller/serve/suspension_hub.h"
#include "controller/serve/transaction_plan.h"

namespace rota::serve {

// One gateway. Thread-safe, as its parts are; may outlive its entry in the registry while streams
// of its data planes are being ended.
struct ServedGateway {
  ServedGateway(std::string the_name, SuspensionHubOptions hub_options)
      : name(std::move(the_name)), hub(hub_options) {}

  const std::string name;
  Published<compile::Snapshot> snapshots;
  DeltaCache deltas;
  SuspensionHub hub;
  PlaceBook places;
  Fleet fleet;
};

using GatewayPtr = std::shared_ptr<ServedGateway>;

class GatewayRegistry {
 public:
  explicit GatewayRegistry(SuspensionHubOptions hub_options = {}) : hub_options_(hub_options) {}

  // Told of every change of any gateway's fleet, of gateways to come as well. REQUIRES: no gateway
  // is there yet.
  void SetFleetListener(Fleet::Listener listener) { fleet_listener_ = std::move(listener); }

  // The gateway, which is made when there is none of that name; null beyond the bound.
  GatewayPtr Obtain(const std::string& name);
  // Null: there is none of that name.
  GatewayPtr Find(const std::string& name) const;
  // Returns what was removed.
  GatewayPtr Remove(const std::string& name);
  // Sorted by name.
  std::vector<GatewayPtr> All() const;
  bool empty() const;

  // Over all gateways, for people and statuses. An API of several gateways has the same targets at
  // each: of one target the suspension that ends last.
  std::vector<SharedSuspension> ActiveSuspensions(MonotonicTime now) const;
  std::vector<SnapshotPtr> Snapshots() const;

 private:
  const SuspensionHubOptions hub_options_;
  Fleet::Listener fleet_listener_;
  mutable std::mutex mutex_;
  std::map<std::string, GatewayPtr> gateways_;
};

}  // namespace rota::serve
