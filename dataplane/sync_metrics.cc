#include "dataplane/sync_metrics.h"

#include <chrono>

#include "common/metric_families.h"

namespace rota::dataplane {

std::vector<prometheus::MetricFamily> SyncMetrics::Collect() const {
  const sync::SyncState state = client_.state();
  MetricFamilies families;
  families.Gauge("rota_controller_connected", "1 while the stream to a controller is up.",
                 state.connected ? 1 : 0);
  families.Gauge("rota_configuration_source", "1 for where the configuration in use came from.", 1,
                 {{"source", std::string(sync::ConfigSourceName(state.source))}});
  families.Gauge("rota_snapshot_resources", "Resources in the snapshot in use.",
                 static_cast<double>(state.resources));
  families.Gauge("rota_snapshot_rejected_resources", "Resources that this data plane did not take.",
                 static_cast<double>(state.rejected));
  families.Gauge("rota_snapshot_refused_resources", "Resources that are not served as configured.",
                 static_cast<double>(state.refused));
  families.Gauge("rota_secrets_missing",
                 "Secrets that the last-known-good file has no credentials of.",
                 static_cast<double>(state.missing_secrets.size()));
  if (state.current_at) {
    families.Gauge("rota_snapshot_age_seconds",
                   "Time since the configuration in use was known to be the controller's newest.",
                   std::chrono::duration<double>(clock_.Now() - *state.current_at).count());
  }
  families.Counter("rota_sync_streams_total", "Streams to controllers that were opened.",
                   state.streams);
  families.Counter("rota_sync_transactions_total", "Transactions that were applied.",
                   state.transactions);
  families.Counter("rota_suspension_reports_dropped_total",
                   "Suspensions that were not reported: too many at once.",
                   state.suspension_reports_dropped);
  return families.Take();
}

}  // namespace rota::dataplane
