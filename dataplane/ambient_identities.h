#pragma once

// What this process is itself in the clouds, from its environment: which identities there are, kept
// fresh once an API wants them, and what Prometheus and /readyz see of them
// (docs/reference/metrics.md). Thread-safe.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataplane/cloud/fetch.h"
#include "dataplane/cloud/refresher.h"
#include "dataplane/cloud/token_service.h"
#include "dataplane/table/identity.h"
#include "prometheus/collectable.h"

namespace rota::dataplane {

class AmbientIdentities final : public prometheus::Collectable {
 public:
  struct Options {
    cloud::Environment environment;
    std::string session;    // what clouds call this process in their logs
    cloud::TlsContext tls;  // called on the identities' threads
    // Is told each change, on the identities' threads.
    std::function<void(const std::string& name, const table::Identity& identity)> publish;
  };

  // `clock` outlives this. Nothing is asked before Want().
  AmbientIdentities(Options options, Clock& clock);
  ~AmbientIdentities() override;

  // What the identities are at first: none of them has content.
  const table::Identities& initial() const { return initial_; }
  // An API uses this one; without effect when this process does not have it.
  void Want(const std::string& name);
  // One that is wanted has not been asked for yet.
  bool awaits_first_answer() const;
  // One sentence for each identity that is wanted and not there.
  std::vector<std::string> Problems() const;
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  struct Kept {
    std::unique_ptr<cloud::TokenService> service;
    std::unique_ptr<cloud::Refresher> refresher;
  };

  void Add(const std::string& name, absl::StatusOr<std::unique_ptr<cloud::TokenService>> service);
  void Publish(const std::string& name, absl::StatusOr<cloud::Refresher::Values> values) const;

  const Options options_;
  Clock& clock_;
  table::Identities initial_;
  std::map<std::string, Kept> kept_;  // by name of table/identity.h; constant after construction
};

}  // namespace rota::dataplane
