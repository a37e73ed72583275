#pragma once

// What a replica tells the others about its data planes, so that whoever writes statuses knows of
// all data planes, not only of its own. Bounded, so that it fits into one message. Pure and
// thread-safe.

#include <vector>

#include "controller/serve/fleet.h"
#include "controller/serve/gateway_registry.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

inline constexpr int kMaxAcknowledgedSnapshots = 16;
inline constexpr int kMaxPeerFindings = 100;

// Of one gateway; its name is left to the caller.
rota::sync::v1::PeerStatus::Gateway DescribeFleet(const std::vector<NodeReport>& nodes);
// Of all gateways, sorted by name.
rota::sync::v1::PeerStatus DescribeGateways(const GatewayRegistry& gateways);
// The gateways that there are and how many data planes they have now; what these have is left as it
// was described in `before`.
rota::sync::v1::PeerStatus WithCounts(const GatewayRegistry& gateways,
                                      const rota::sync::v1::PeerStatus& before);

// Cuts what another replica says to the bounds.
rota::sync::v1::PeerStatus Bounded(rota::sync::v1::PeerStatus status);

bool IsSame(const rota::sync::v1::PeerStatus& a, const rota::sync::v1::PeerStatus& b);

}  // namespace rota::serve
