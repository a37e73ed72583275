#pragma once

// A transaction on its way into service: builds the table, publishes it, and lets metrics and
// rotations forget what is gone. Single-thread (the thread that applies); the published table is
// for everyone.

#include <functional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/published.h"
#include "dataplane/engine/certificate_set.h"
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
    // Serves these certificates from now on; returns what is wrong. May be null: nobody listens.
    std::function<std::vector<engine::CertificateProblem>(
        const std::vector<table::ServerCertificate>&)>
        set_certificates = nullptr;
  };

  // Publishes the empty table.
  Configuration(table::BuilderOptions options, Context context);

  // A sync::Applier.
  sync::ApplyResult Apply(const sync::ResourceMap& wanted, const sync::ChangedKeys& changed,
                          const std::string& snapshot_hash);

 private:
  void SetCertificates(const sync::ResourceMap& wanted, table::BuildResult& result);

  const Context context_;
  std::vector<engine::CertificateProblem> certificate_problems_;  // of those in use
  table::Builder builder_;
};

}  // namespace rota::dataplane
