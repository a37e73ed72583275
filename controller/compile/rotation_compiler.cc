#include "controller/compile/rotation_compiler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/compile/compile_api.h"
#include "controller/compile/gateway_defaults.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::Severity;

// Adds one entry, or its weight to the identical one before it.
void AddTarget(const resource::ModelTarget& model, const std::string& id, uint32_t endpoint,
               const std::string& field, pb::Rotation& rotation,
               resource::Diagnostics& diagnostics) {
  for (pb::Target& target : *rotation.mutable_targets()) {
    if (target.id() != id) {
      continue;
    }
    target.set_weight(target.weight() + model.weight);
    if (target.defaults() != model.defaults) {
      diagnostics.push_back({Severity::kWarning, "DuplicateTarget", field + ".defaults",
                             absl::StrCat("'", model.model,
                                          "' is listed twice with the same endpoint and "
                                          "credential and other defaults; those of the first "
                                          "entry are used, remove one entry")});
    }
    if (target.tier() != model.tier) {
      target.set_tier(std::min(target.tier(), model.tier));
      diagnostics.push_back({Severity::kWarning, "DuplicateTarget", field,
                             absl::StrCat("'", model.model,
                                          "' is listed in two tiers with the same endpoint and "
                                          "credential; tier ",
                                          target.tier(), " is used, remove one entry")});
    }
    return;
  }
  pb::Target& target = *rotation.add_targets();
  target.set_id(id);
  target.set_model(model.model);
  target.set_endpoint(endpoint);
  target.set_weight(model.weight);
  target.set_tier(model.tier);
  target.set_defaults(model.defaults);
  for (const std::string& allowed : model.allowed_models) {
    target.add_allowed_models(allowed);
  }
}

bool CheckTargets(const pb::Rotation& rotation, const std::string& field,
                  resource::Diagnostics& diagnostics) {
  const size_t before = diagnostics.size();
  if (static_cast<size_t>(rotation.targets_size()) > kMaxTargets) {
    diagnostics.push_back({Severity::kError, "TooMany", field,
                           absl::StrCat(rotation.targets_size(), " targets, at most ", kMaxTargets,
                                        " are possible; remove some")});
  }
  uint64_t total = 0;
  for (const pb::Target& target : rotation.targets()) {
    total += target.weight();
    if (target.weight() > kMaxWeight) {
      diagnostics.push_back(
          {Severity::kError, "InvalidValue", field,
           absl::StrCat("the weights of '", target.model(), "' add up to ", target.weight(),
                        ", more than ", kMaxWeight, "; lower them")});
    }
  }
  if (total == 0) {
    diagnostics.push_back({Severity::kError, "InvalidValue", field,
                           "every weight is 0, so nothing could be picked; give at least one model "
                           "a weight of 1 or more"});
  }
  return diagnostics.size() == before;
}

}  // namespace

std::string ModelsField(resource::Environment environment) {
  return environment == resource::Environment::kProduction ? "productionModels" : "sandboxModels";
}

std::optional<pb::Rotation> CompileRotation(const PolicyPlace& place, const RotationScope& scope,
                                            const EndpointScope& endpoints, const pb::Api& api,
                                            EndpointTable& table,
                                            resource::Diagnostics& diagnostics) {
  const auto environment = scope.environment == pb::SANDBOX ? resource::Environment::kSandbox
                                                            : resource::Environment::kProduction;
  const std::string list_field =
      absl::StrCat(place.field, ".parameters.", ModelsField(environment));
  pb::Rotation rotation;
  rotation.set_id(RotationId(scope));
  rotation.set_environment(scope.environment);
  bool is_resolved = true;
  const std::vector<resource::ModelTarget>& models = place.policy->Of(environment);
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string field = absl::StrCat(list_field, "[", i, "]");
    const std::optional<uint32_t> endpoint = table.Resolve(models[i], endpoints, field);
    if (!endpoint.has_value()) {
      is_resolved = false;
      continue;
    }
    const std::string id =
        TargetId(scope, models[i].model, api.endpoints(static_cast<int>(*endpoint)));
    AddTarget(models[i], id, *endpoint, field, rotation, diagnostics);
  }
  if (!is_resolved || !CheckTargets(rotation, list_field, diagnostics)) {
    return std::nullopt;
  }
  SetSettings(place.policy->settings, rotation);
  return rotation;
}

}  // namespace rota::compile
