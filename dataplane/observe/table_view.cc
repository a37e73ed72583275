#include "dataplane/observe/table_view.h"

#include <algorithm>
#include <unordered_map>

#include "common/hash.h"

namespace rota::observe {
namespace {

constexpr size_t kVersionBytes = 8;

}  // namespace

std::vector<RotationView> RotationsOf(const table::Api& api) {
  std::unordered_map<const table::BoundRotation*, table::Environment> environments;
  for (const table::Operation& operation : api.operations) {
    if (operation.production && operation.production->rotation != nullptr) {
      environments.emplace(operation.production->rotation, table::Environment::kProduction);
    }
    if (operation.sandbox && operation.sandbox->rotation != nullptr) {
      environments.emplace(operation.sandbox->rotation, table::Environment::kSandbox);
    }
  }
  std::vector<RotationView> all;
  for (const auto& rotation : api.rotations) {
    const auto found = environments.find(rotation.get());
    if (found != environments.end()) {
      all.push_back({rotation.get(), found->second});
    }
  }
  return all;
}

void ForEachTarget(const table::RouteTable& table,
                   const std::function<void(const TargetView&)>& visit) {
  for (const auto& api : table.apis()) {
    for (const RotationView& view : RotationsOf(*api)) {
      const std::vector<rotation::TargetSpec>& specs = view.rotation->rotation->spec().targets;
      const size_t count = std::min(specs.size(), view.rotation->targets.size());
      for (size_t i = 0; i < count; ++i) {
        visit(
            {api.get(), view.rotation, view.environment, i, &view.rotation->targets[i], &specs[i]});
      }
    }
  }
}

table::SeriesLabels LabelsOf(const TargetView& view) {
  return {view.api->id, std::string(table::EnvironmentName(view.environment)), view.target->model,
          view.target->endpoint == nullptr ? "" : view.target->endpoint->name};
}

std::string SnapshotVersion(const table::RouteTable& table) {
  return HexEncode(std::string_view(table.snapshot_hash()).substr(0, kVersionBytes));
}

}  // namespace rota::observe
