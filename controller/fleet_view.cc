#include "controller/fleet_view.h"

#include <algorithm>
#include <utility>

namespace rota::controller {
namespace {

namespace v1 = rota::sync::v1;

std::vector<reconcile::NodeFinding> ApiFindings(const serve::ResourceProblems& problems) {
  std::vector<reconcile::NodeFinding> findings;
  for (const auto& [key, problem] : problems) {
    if (key.first == compile::ResourceKind::kApi) {
      findings.push_back({.api = key.second,
                          .hash = problem.rejected_hash,
                          .code = v1::Rejection::Code_Name(problem.code),
                          .field = problem.field,
                          .message = problem.message});
    }
  }
  return findings;
}

// Of `api` in a snapshot that all data planes of a group have, but for what some of them reject.
uint64_t HashIn(const compile::Snapshot& snapshot, const v1::PeerStatus& status,
                const std::string& api) {
  const bool is_rejected =
      std::any_of(status.findings().begin(), status.findings().end(),
                  [&](const v1::PeerFinding& f) { return !f.is_in_use() && f.api() == api; });
  const compile::ResourceSet::Entry* resource =
      snapshot.resources.Find({compile::ResourceKind::kApi, api});
  return is_rejected || resource == nullptr ? 0 : resource->second->hash;
}

// One report for each snapshot that some of the replica's data planes have, all under one name:
// which of them has which is not news.
void AddPeer(const serve::PeerReport& peer, const RecentSnapshots& snapshots,
             reconcile::FleetView& view) {
  if (peer.status == nullptr || peer.status->data_planes() == 0) {
    return;
  }
  reconcile::NodeReport first;
  first.node = "those of replica " + peer.replica;
  first.connected = true;
  for (const v1::PeerFinding& finding : peer.status->findings()) {
    (finding.is_in_use() ? first.refused : first.rejected)
        .push_back({.api = finding.api(),
                    .hash = finding.hash(),
                    .code = v1::Rejection::Code_Name(finding.code()),
                    .field = finding.field(),
                    .message = finding.message()});
  }
  view.nodes.push_back(std::move(first));
  for (const v1::AcknowledgedSnapshot& acknowledged : peer.status->acknowledged()) {
    const auto snapshot = snapshots.Find(acknowledged.snapshot_hash());
    if (snapshot == nullptr) {
      continue;
    }
    reconcile::NodeReport group;
    group.node = view.nodes.back().node;
    group.connected = true;
    group.applied_hash = [snapshot, status = peer.status](const std::string& api) {
      return HashIn(*snapshot, *status, api);
    };
    view.nodes.push_back(std::move(group));
  }
}

}  // namespace

void RecentSnapshots::Add(std::shared_ptr<const compile::Snapshot> snapshot) {
  std::lock_guard guard(mutex_);
  snapshots_.push_back(std::move(snapshot));
  if (snapshots_.size() > kRemembered) {
    snapshots_.pop_front();
  }
}

std::shared_ptr<const compile::Snapshot> RecentSnapshots::Find(const std::string& hash) const {
  std::lock_guard guard(mutex_);
  const auto found = std::find_if(snapshots_.rbegin(), snapshots_.rend(),
                                  [&](const auto& snapshot) { return snapshot->hash == hash; });
  return found == snapshots_.rend() ? nullptr : *found;
}

reconcile::FleetView ToFleetView(const std::vector<serve::NodeReport>& nodes,
                                 const std::vector<serve::PeerReport>& peers,
                                 const RecentSnapshots& snapshots) {
  reconcile::FleetView view;
  for (const serve::NodeReport& node : nodes) {
    view.nodes.push_back({.node = node.node,
                          .connected = true,
                          .applied_hash =
                              [node](const std::string& api) {
                                return node.AppliedHash({compile::ResourceKind::kApi, api});
                              },
                          .rejected = ApiFindings(node.rejected),
                          .refused = ApiFindings(node.refused)});
  }
  for (const serve::PeerReport& peer : peers) {
    AddPeer(peer, snapshots, view);
  }
  return view;
}

}  // namespace rota::controller
