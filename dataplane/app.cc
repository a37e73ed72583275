#include "dataplane/app.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/admin_server.h"
#include "common/log.h"
#include "common/ports_file.h"
#include "common/process.h"
#include "common/process_metrics.h"
#include "common/published.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "dataplane/ambient_identities.h"
#include "dataplane/configuration.h"
#include "dataplane/engine/engine.h"
#include "dataplane/engine/tls.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/debug.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/observe/state_metrics.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/sync/grpc_transport.h"
#include "dataplane/sync/state_key.h"
#include "dataplane/sync/sync_client.h"
#include "dataplane/sync_metrics.h"

namespace rota::dataplane {
namespace {

constexpr char kUnauthenticatedNote[] =
    "--allow-unauthenticated: operations that are `secured` are served to clients that nobody has "
    "authenticated";

uint64_t Milliseconds(WallTime time) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

absl::StatusOr<engine::EngineOptions> EngineOptionsOf(const Flags& flags, size_t loops) {
  engine::EngineOptions options;
  options.http = flags.http;
  options.https = flags.https;
  options.tls_certificate_file = flags.tls_certificate;
  options.tls_key_file = flags.tls_key;
  options.upstream_ca_file = flags.upstream_ca;
  options.loops = loops;
  options.limits = flags.limits;
  options.allow_unauthenticated = flags.allow_unauthenticated;
  for (const std::string& text : flags.resolve) {
    ASSIGN_OR_RETURN(options.resolve.emplace_back(), engine::ParseResolveOverride(text));
  }
  return options;
}

// Made when it is not there; what is in it is nobody else's business.
absl::Status MakeStateDirectory(const std::string& path) {
  std::error_code error;
  const bool is_new = std::filesystem::create_directories(path, error);
  if (!error && is_new) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  }
  if (!error && !std::filesystem::is_directory(path, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  return error ? absl::InvalidArgumentError(
                     absl::StrCat("--state-dir '", path, "' cannot be used: ", error.message()))
               : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<sync::SyncTransport>> TransportOf(const Flags& flags) {
  sync::GrpcTransportOptions options;
  for (const std::string& text : flags.controllers) {
    ASSIGN_OR_RETURN(options.controllers.emplace_back(), ParseHostPort(text));
  }
  options.tls_cert = flags.sync_tls_certificate;
  options.tls_key = flags.sync_tls_key;
  options.tls_ca = flags.sync_tls_ca;
  options.token_file = flags.token_file;
  options.insecure = flags.insecure;
  return sync::MakeGrpcTransport(options);
}

// How token services are trusted: as upstreams are. One context for all, made when the first of
// them is asked: the public CAs take a megabyte.
cloud::TlsContext TokenServiceTls(const std::string& extra_ca) {
  struct Made {
    std::mutex mutex;
    std::unique_ptr<engine::ClientTls> tls;
  };
  return [made = std::make_shared<Made>(), extra_ca]() -> absl::StatusOr<std::shared_ptr<SSL_CTX>> {
    std::lock_guard guard(made->mutex);
    if (made->tls == nullptr) {
      ASSIGN_OR_RETURN(made->tls, engine::ClientTls::Create(extra_ca));
    }
    return made->tls->ContextFor("");
  };
}

}  // namespace

// Members in the order in which they need each other; destroyed in reverse.
struct App::State {
  State(const Flags& the_flags, Clock& the_clock)
      : flags(the_flags),
        clock(the_clock),
        loops(flags.threads != 0 ? flags.threads : UsableCpus()),
        registry(
            flags.node,
            [this](const rotation::Suspension& suspension) { OnSuspension(suspension); },
            Milliseconds(clock.WallNow())),
        request_metrics(std::make_shared<observe::RequestMetrics>(loops, clock)) {}

  absl::Status OpenLog();
  void CreateIdentities();
  absl::Status CreateSyncClient();
  absl::Status StartEngine();
  absl::Status StartAdmin();
  void OnSuspension(const rotation::Suspension& suspension);
  std::vector<engine::CertificateProblem> SetCertificates(
      const std::vector<table::ServerCertificate>& certificates);
  std::vector<std::string> NotReady();
  std::vector<std::string> Notes() const;

  const Flags flags;
  Clock& clock;
  const size_t loops;
  std::atomic<bool> draining{false};
  Published<table::RouteTable> table;
  std::unique_ptr<sync::SyncClient> sync;  // created before the engine, so before any suspension
  rotation::Registry registry;
  std::shared_ptr<observe::RequestMetrics> request_metrics;
  std::unique_ptr<observe::AccessLog> access_log;
  std::shared_ptr<observe::StateMetrics> state_metrics;
  std::unique_ptr<Configuration> configuration;
  std::shared_ptr<AmbientIdentities> identities;
  std::atomic<bool> was_ready{false};
  std::mutex certificates_mutex;  // held while the engine gets them, and while it goes
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<AdminServer> metrics;
  std::unique_ptr<AdminServer> admin;
};

absl::Status App::State::OpenLog() {
  ASSIGN_OR_RETURN(access_log,
                   observe::AccessLog::Open(flags.access_log, flags.access_log_sample, &clock));
  observe::StateMetrics::Sources sources;
  sources.table = &table;
  sources.registry = &registry;
  sources.access_log = access_log.get();
  sources.clock = &clock;
  state_metrics = std::make_shared<observe::StateMetrics>(sources);
  return absl::OkStatus();
}

void App::State::CreateIdentities() {
  AmbientIdentities::Options options;
  options.environment = EnvironmentVariable;
  options.session = flags.node;
  options.tls = TokenServiceTls(flags.upstream_ca);
  options.publish = [this](const std::string& name, const table::Identity& identity) {
    configuration->SetIdentity(name, identity);
  };
  identities = std::make_shared<AmbientIdentities>(std::move(options), clock);
  for (const auto& [name, identity] : identities->initial()) {
    configuration->SetIdentity(name, identity);
  }
}

absl::Status App::State::CreateSyncClient() {
  table::BuilderOptions builder;
  builder.allow_unauthenticated = flags.allow_unauthenticated;
  builder.production_hosts = flags.production_hosts;
  builder.sandbox_hosts = flags.sandbox_hosts;
  builder.intern_series = [this](const table::SeriesLabels& labels) {
    return request_metrics->Intern(labels);
  };
  builder.want_identity = [this](const std::string& name) { identities->Want(name); };
  configuration = std::make_unique<Configuration>(
      std::move(builder),
      Configuration::Context{&table, &registry, request_metrics.get(), state_metrics.get(), &clock,
                             [this](const std::vector<table::ServerCertificate>& certificates) {
                               return SetCertificates(certificates);
                             }});
  CreateIdentities();

  sync::SyncClientOptions options;
  options.node = flags.node;
  options.gateway = flags.gateway;
  options.build = absl::StrCat(std::string(Version()), " (", std::string(Commit()), ")");
  if (!flags.state_dir.empty()) {
    RETURN_IF_ERROR(MakeStateDirectory(flags.state_dir));
  }
  options.state_dir = flags.state_dir;
  if (!flags.state_key_file.empty()) {
    ASSIGN_OR_RETURN(options.state_key, sync::StateKey::Read(flags.state_key_file));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<sync::SyncTransport> transport, TransportOf(flags));
  sync::SyncCallbacks callbacks;
  callbacks.apply = [this](const sync::ResourceMap& wanted, const sync::ChangedKeys& changed,
                           const std::string& hash) {
    return configuration->Apply(wanted, changed, hash);
  };
  callbacks.apply_remote = [this](const auto& items, MonotonicTime now) {
    registry.ApplyRemote(items, now);
  };
  callbacks.own_suspensions = [this](MonotonicTime now) { return registry.Own(now); };
  callbacks.known_suspensions = [this](MonotonicTime now) { return registry.Known(now); };
  callbacks.set_phase = [this](uint64_t phase) { registry.SetPhase(phase); };
  sync = std::make_unique<sync::SyncClient>(std::move(options), std::move(transport),
                                            std::move(callbacks), clock);
  return absl::OkStatus();
}

absl::Status App::State::StartEngine() {
  ASSIGN_OR_RETURN(engine::EngineOptions options, EngineOptionsOf(flags, loops));
  engine::EngineContext context;
  context.table = &table;
  context.metrics = request_metrics->loops();
  context.access_log = access_log.get();
  context.clock = &clock;
  ASSIGN_OR_RETURN(engine, engine::Engine::Start(std::move(options), context));
  return absl::OkStatus();
}

absl::Status App::State::StartAdmin() {
  AdminPages pages;
  AddMetricsPage(pages, {request_metrics, state_metrics, std::make_shared<ProcessMetrics>(),
                         std::make_shared<SyncMetrics>(*sync, clock), identities});
  AddHealthPages(
      pages, [this] { return NotReady(); }, [this] { return Notes(); });
  std::map<std::string, HostPort> addresses;
  if (flags.metrics) {
    ASSIGN_OR_RETURN(metrics, AdminServer::Start(*flags.metrics, pages));
    addresses["metrics"] = metrics->address();
  }
  observe::AddDebugPages(pages, table, clock);
  observe::AddLiftPage(pages, registry, clock, IsLoopbackHost(flags.admin->host));
  ASSIGN_OR_RETURN(admin, AdminServer::Start(*flags.admin, pages));
  addresses["admin"] = admin->address();
  if (engine->http_address()) {
    addresses["http"] = *engine->http_address();
  }
  if (engine->https_address()) {
    addresses["https"] = *engine->https_address();
  }
  return AnnounceAddresses(addresses, flags.ports_file);
}

void App::State::OnSuspension(const rotation::Suspension& suspension) {
  if (sync != nullptr) {
    sync->ReportSuspension(suspension);
  }
}

// From the thread that applies transactions, which ends after the engine.
std::vector<engine::CertificateProblem> App::State::SetCertificates(
    const std::vector<table::ServerCertificate>& certificates) {
  std::lock_guard guard(certificates_mutex);
  return engine == nullptr ? std::vector<engine::CertificateProblem>()
                           : engine->SetCertificates(certificates);
}

std::vector<std::string> App::State::NotReady() {
  if (draining) {
    return {"draining"};
  }
  const sync::SyncState state = sync->state();
  if (state.ready()) {
    // Of a data plane that has just started; later an API that is new alone has to wait.
    if (!was_ready && identities->awaits_first_answer()) {
      return {"a cloud identity is being fetched"};
    }
    was_ready = true;
    return engine->lacks_certificate()
               ? std::vector<std::string>{absl::StrCat(
                     "--https has no certificate: give RotaGateway ", flags.gateway,
                     " a listener whose Secret exists, or start with --tls-cert and --tls-key")}
               : std::vector<std::string>();
  }
  std::vector<std::string> reasons = {"no configuration yet"};
  if (!state.last_error.empty()) {
    reasons.push_back(absl::StrCat("controller ", state.controller, ": ", state.last_error));
  }
  if (!state.last_known_good_problem.empty()) {
    reasons.push_back(state.last_known_good_problem);
  }
  return reasons;
}

std::vector<std::string> App::State::Notes() const {
  std::vector<std::string> notes;
  if (flags.allow_unauthenticated) {
    notes.emplace_back(kUnauthenticatedNote);
  }
  const sync::SyncState state = sync->state();
  if (state.source == sync::ConfigSource::kLastKnownGood) {
    notes.push_back(
        absl::StrCat("serving the last known good configuration: no controller has answered (",
                     state.last_error, ")"));
  }
  if (!state.missing_secrets.empty()) {
    notes.push_back(
        absl::StrCat("targets without their credentials are off the rota; missing Secrets: ",
                     absl::StrJoin(state.missing_secrets, ", ")));
  }
  for (std::string& problem : identities->Problems()) {
    notes.push_back(std::move(problem));
  }
  return notes;
}

absl::StatusOr<std::unique_ptr<App>> App::Start(const Flags& flags, Clock& clock) {
  auto state = std::make_unique<State>(flags, clock);
  RETURN_IF_ERROR(state->OpenLog());
  RETURN_IF_ERROR(state->CreateSyncClient());
  RETURN_IF_ERROR(state->StartEngine());
  RETURN_IF_ERROR(state->StartAdmin());
  state->sync->Start();
  log::Info("dataplane", "started",
            {{"node", flags.node}, {"threads", state->loops}, {"version", std::string(Version())}});
  if (flags.allow_unauthenticated) {
    log::Warn("dataplane", kUnauthenticatedNote);
  }
  return std::unique_ptr<App>(new App(std::move(state)));
}

App::App(std::unique_ptr<State> state) : state_(std::move(state)) {}

App::~App() {
  state_->admin.reset();
  state_->metrics.reset();
  {
    std::lock_guard guard(state_->certificates_mutex);
    state_->engine.reset();  // no more suspensions
  }
  state_->sync.reset();  // no more transactions
}

void App::Reload() {
  state_->access_log->Reopen();
  if (const absl::Status status = state_->engine->ReloadCertificates(); !status.ok()) {
    log::Error("dataplane", "certificate not reloaded; the one in use stays",
               {{"reason", std::string(status.message())}});
    return;
  }
  log::Info("dataplane", "access log and certificate reloaded");
}

void App::Drain() {
  state_->draining = true;
  log::Info("dataplane", "draining", {{"open_requests", state_->engine->open_requests()}});
  const size_t cut = state_->engine->Drain(state_->flags.drain_timeout);
  if (cut != 0) {
    log::Warn("dataplane", "requests cut at the end of --drain-timeout", {{"requests", cut}});
  }
}

}  // namespace rota::dataplane
