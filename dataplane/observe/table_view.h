#pragma once

// Walks over the targets of a route table, for scrapes and debug pages. Pure; thread-safe.

#include <functional>
#include <string>
#include <vector>

#include "dataplane/table/route_table.h"

namespace rota::observe {

struct TargetView {
  const table::Api* api = nullptr;
  const table::BoundRotation* rotation = nullptr;
  table::Environment environment = table::Environment::kProduction;
  size_t index = 0;  // of the target in its rotation
  const table::Target* target = nullptr;
  const rotation::TargetSpec* spec = nullptr;
};

// All targets of all rotations that an operation leads to, each rotation once.
void ForEachTarget(const table::RouteTable& table,
                   const std::function<void(const TargetView&)>& visit);

// The labels of its metric series.
table::SeriesLabels LabelsOf(const TargetView& view);

// The first 16 hex digits of the snapshot's hash, "" for the empty table.
std::string SnapshotVersion(const table::RouteTable& table);

// The rotations of `api` that operations lead to and their environments, in the order of the API.
struct RotationView {
  const table::BoundRotation* rotation = nullptr;
  table::Environment environment = table::Environment::kProduction;
};
std::vector<RotationView> RotationsOf(const table::Api& api);

}  // namespace rota::observe
