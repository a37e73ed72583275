#include "controller/serve/peer_status.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "common/clip.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kMaxTextBytes = 1024;
// Of all gateways together: a replica takes messages of 4 MiB from one that it has dialled.
constexpr size_t kMaxStatusBytes = 3 << 20;

// In the order in which they are told, those about the gateway first; a fleet of a hundred says one
// thing a hundred times.
using Finding = std::tuple<bool, std::string, uint64_t, bool, int, std::string, std::string>;

void Collect(const ResourceProblems& problems, bool is_in_use, std::set<Finding>& findings) {
  for (const auto& [key, problem] : problems) {
    const bool is_about_gateway = key.first == compile::ResourceKind::kGateway;
    if (is_about_gateway || key.first == compile::ResourceKind::kApi) {
      findings.emplace(!is_about_gateway, key.second, problem.rejected_hash, is_in_use,
                       problem.code, problem.field, problem.message);
    }
  }
}

void Cut(std::string& text) { text.resize(Clip(text, kMaxTextBytes).size()); }

void Bound(v1::PeerStatus::Gateway& gateway) {
  Cut(*gateway.mutable_name());
  if (gateway.acknowledged_size() > kMaxAcknowledgedSnapshots) {
    gateway.mutable_acknowledged()->DeleteSubrange(
        kMaxAcknowledgedSnapshots, gateway.acknowledged_size() - kMaxAcknowledgedSnapshots);
  }
  if (gateway.findings_size() > kMaxPeerFindings) {
    gateway.mutable_findings()->DeleteSubrange(kMaxPeerFindings,
                                               gateway.findings_size() - kMaxPeerFindings);
  }
  for (v1::AcknowledgedSnapshot& snapshot : *gateway.mutable_acknowledged()) {
    Cut(*snapshot.mutable_snapshot_hash());
  }
  for (v1::PeerFinding& finding : *gateway.mutable_findings()) {
    Cut(*finding.mutable_api());
    Cut(*finding.mutable_field());
    Cut(*finding.mutable_message());
  }
}

}  // namespace

v1::PeerStatus::Gateway DescribeFleet(const std::vector<NodeReport>& nodes) {
  std::map<std::string, uint32_t> snapshots;
  std::set<Finding> findings;
  for (const NodeReport& node : nodes) {
    if (node.acknowledged != nullptr) {
      ++snapshots[node.acknowledged->hash];
    }
    Collect(node.rejected, false, findings);
    Collect(node.refused, true, findings);
  }
  std::vector<std::pair<std::string, uint32_t>> by_count(snapshots.begin(), snapshots.end());
  std::stable_sort(by_count.begin(), by_count.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  v1::PeerStatus::Gateway status;
  status.set_data_planes(static_cast<uint32_t>(nodes.size()));
  for (const auto& [hash, data_planes] : by_count) {
    if (status.acknowledged_size() == kMaxAcknowledgedSnapshots) {
      break;
    }
    v1::AcknowledgedSnapshot& snapshot = *status.add_acknowledged();
    snapshot.set_snapshot_hash(hash);
    snapshot.set_data_planes(data_planes);
  }
  for (const auto& [is_about_api, name, hash, is_in_use, code, field, message] : findings) {
    if (status.findings_size() == kMaxPeerFindings) {
      break;
    }
    v1::PeerFinding& finding = *status.add_findings();
    finding.set_is_about_gateway(!is_about_api);
    finding.set_api(name);
    finding.set_hash(hash);
    finding.set_is_in_use(is_in_use);
    finding.set_code(static_cast<v1::Rejection::Code>(code));
    finding.set_field(field);
    finding.set_message(message);
  }
  Bound(status);
  return status;
}

v1::PeerStatus DescribeGateways(const GatewayRegistry& gateways) {
  v1::PeerStatus status;
  for (const GatewayPtr& gateway : gateways.All()) {
    v1::PeerStatus::Gateway& described = *status.add_gateways();
    described = DescribeFleet(gateway->fleet.Nodes());
    described.set_name(gateway->name);
  }
  return Bounded(std::move(status));
}

v1::PeerStatus WithCounts(const GatewayRegistry& gateways, const v1::PeerStatus& before) {
  v1::PeerStatus status;
  for (const GatewayPtr& gateway : gateways.All()) {
    v1::PeerStatus::Gateway& counted = *status.add_gateways();
    const auto known =
        std::find_if(before.gateways().begin(), before.gateways().end(),
                     [&](const auto& described) { return described.name() == gateway->name; });
    if (known != before.gateways().end()) {
      counted = *known;
    }
    counted.set_name(gateway->name);
    counted.set_data_planes(static_cast<uint32_t>(gateway->fleet.connected()));
  }
  return status;
}

v1::PeerStatus Bounded(v1::PeerStatus status) {
  constexpr int kMaxGateways = static_cast<int>(compile::kMaxGateways);
  if (status.gateways_size() > kMaxGateways) {
    status.mutable_gateways()->DeleteSubrange(kMaxGateways, status.gateways_size() - kMaxGateways);
  }
  const auto share = kMaxStatusBytes / static_cast<size_t>(std::max(1, status.gateways_size()));
  for (v1::PeerStatus::Gateway& gateway : *status.mutable_gateways()) {
    Bound(gateway);
    while (gateway.findings_size() > 0 && gateway.ByteSizeLong() > share) {
      gateway.mutable_findings()->RemoveLast();
    }
  }
  return status;
}

bool IsSame(const v1::PeerStatus& a, const v1::PeerStatus& b) {
  return a.SerializeAsString() == b.SerializeAsString();  // no maps, no unknown order
}

}  // namespace rota::serve
