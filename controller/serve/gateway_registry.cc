#include "controller/serve/gateway_registry.h"

namespace rota::serve {

GatewayPtr GatewayRegistry::Obtain(const std::string& name) {
  std::lock_guard guard(mutex_);
  const auto found = gateways_.find(name);
  if (found != gateways_.end()) {
    return found->second;
  }
  if (gateways_.size() >= compile::kMaxGateways) {
    return nullptr;
  }
  auto gateway = std::make_shared<ServedGateway>(name, hub_options_);
  if (fleet_listener_) {
    gateway->fleet.AddListener(fleet_listener_);
  }
  gateways_.emplace(name, gateway);
  return gateway;
}

GatewayPtr GatewayRegistry::Find(const std::string& name) const {
  std::lock_guard guard(mutex_);
  const auto found = gateways_.find(name);
  return found == gateways_.end() ? nullptr : found->second;
}

GatewayPtr GatewayRegistry::Remove(const std::string& name) {
  std::lock_guard guard(mutex_);
  const auto found = gateways_.find(name);
  if (found == gateways_.end()) {
    return nullptr;
  }
  GatewayPtr gateway = std::move(found->second);
  gateways_.erase(found);
  return gateway;
}

std::vector<GatewayPtr> GatewayRegistry::All() const {
  std::vector<GatewayPtr> all;
  std::lock_guard guard(mutex_);
  all.reserve(gateways_.size());
  for (const auto& [name, gateway] : gateways_) {
    all.push_back(gateway);
  }
  return all;
}

bool GatewayRegistry::empty() const {
  std::lock_guard guard(mutex_);
  return gateways_.empty();
}

std::vector<SharedSuspension> GatewayRegistry::ActiveSuspensions(MonotonicTime now) const {
  std::map<std::string, SharedSuspension> by_target;
  for (const GatewayPtr& gateway : All()) {
    for (SharedSuspension& suspension : gateway->hub.Active(now)) {
      const auto [known, is_new] = by_target.try_emplace(suspension.target, suspension);
      if (!is_new && known->second.until < suspension.until) {
        known->second = std::move(suspension);
      }
    }
  }
  std::vector<SharedSuspension> active;
  active.reserve(by_target.size());
  for (auto& [target, suspension] : by_target) {
    active.push_back(std::move(suspension));
  }
  return active;
}

std::vector<SnapshotPtr> GatewayRegistry::Snapshots() const {
  std::vector<SnapshotPtr> snapshots;
  for (const GatewayPtr& gateway : All()) {
    snapshots.push_back(gateway->snapshots.Get());
  }
  return snapshots;
}

}  // namespace rota::serve
