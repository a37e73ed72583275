#pragma once

// An API's status as JSON: what is server-side-applied to the resource, and what /debug shows. Pure
// and thread-safe. Never holds anything of a Secret but names.

#include <optional>
#include <string>

#include "common/clock.h"
#include "controller/reconcile/gateway_status.h"
#include "controller/reconcile/status.h"
#include "nlohmann/json.hpp"

namespace rota::reconcile {

// The content of .status: conditions, gateways[], observedGeneration, models.
nlohmann::json ToJson(const ApiStatus& status);
// The content of a RotaGateway's .status.
nlohmann::json ToJson(const GatewayStatus& status);

// The conditions in a .status that was read (uid and generation stay unset); nullopt when it has
// none.
std::optional<ApiStatus> FromJson(const nlohmann::json& status);
// The same of a RotaGateway.
std::optional<GatewayConditions> GatewayConditionsFromJson(const nlohmann::json& status);

// "2026-11-21T10:00:00Z".
std::string FormatTime(WallTime time);

}  // namespace rota::reconcile
