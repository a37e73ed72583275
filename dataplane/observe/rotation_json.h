#pragma once

// Rotations, targets and their suspensions as the debug pages show them. Never a credential's
// value. Thread-safe (functions without state).

#include <string>
#include <string_view>

#include "common/clock.h"
#include "dataplane/observe/table_view.h"
#include "dataplane/table/route_table.h"
#include "nlohmann/json.hpp"

namespace rota::observe {

// The settings of a rotation.
nlohmann::ordered_json DescribeBoundRotation(const RotationView& view);

// Its targets, who is suspended and how often each was picked first. `share`: its part of the next
// requests, 0 while it is suspended or belongs to a tier that is not in use.
nlohmann::ordered_json DescribeTargets(const table::BoundRotation& rotation, MonotonicTime now);

// A URL with a user or a query is refused long before; here neither would be shown.
std::string WithoutSecrets(const std::string& url);

std::string_view OnAllSuspendedName(table::OnAllSuspended value);

}  // namespace rota::observe
