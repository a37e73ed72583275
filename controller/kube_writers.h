#pragma once

// Everything that this controller writes to Kubernetes, and the lease that decides whether it may:
// statuses with the suspensions of the fleet, and Events. Every replica serves; of several only the
// one that leads writes.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/admin_server.h"
#include "common/clock.h"
#include "common/metric_families.h"
#include "controller/kube/event_recorder.h"
#include "controller/kube/lease_elector.h"
#include "controller/publish/api_status_publisher.h"
#include "controller/publish/gateway_status_publisher.h"
#include "controller/publish/object_events.h"
#include "controller/publish/suspension_mirror.h"
#include "controller/source/kube_status.h"

namespace rota::controller {

struct KubeWritersOptions {
  std::vector<std::string> namespaces;  // that are served; empty: all
  bool elects_leader = true;            // false: this replica is the only one
  std::string lease_namespace;
  std::string lease_name;
  std::string identity;  // unique per process
  // Of the fleet; see MirrorOptions.
  std::function<std::vector<serve::SharedSuspension>(MonotonicTime)> active_suspensions;
  std::function<publish::Snapshots()> snapshots;
};

// Thread-safe but for Start() and Stop(), which belong to one thread.
class KubeWriters {
 public:
  // `api` and `clock` outlive the writers. Writes nothing before Start().
  KubeWriters(const kube::KubeApi& api, Clock& clock, KubeWritersOptions options);
  ~KubeWriters();  // stops

  // Whether this replica is the one that writes, for others who write to Kubernetes.
  bool leads() const { return elector_ == nullptr || elector_->leads(); }
  // What the reconciler tells.
  std::vector<reconcile::StatusSink*> sinks() {
    return {&publisher_, &gateway_publisher_, &events_};
  }
  // Takes part in the election (or just begins).
  void Start();
  // Ends every write, then hands the lease on.
  void Stop();
  // Suspensions, or what is served, may have changed.
  void WakeSuspensions() { mirror_.Wake(); }

  // A /healthz that fails when the lease's own thread hangs.
  void AddHealthPage(AdminPages& pages) const;
  // /debug/leader.
  void AddDebugPage(AdminPages& pages) const;
  void AddMetrics(MetricFamilies& families) const;

 private:
  void OnLeader(bool leads);
  publish::MirrorOptions MirrorOptionsOf(const KubeWritersOptions& options);

  // In the order in which they need each other.
  std::unique_ptr<kube::LeaseElector> elector_;  // null: there is nothing to elect
  source::KubeStatusWriter status_writer_;       // of APIs
  source::KubeStatusWriter gateway_status_writer_;
  kube::EventRecorder event_recorder_;
  publish::ApiStatusPublisher publisher_;
  publish::GatewayStatusPublisher gateway_publisher_;
  publish::ObjectEvents events_;
  publish::SuspensionMirror mirror_;
};

}  // namespace rota::controller
