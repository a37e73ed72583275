#include "controller/metrics.h"

#include <string>
#include <utility>

#include "common/hash.h"
#include "common/metric_families.h"

namespace rota::controller {
namespace {

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

void AddReconciler(const reconcile::ReconcilerStats& stats, MetricFamilies& families) {
  families.Gauge("rota_controller_apis", "API resources that are known.",
                 static_cast<double>(stats.apis));
  families.Gauge("rota_controller_secrets", "Secrets that are referenced and known.",
                 static_cast<double>(stats.secrets));
  families.Counter("rota_controller_builds_total", "Times that the snapshot was put together.",
                   stats.builds);
  families.Counter("rota_controller_snapshots_total",
                   "Snapshots that differed from the one before.", stats.snapshots);
  families.Counter("rota_controller_compiles_total",
                   "API resources that were decoded and compiled.", stats.compiles);
  families.Gauge("rota_controller_last_build_seconds",
                 "How long the last build took: from news to the snapshots made of them.",
                 Seconds(stats.last_build));
  families.Gauge("rota_controller_held_removals",
                 "APIs and RotaGateways that are gone and still served, because most APIs "
                 "vanished at once.",
                 static_cast<double>(stats.held_removals));
  families.Counter("rota_controller_removal_holds_total", "Times that removals were held.",
                   stats.removal_holds);
}

void AddGateway(const serve::ServedGateway& gateway, MonotonicTime now, MetricFamilies& families) {
  if (const auto snapshot = gateway.snapshots.Get(); snapshot != nullptr) {
    families.Gauge(
        "rota_snapshot_info", "Always 1; the label is the snapshot that is served.", 1,
        {{"gateway", gateway.name}, {"version", HexEncode(snapshot->hash).substr(0, 16)}});
    families.Gauge("rota_controller_snapshot_resources", "Resources in the snapshot.",
                   static_cast<double>(snapshot->resources.size()), {{"gateway", gateway.name}});
  }
  families.Gauge("rota_controller_dataplanes", "Data planes that are connected.",
                 static_cast<double>(gateway.fleet.connected()), {{"gateway", gateway.name}});
  families.Gauge("rota_controller_suspensions",
                 "Targets that are off the rota somewhere in the fleet.",
                 static_cast<double>(gateway.hub.Active(now).size()), {{"gateway", gateway.name}});
}

void AddService(serve::SyncService& service, MetricFamilies& families) {
  const serve::ServiceStats stats = service.stats();
  families.Counter("rota_controller_streams_total",
                   "Streams of data planes, by what became of them.", stats.streams_accepted,
                   {{"result", "accepted"}});
  families.Counter("rota_controller_streams_total", "", stats.streams_refused,
                   {{"result", "refused"}});
  families.Counter("rota_controller_stream_errors_total",
                   "Streams that were ended for a fault, by kind.", stats.protocol_errors,
                   {{"kind", "protocol"}});
  families.Counter("rota_controller_stream_errors_total", "", stats.timeouts,
                   {{"kind", "timeout"}});
  families.Counter("rota_controller_acknowledgements_total",
                   "Transactions that data planes acknowledged.", stats.acknowledgements);
  families.Counter("rota_controller_rejections_total", "Resources that data planes did not take.",
                   stats.rejections);
  families.Counter("rota_controller_stale_serves_total",
                   "Data planes that were sent what may be older than what they had.",
                   stats.stale_serves);
  families.Counter("rota_controller_suspension_statements_dropped_total",
                   "Suspension statements beyond the limits.", stats.suspension_statements_dropped);
}

void AddPeers(const serve::PeerExchange& exchange, MetricFamilies& families) {
  const serve::PeerStats stats = exchange.stats();
  families.Gauge("rota_controller_peers", "Other replicas that suspensions are exchanged with.",
                 static_cast<double>(exchange.Peers().size()));
  families.Counter("rota_controller_peer_statements_total",
                   "Suspension statements that went between replicas, by direction.",
                   stats.statements_sent, {{"direction", "sent"}});
  families.Counter("rota_controller_peer_statements_total", "", stats.statements_received,
                   {{"direction", "received"}});
  families.Counter("rota_controller_peer_statements_new_total",
                   "Statements of other replicas that were not known yet.", stats.statements_new);
  families.Counter("rota_controller_peer_streams_total",
                   "Streams between replicas, by what became of them.", stats.streams_opened,
                   {{"result", "opened"}});
  families.Counter("rota_controller_peer_streams_total", "", stats.streams_failed,
                   {{"result", "failed"}});
}

}  // namespace

ControllerMetrics::ControllerMetrics(const reconcile::Reconciler& reconciler,
                                     serve::SyncService& service,
                                     const serve::PeerExchange& exchange,
                                     const source::Source& source, const KubeWriters* writers,
                                     const Clock& clock)
    : reconciler_(reconciler),
      service_(service),
      exchange_(exchange),
      source_(source),
      writers_(writers),
      clock_(clock) {}

std::vector<prometheus::MetricFamily> ControllerMetrics::Collect() const {
  MetricFamilies families;
  const source::SourceHealth health = source_.Health();
  families.Gauge("rota_source_connected", "1 while the source of objects can be read.",
                 health.connected ? 1 : 0);
  families.Gauge("rota_source_synced", "1 once everything that existed at the start has been read.",
                 health.synced ? 1 : 0);
  for (const serve::GatewayPtr& gateway : service_.gateways().All()) {
    AddGateway(*gateway, clock_.Now(), families);
  }
  AddReconciler(reconciler_.Stats(), families);
  AddService(service_, families);
  AddPeers(exchange_, families);
  if (writers_ != nullptr) {
    writers_->AddMetrics(families);
  }
  return families.Take();
}

}  // namespace rota::controller
