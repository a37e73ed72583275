#pragma once

// What Prometheus sees of the link to the controller; docs/reference/metrics.md lists it.
// Thread-safe.

#include <vector>

#include "common/clock.h"
#include "dataplane/sync/sync_client.h"
#include "prometheus/collectable.h"

namespace rota::dataplane {

class SyncMetrics final : public prometheus::Collectable {
 public:
  // Both outlive the scrapes.
  SyncMetrics(const sync::SyncClient& client, const Clock& clock)
      : client_(client), clock_(clock) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const sync::SyncClient& client_;
  const Clock& clock_;
};

}  // namespace rota::dataplane
