#pragma once

// A ModelBasedRoundRobin policy in one environment -> a rotation: endpoints resolved, identical
// targets merged, limits checked. Pure; thread-safe but for the table that it fills.

#include <optional>
#include <string>

#include "controller/compile/endpoint_table.h"
#include "controller/compile/identity.h"
#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

// Where the policy stands, for messages: "spec.apiPolicies.request.ModelBasedRoundRobin".
struct PolicyPlace {
  const resource::ModelBasedRoundRobin* policy = nullptr;
  std::string field;
};

// nullopt: errors were added to `diagnostics`. REQUIRES: the policy has models of that environment.
std::optional<rota::sync::v1::Rotation> CompileRotation(
    const PolicyPlace& place, const RotationScope& scope, const EndpointScope& endpoints,
    const rota::sync::v1::Api& api, EndpointTable& table, resource::Diagnostics& diagnostics);

// "productionModels" / "sandboxModels".
std::string ModelsField(resource::Environment environment);

}  // namespace rota::compile
