#include "controller/app.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/admin_server.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/ports_file.h"
#include "common/process.h"
#include "common/process_metrics.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "controller/debug.h"
#include "controller/fleet_view.h"
#include "controller/issued_identity.h"
#include "controller/kube_connection.h"
#include "controller/kube_writers.h"
#include "controller/metrics.h"
#include "controller/reconcile/reconciler.h"
#include "controller/reconcile/status_board.h"
#include "controller/serve/grpc_server.h"
#include "controller/serve/peer_dialler.h"
#include "controller/serve/peer_exchange.h"
#include "controller/serve/sync_service.h"
#include "controller/source/directory_source.h"
#include "controller/source/kube_source.h"

namespace rota::controller {
namespace {

constexpr Duration kDrain = std::chrono::seconds(2);

serve::ServiceOptions MakeServiceOptions(const serve::AccessRules& access) {
  serve::ServiceOptions options;
  options.session.access = access;
  options.session.server = "rota-controller " + std::string(Version());
  return options;
}

serve::PeerOptions MakePeerOptions(const serve::AccessRules& access) {
  serve::PeerOptions options;
  options.access = access;
  options.replica = RandomHex(16);
  options.server = "rota-controller " + std::string(Version());
  return options;
}

compile::GatewaySettings GatewayOf(const Flags& flags) {
  return {.name = flags.gateway,
          .production_hosts = flags.production_hosts,
          .sandbox_hosts = flags.sandbox_hosts,
          .allow_local_upstreams = flags.allow_local_upstreams || flags.directory().has_value(),
          .ambient_identity_namespaces = flags.ambient_identity_namespaces};
}

}  // namespace

// Members in the order in which they need each other; destroyed in reverse.
struct App::State {
  State(const Flags& flags, const serve::AccessRules& access, Clock& the_clock)
      : clock(the_clock),
        board(flags.directory().has_value()),
        service(MakeServiceOptions(access), the_clock),
        exchange(MakePeerOptions(access), service, the_clock) {}

  absl::Status OpenSource(const Flags& flags);
  KubeWritersOptions WritersOptionsOf(const Flags& flags);
  void StartReconciler(const Flags& flags);
  absl::Status StartPeers(const Flags& flags);
  absl::Status StartServers(const Flags& flags);
  std::vector<std::string> NotReady() const;

