#pragma once

// A transaction on its way into service: builds the table, publishes it, and lets metrics and
// rotations forget what is gone. Single-thread (the thread that applies); the published table is
// for everyone.

#include <string>

#include "common/clock.h"
#include "common/published.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/observe/state_metrics.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/sync/resource_store.h"
#include "dataplane/table/builder.h"

namespace rota::dataplane {

class Configuration {
 public:
  // Everything outlives the configuration.
  struct Context {
    Published<table::RouteTable>* table = nullptr;
    rotation::Registry* registry = nullptr;
    observe::RequestMetrics* request_metrics = nullptr;
    observe::StateMetrics* state_metrics = nullptr;
    const Clock* clock = nullptr;
  };

  // Publishes the empty table.
  Configuration(table::BuilderOptions options, Context context);

  // A sync::Applier.
  sync::ApplyResult Apply(const sync::ResourceMap& wanted, const sync::ChangedKeys& changed,
                          const std::string& snapshot_hash);

 private:
  const Context context_;
  table::Builder builder_;
};

}  // namespace rota::dataplane
