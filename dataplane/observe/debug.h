#pragma once

// The /debug pages of the data plane's admin port, as JSON. They show what is served from and who
// is on the rota, never a credential's value. Thread-safe.
//   GET /debug/config[?api=NAMESPACE/NAME]      snapshot, APIs, endpoints, operations
//   GET /debug/rotations[?api=NAMESPACE/NAME]   weights, tiers, eligibility, suspensions, first
//   picks

#include <optional>
#include <string>

#include "common/admin_server.h"
#include "common/clock.h"
#include "common/published.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

// Both must outlive the server that serves the pages.
void AddDebugPages(AdminPages& pages, const Published<table::RouteTable>& table,
                   const Clock& clock);

// The content of the pages. `api`: only that one ("" = all).
std::string DescribeConfig(const table::RouteTable& table, const std::string& api);
std::string DescribeRotations(const table::RouteTable& table, const std::string& api,
                              MonotonicTime now);

}  // namespace rota::observe