  Clock& clock;
  RecentSnapshots recent_snapshots;
  reconcile::StatusBoard board;
  std::unique_ptr<KubeConnection> kube;      // null in directory mode
  std::unique_ptr<KubeWriters> writers;      // null in directory mode
  std::shared_ptr<IssuedIdentity> identity;  // null unless --tls-mode auto
  std::unique_ptr<source::Source> source;
  serve::SyncService service;
  serve::PeerExchange exchange;
  std::unique_ptr<reconcile::Reconciler> reconciler;
  std::unique_ptr<serve::GrpcServer> grpc;
  std::unique_ptr<AdminServer> admin;
  std::unique_ptr<AdminServer> metrics;
};

absl::Status App::State::OpenSource(const Flags& flags) {
  if (const auto directory = flags.directory()) {
    source = std::make_unique<source::DirectorySource>(*directory);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(kube, KubeConnection::Open(flags.kubeconfig, clock));
  source::KubeSourceOptions options;
  options.namespaces = flags.namespaces;
  if (flags.streaming_list == "auto") {
    options.reflector.streaming = std::make_shared<kube::StreamingListSwitch>();
  }
  if (flags.secret_access == "named") {
    options.secret_access = source::SecretAccess::kNamed;
  }
  source = std::make_unique<source::KubeSource>(kube->api(), clock, std::move(options));
  writers = std::make_unique<KubeWriters>(kube->api(), clock, WritersOptionsOf(flags));
  service.SetSuspensionListener([this] { writers->WakeSuspensions(); });
  if (flags.tls() == TlsMode::kAuto) {
    ASSIGN_OR_RETURN(
        identity, IssuedIdentity::Start(flags, *kube, clock, [this] { return writers->leads(); }));
  }
  return absl::OkStatus();
}

KubeWritersOptions App::State::WritersOptionsOf(const Flags& flags) {
  KubeWritersOptions options;
  options.namespaces = flags.namespaces;
  options.elects_leader = flags.leader_elect == "on";
  options.lease_namespace =
      flags.lease_namespace.empty() ? kube->default_namespace() : flags.lease_namespace;
  options.lease_name = flags.lease_name;
  options.identity = HostName() + "_" + RandomHex(16);
  options.active_suspensions = [this](MonotonicTime now) {
    return service.gateways().ActiveSuspensions(now);
  };
  options.snapshots = [this] { return service.gateways().Snapshots(); };
  return options;
}

void App::State::StartReconciler(const Flags& flags) {
  std::vector<reconcile::StatusSink*> sinks = {&board};
  if (writers != nullptr) {
    const std::vector<reconcile::StatusSink*> more = writers->sinks();
    sinks.insert(sinks.end(), more.begin(), more.end());
  }
  reconciler = std::make_unique<reconcile::Reconciler>(reconcile::ReconcilerOptions{
      .gateway = GatewayOf(flags),
      .clock = &clock,
      .publish =
          [this](const std::string& gateway, auto snapshot) {
            recent_snapshots.Add(gateway, snapshot);
            service.Publish(gateway, std::move(snapshot));
            if (writers != nullptr) {
              writers->WakeSuspensions();
            }
          },
      .withdraw =
          [this](const std::string& gateway) {
            service.RemoveGateway(gateway);
            recent_snapshots.Forget(gateway);
          },
      .fleet =
          [this] { return ToFleetViews(service.gateways(), exchange.Peers(), recent_snapshots); },
      .sinks = sinks});
  service.gateways().SetFleetListener([this] { reconciler->FleetChanged(); });
  exchange.SetFleetListener([this] { reconciler->FleetChanged(); });
}

absl::Status App::State::StartPeers(const Flags& flags) {
  if (flags.peers.empty()) {
    return absl::OkStatus();
  }
  serve::PeerDiallerOptions options;
  for (const std::string& peer : flags.peers) {
    ASSIGN_OR_RETURN(options.peers.emplace_back(), ParseHostPort(peer));
  }
  options.tls_cert = flags.tls_certificate;
  options.tls_key = flags.tls_key;
  options.tls_client_ca = flags.tls_client_ca;
  options.insecure = flags.insecure;
  if (identity != nullptr) {
    identity->Use(options);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<serve::PeerDialler> dialler,
                   serve::MakePeerDialler(options, clock));
  exchange.Start(std::move(dialler));
  return absl::OkStatus();
}

absl::Status App::State::StartServers(const Flags& flags) {
  serve::GrpcServerOptions options = {.listen = *flags.listen,
                                      .tls_cert = flags.tls_certificate,
                                      .tls_key = flags.tls_key,
                                      .tls_client_ca = flags.tls_client_ca,
                                      .insecure = flags.insecure};
  if (identity != nullptr) {
    identity->Use(options);
  }
  ASSIGN_OR_RETURN(grpc, serve::GrpcServer::Start(options, service, clock, &exchange));
  RETURN_IF_ERROR(StartPeers(flags));
  AdminPages pages;
  std::vector<std::shared_ptr<const prometheus::Collectable>> collectables = {
      std::make_shared<ProcessMetrics>(),
      std::make_shared<ControllerMetrics>(*reconciler, service, exchange, *source, writers.get(),
                                          clock)};
  if (identity != nullptr) {
    collectables.push_back(identity);
  }
  AddMetricsPage(pages, std::move(collectables));
  AddHealthPages(pages, [this] { return NotReady(); });
  if (writers != nullptr) {
    writers->AddHealthPage(pages);
  }
  std::map<std::string, HostPort> addresses = {{"listen", grpc->address()}};
  if (flags.metrics) {
    ASSIGN_OR_RETURN(metrics, AdminServer::Start(*flags.metrics, pages));
    addresses["metrics"] = metrics->address();
  }
  AddDebugPages(pages, board, service, exchange, clock, IsLoopbackHost(flags.admin->host));
  if (writers != nullptr) {
    writers->AddDebugPage(pages);
  }
  ASSIGN_OR_RETURN(admin, AdminServer::Start(*flags.admin, pages));
  addresses["admin"] = admin->address();
  return AnnounceAddresses(addresses, flags.ports_file);
}

std::vector<std::string> App::State::NotReady() const {
  std::vector<std::string> reasons;
  if (!reconciler->Stats().published) {
    const source::SourceHealth health = source->Health();
    reasons.push_back(health.last_error.empty() ? "waiting for the first snapshot"
                                                : "no snapshot yet: " + health.last_error);
  }
  if (identity != nullptr && !identity->NotReady().empty()) {
    reasons.push_back(identity->NotReady());
  }
  return reasons;
}

absl::StatusOr<std::unique_ptr<App>> App::Start(const Flags& flags, Clock& clock) {
  ASSIGN_OR_RETURN(const serve::AccessRules access, AccessRulesOf(flags));
  auto state = std::make_unique<State>(flags, access, clock);
  RETURN_IF_ERROR(state->OpenSource(flags));
  state->StartReconciler(flags);
  RETURN_IF_ERROR(state->StartServers(flags));
  RETURN_IF_ERROR(state->reconciler->Start(*state->source));
  if (state->writers != nullptr) {
    state->writers->Start();
  }
  log::Info(
      "controller", "started",
      {{"source", flags.source}, {"gateway", flags.gateway}, {"version", std::string(Version())}});
  return std::unique_ptr<App>(new App(std::move(state)));
}

App::App(std::unique_ptr<State> state) : state_(std::move(state)) {}

App::~App() {
  state_->admin.reset();
  state_->metrics.reset();
  state_->service.Drain(kDrain);
  state_->reconciler->Stop();
  if (state_->writers != nullptr) {
    state_->writers->Stop();
  }
  state_->exchange.Stop();
  if (state_->identity != nullptr) {
    state_->identity->Stop();
  }
  state_->grpc->Shutdown(kDrain);
}

}  // namespace rota::controller
