#pragma once

// What the sync service knows about its data planes, in the words of the reconciler. Pure.

#include "controller/reconcile/status.h"
#include "controller/serve/fleet.h"

namespace rota::controller {

reconcile::FleetView ToFleetView(const std::vector<serve::NodeReport>& nodes);

}  // namespace rota::controller
