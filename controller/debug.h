#pragma once

// /debug/status (what became of every API), /debug/fleet (data planes and what they have applied,
// other replicas)
// and /debug/suspensions of the controller's admin port, and POST /debug/lift?target=ID, which
// answers 403 where the port is not on loopback: it asks nobody for a password. Never a Secret's
// content.

#include "common/admin_server.h"
#include "common/clock.h"
#include "controller/reconcile/status_board.h"
#include "controller/serve/peer_exchange.h"
#include "controller/serve/sync_service.h"

namespace rota::controller {

// Everything outlives the server that shows the pages.
void AddDebugPages(AdminPages& pages, const reconcile::StatusBoard& board,
                   serve::SyncService& service, const serve::PeerExchange& exchange,
                   const Clock& clock, bool is_loopback);

}  // namespace rota::controller
