#pragma once

// A transaction on its way into service: builds the table, publishes it, and lets metrics and
// rotations forget what is gone. The same for an identity of this process that has changed.
// Thread-safe: one at a time; the published table is for everyone.

#include <functional>
#include <mutex>
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
  // From now on credentials are made of that content of the identity `name` (table/identity.h).
  void SetIdentity(const std::string& name, const table::Identity& identity);

 private:
  void Publish(const table::BuildResult& result);
  void SetCertificates(const sync::ResourceMap& wanted, table::BuildResult& result);

  const Context context_;
  std::mutex mutex_;  // held while a table is built; guards what follows
  std::vector<engine::CertificateProblem> certificate_problems_;  // of those in use
  table::Builder builder_;
};

}  // namespace rota::dataplane
