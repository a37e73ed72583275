#pragma once

// The /debug pages of the data plane's admin port, as JSON. They show what is served from and who
// is on the rota, never a credential's value. Thread-safe.
//   GET /debug/config[?api=NAMESPACE/NAME]      snapshot, APIs, endpoints, operations
//   GET /debug/rotations[?api=NAMESPACE/NAME]   weights, tiers, eligibility, suspensions, first
//   picks
//   GET /debug/explain?api=...                  a dry run; parameters as in ExplainQuery
//   POST /debug/lift?target=ID                  ends the suspensions of a target, fleet-wide

#include <optional>
#include <string>

#include "common/admin_server.h"
#include "common/clock.h"
#include "common/published.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

// Everything must outlive the server that serves the pages.
void AddDebugPages(AdminPages& pages, const Published<table::RouteTable>& table,
                   const Clock& clock);

// Only a listener on loopback lets people change something: the port asks nobody for a password.
// `is_loopback` false: the page answers 403 and says so.
void AddLiftPage(AdminPages& pages, rotation::Registry& registry, const Clock& clock,
                 bool is_loopback);

// The content of the pages. `api`: only that one ("" = all).
std::string DescribeConfig(const table::RouteTable& table, const std::string& api);
std::string DescribeRotations(const table::RouteTable& table, const std::string& api,
                              MonotonicTime now);

}  // namespace rota::observe
