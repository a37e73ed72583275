#include "controller/fleet_view.h"

#include <algorithm>
#include <utility>

namespace rota::controller {
namespace {

namespace v1 = rota::sync::v1;

std::vector<reconcile::NodeFinding> Findings(const serve::ResourceProblems& problems) {
  std::vector<reconcile::NodeFinding> findings;
  for (const auto& [key, problem] : problems) {
    const bool is_about_gateway = key.first == compile::ResourceKind::kGateway;
    if (is_about_gateway || key.first == compile::ResourceKind::kApi) {
      findings.push_back({.api = key.second,
                          .hash = problem.rejected_hash,
                          .code = v1::Rejection::Code_Name(problem.code),
                          .field = problem.field,
                          .message = problem.message,
                          .is_about_gateway = is_about_gateway});
    }
  }
  return findings;
}

// Of `api` in a snapshot that all data planes of a group have, but for what some of them reject.
uint64_t HashIn(const compile::Snapshot& snapshot, const v1::PeerStatus::Gateway& status,
                const std::string& api) {
  const bool is_rejected = std::any_of(
      status.findings().begin(), status.findings().end(), [&](const v1::PeerFinding& f) {
        return !f.is_about_gateway() && !f.is_in_use() && f.api() == api;
      });
  const compile::ResourceSet::Entry* resource =
      snapshot.resources.Find({compile::ResourceKind::kApi, api});
  return is_rejected || resource == nullptr ? 0 : resource->second->hash;
}

// What a replica says of a gateway's data planes; null: it has none.
std::shared_ptr<const v1::PeerStatus::Gateway> StatusOf(const serve::PeerReport& peer,
                                                        const std::string& gateway) {
  if (peer.status == nullptr) {
    return nullptr;
  }
  const auto found =
      std::find_if(peer.status->gateways().begin(), peer.status->gateways().end(),
                   [&](const auto& described) { return described.name() == gateway; });
  return found == peer.status->gateways().end() || found->data_planes() == 0
             ? nullptr
             : std::shared_ptr<const v1::PeerStatus::Gateway>(peer.status, &*found);
}

// One report for each snapshot that some of the replica's data planes have, and one for those that
// have not said what they have; all under one name: which of them has which is not news.
void AddPeer(const std::string& gateway, const serve::PeerReport& peer,
             const RecentSnapshots& snapshots, reconcile::FleetView& view) {
  const auto status = StatusOf(peer, gateway);
  if (status == nullptr) {
    return;
  }
  reconcile::NodeReport first;
  first.node = "those of replica " + peer.replica;
  first.connected = true;
  first.is_group = true;
  first.data_planes = status->data_planes();
  for (const v1::PeerFinding& finding : status->findings()) {
    (finding.is_in_use() ? first.refused : first.rejected)
        .push_back({.api = finding.api(),
                    .hash = finding.hash(),
                    .code = v1::Rejection::Code_Name(finding.code()),
                    .field = finding.field(),
                    .message = finding.message(),
                    .is_about_gateway = finding.is_about_gateway()});
  }
  const size_t position = view.nodes.size();
  view.nodes.push_back(std::move(first));
  for (const v1::AcknowledgedSnapshot& acknowledged : status->acknowledged()) {
    reconcile::NodeReport group;
    group.node = view.nodes[position].node;
    group.connected = true;
    group.is_group = true;
    group.snapshot = acknowledged.snapshot_hash();
    size_t& rest = view.nodes[position].data_planes;
    group.data_planes = std::min<size_t>(rest, acknowledged.data_planes());
    rest -= group.data_planes;
    if (const auto snapshot = snapshots.Find(gateway, acknowledged.snapshot_hash())) {
      group.applied_hash = [snapshot, status](const std::string& api) {
        return HashIn(*snapshot, *status, api);
      };
    }
    view.nodes.push_back(std::move(group));
  }
}

}  // namespace

void RecentSnapshots::Add(const std::string& gateway,
                          std::shared_ptr<const compile::Snapshot> snapshot) {
  std::lock_guard guard(mutex_);
  auto& snapshots = snapshots_[gateway];
  snapshots.push_back(std::move(snapshot));
  if (snapshots.size() > kRemembered) {
    snapshots.pop_front();
  }
}

void RecentSnapshots::Forget(const std::string& gateway) {
  std::lock_guard guard(mutex_);
  snapshots_.erase(gateway);
}

std::shared_ptr<const compile::Snapshot> RecentSnapshots::Find(const std::string& gateway,
                                                               const std::string& hash) const {
  std::lock_guard guard(mutex_);
  const auto known = snapshots_.find(gateway);
  if (known == snapshots_.end()) {
    return nullptr;
  }
  const auto found = std::find_if(known->second.rbegin(), known->second.rend(),
                                  [&](const auto& snapshot) { return snapshot->hash == hash; });
  return found == known->second.rend() ? nullptr : *found;
}

reconcile::FleetView ToFleetView(const std::string& gateway,
                                 const std::vector<serve::NodeReport>& nodes,
                                 const std::vector<serve::PeerReport>& peers,
                                 const RecentSnapshots& snapshots) {
  reconcile::FleetView view;
  for (const serve::NodeReport& node : nodes) {
    view.nodes.push_back({.node = node.node,
                          .connected = true,
                          .snapshot = node.acknowledged == nullptr ? "" : node.acknowledged->hash,
                          .applied_hash =
                              [node](const std::string& api) {
                                return node.AppliedHash({compile::ResourceKind::kApi, api});
                              },
                          .rejected = Findings(node.rejected),
                          .refused = Findings(node.refused)});
  }
  for (const serve::PeerReport& peer : peers) {
    AddPeer(gateway, peer, snapshots, view);
  }
  return view;
}

reconcile::FleetViews ToFleetViews(const serve::GatewayRegistry& gateways,
                                   const std::vector<serve::PeerReport>& peers,
                                   const RecentSnapshots& snapshots) {
  reconcile::FleetViews views;
  for (const serve::GatewayPtr& gateway : gateways.All()) {
    views.emplace(gateway->name,
                  ToFleetView(gateway->name, gateway->fleet.Nodes(), peers, snapshots));
  }
  return views;
}

}  // namespace rota::controller
