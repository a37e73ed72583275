#include "controller/kube_writers.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace rota::controller {
namespace {

source::KubeStatusOptions StatusOptionsOf(const KubeWritersOptions& options,
                                          std::function<bool()> may_write) {
  source::KubeStatusOptions status;
  status.namespaces = options.namespaces;
  status.leads = false;
  status.may_write = std::move(may_write);
  return status;
}

source::KubeStatusOptions GatewayStatusOptionsOf(const KubeWritersOptions& options,
                                                 std::function<bool()> may_write) {
  source::KubeStatusOptions status = StatusOptionsOf(options, std::move(may_write));
  status.resource = source::GatewayResource();
  status.writers = 1;  // there are 64 at most
  return status;
}

kube::EventRecorderOptions EventOptionsOf(const KubeWritersOptions& options,
                                          std::function<bool()> may_write) {
  kube::EventRecorderOptions events;
  events.instance = options.identity;
  events.leads = false;
  events.may_write = std::move(may_write);
  return events;
}

std::unique_ptr<kube::LeaseElector> ElectorOf(const kube::KubeApi& api, Clock& clock,
                                              const KubeWritersOptions& options,
                                              std::function<void(bool)> on_change) {
  if (!options.elects_leader) {
    return nullptr;
  }
  kube::LeaseOptions lease;
  lease.ns = options.lease_namespace;
  lease.name = options.lease_name;
  lease.identity = options.identity;
  lease.on_change = std::move(on_change);
  return std::make_unique<kube::LeaseElector>(api, clock, std::move(lease));
}

}  // namespace

KubeWriters::KubeWriters(const kube::KubeApi& api, Clock& clock, KubeWritersOptions options)
    : elector_(ElectorOf(api, clock, options, [this](bool leads) { OnLeader(leads); })),
      status_writer_(api, clock, StatusOptionsOf(options, [this] { return leads(); })),
      gateway_status_writer_(api, clock,
                             GatewayStatusOptionsOf(options, [this] { return leads(); })),
      event_recorder_(api, clock, EventOptionsOf(options, [this] { return leads(); })),
      publisher_(status_writer_),
      gateway_publisher_(gateway_status_writer_),
      events_(event_recorder_),
      mirror_(clock, MirrorOptionsOf(options)) {}

KubeWriters::~KubeWriters() { Stop(); }

publish::MirrorOptions KubeWriters::MirrorOptionsOf(const KubeWritersOptions& options) {
  publish::MirrorOptions mirror;
  mirror.active = options.active_suspensions;
  mirror.snapshots = options.snapshots;
  mirror.on_change = [this](const publish::SuspensionChanges& changes, bool is_first) {
    publisher_.OnSuspensions(changes);
    if (!is_first) {
      events_.OnSuspensions(changes);  // else the leader before has told them
    }
  };
  return mirror;
}

void KubeWriters::Start() {
  if (elector_ != nullptr) {
    elector_->Start();
  } else {
    OnLeader(true);
  }
}

void KubeWriters::Stop() {
  mirror_.Stop();
  event_recorder_.Stop();
  gateway_status_writer_.Stop();
  status_writer_.Stop();
  if (elector_ != nullptr) {
    elector_->Stop();
  }
}

void KubeWriters::OnLeader(bool leads) {
  if (!leads) {
    status_writer_.Retire();
    gateway_status_writer_.Retire();
    event_recorder_.Retire();
    mirror_.Retire();
    publisher_.ForgetSuspensions();
    return;
  }
  status_writer_.Lead();
  gateway_status_writer_.Lead();
  event_recorder_.Lead();
  mirror_.Lead();  // before the statuses: what is suspended already is part of them
  publisher_.TellAll();
  gateway_publisher_.TellAll();
}

void KubeWriters::AddDebugPage(AdminPages& pages) const {
  pages.Add("GET", "/debug/leader", [this](const AdminRequest&) -> AdminResponse {
    nlohmann::json page = {{"election", elector_ != nullptr}, {"leader", leads()}};
    if (elector_ != nullptr) {
      const kube::LeaseReport report = elector_->report();
      page["holder"] = report.holder;
      page["identity"] = report.identity;
      page["error"] = report.error;
    }
    return {.content_type = "application/json",
            .body = page.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
  });
}

void KubeWriters::AddHealthPage(AdminPages& pages) const {
  pages.Add("GET", "/healthz", [this](const AdminRequest&) -> AdminResponse {
    if (elector_ == nullptr || elector_->healthy()) {
      return {.body = "ok\n"};
    }
    return {.status = 503, .body = "the lease should have been given up and has not been\n"};
  });
}

void KubeWriters::AddMetrics(MetricFamilies& families) const {
  const kube::LeaseReport lease = elector_ != nullptr ? elector_->report() : kube::LeaseReport();
  families.Gauge("rota_controller_leader",
                 "1 while this replica writes statuses and Events; of several one does.",
                 leads() ? 1 : 0);
  families.Counter("rota_controller_leader_changes_total",
                   "Times that this replica has begun or ceased to lead.", lease.changes);
  families.Counter("rota_controller_lease_failures_total",
                   "Times that the lease could not be read or written.", lease.failures);
  source::KubeStatusCounts status = status_writer_.counts();
  status += gateway_status_writer_.counts();
  families.Counter("rota_controller_status_writes_total", "Status writes, by result.",
                   status.written, {{"result", "written"}});
  families.Counter("rota_controller_status_writes_total", "", status.unchanged,
                   {{"result", "unchanged"}});
  families.Counter("rota_controller_status_writes_total", "", status.failed,
                   {{"result", "failed"}});
  families.Gauge("rota_controller_status_writes_waiting", "Statuses that wait to be written.",
                 static_cast<double>(status.waiting));
  const kube::EventCounts events = event_recorder_.counts();
  families.Counter("rota_controller_events_total", "Events about objects, by result.",
                   events.written, {{"result", "written"}});
  families.Counter("rota_controller_events_total", "", events.dropped, {{"result", "dropped"}});
  families.Counter("rota_controller_events_total", "", events.failed, {{"result", "failed"}});
}

}  // namespace rota::controller
