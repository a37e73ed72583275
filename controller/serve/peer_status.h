#pragma once

// What a replica tells the others about its data planes, so that whoever writes statuses knows of
// all data planes, not only of its own. Bounded by the two constants. Pure and thread-safe.

#include <vector>

#include "controller/serve/fleet.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

inline constexpr int kMaxAcknowledgedSnapshots = 16;
inline constexpr int kMaxPeerFindings = 100;

rota::sync::v1::PeerStatus DescribeFleet(const std::vector<NodeReport>& nodes);

// Cuts what another replica says to the bounds.
rota::sync::v1::PeerStatus Bounded(rota::sync::v1::PeerStatus status);

bool IsSame(const rota::sync::v1::PeerStatus& a, const rota::sync::v1::PeerStatus& b);

}  // namespace rota::serve
