#pragma once

// What Prometheus sees of the controller; docs/reference/metrics.md lists it. Everything is read at
// scrape.

#include <memory>

#include "controller/kube_writers.h"
#include "controller/reconcile/reconciler.h"
#include "controller/serve/peer_exchange.h"
#include "controller/serve/sync_service.h"
#include "controller/source/source.h"
#include "prometheus/collectable.h"

namespace rota::controller {

// Thread-safe. What is referred to outlives the scrapes; `writers` is null in directory mode.
class ControllerMetrics final : public prometheus::Collectable {
 public:
  ControllerMetrics(const reconcile::Reconciler& reconciler, serve::SyncService& service,
                    const serve::PeerExchange& exchange, const source::Source& source,
                    const KubeWriters* writers, const Clock& clock);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const reconcile::Reconciler& reconciler_;
  serve::SyncService& service_;
  const serve::PeerExchange& exchange_;
  const source::Source& source_;
  const KubeWriters* writers_;
  const Clock& clock_;
};

}  // namespace rota::controller
