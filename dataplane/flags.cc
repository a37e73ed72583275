#include "dataplane/flags.h"

#include "absl/strings/str_cat.h"
#include "common/server_flags.h"
#include "common/status_macros.h"

namespace rota::dataplane {
namespace {

void DeclareConfiguration(CLI::App& app, Flags& flags) {
  const std::string group = "Configuration";
  app.add_option("--controller", flags.controllers,
                 "Controllers to take the configuration from; the first that answers serves")
      ->type_name("HOST:PORT[,HOST:PORT]")
      ->delimiter(',')
      ->group(group);
  AddGateway(app, group, "Gateway whose configuration is wanted", flags.gateway);
  app.add_option("--node", flags.node,
                 "Name of this data plane, unique in the fleet (default: host name and process id)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--state-dir", flags.state_dir,
                 "Where the last known good configuration is kept, to start from when no "
                 "controller answers")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--state-key-file", flags.state_key_file,
                 "32 bytes that encrypt the credentials in the state; without it they are left out")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--sync-tls-cert", flags.sync_tls_certificate,
                 "Client certificate towards the controller (PEM)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--sync-tls-key", flags.sync_tls_key, "Its key (PEM)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--sync-tls-ca", flags.sync_tls_ca,
                 "CA of the controller's certificate (PEM; re-read when it changes)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--token-file", flags.token_file,
                 "ServiceAccount token of audience rota-sync that is shown to the controller; "
                 "re-read for every connection")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--insecure", flags.insecure,
               "Allow plaintext to a controller that is not on loopback")
      ->group(group);
}

void DeclareListeners(CLI::App& app, Flags& flags) {
  const std::string group = kListenerGroup;
  AddHostPort(app, "--http", flags.http, "Plain HTTP")->group(group);
  AddHostPort(app, "--https", flags.https,
              "HTTPS, with the certificates of the gateway's listeners or of --tls-cert")
      ->group(group);
  AddCertificate(app, "Certificate chain of --https (PEM; SIGHUP re-reads it)",
                 flags.tls_certificate, flags.tls_key);
  AddHostPort(app, "--admin", flags.admin,
              "/debug/config, /debug/rotations, /healthz, /readyz, /metrics")
      ->group(group);
  AddMetricsAndPortsFile(app, flags.metrics, flags.ports_file);
}

void DeclareTraffic(CLI::App& app, Flags& flags) {
  const std::string group = "Traffic";
  app.add_option("--threads", flags.threads,
                 "Event loops (0: the CPU quota of the control group, else the cores)")
      ->type_name("N")
      ->check(CLI::Range(0, 256))
      ->group(group);
  app.add_option(
         "--resolve", flags.resolve,
         "Connect to ADDRESS for HOST:PORT (split-horizon DNS); also permits a loopback address")
      ->type_name("HOST:PORT:ADDRESS[:PORT]")
      ->group(group);
  app.add_option("--upstream-ca", flags.upstream_ca,
                 "CA certificates to trust besides the system's (PEM)")
      ->type_name("FILE")
      ->group(group);
  AddHostPatterns(app, group, flags.sandbox_hosts, flags.production_hosts);
  app.add_flag("--allow-unauthenticated", flags.allow_unauthenticated,
               "Serve operations that are `secured` although nothing authenticates clients yet")
      ->group(group);
  AddDuration(app, "--drain-timeout", flags.drain_timeout,
              "On SIGTERM, how long open requests may take to finish")
      ->group(group);
}

void DeclareLimits(CLI::App& app, Flags& flags) {
  const std::string group = "Limits";
  engine::Limits& limits = flags.limits;
  app.add_option("--max-head-bytes", limits.head_bytes, "Request line and headers (431)")
      ->type_name("BYTES")
      ->group(group);
  app.add_option("--max-body-bytes", limits.body_bytes, "Request body (413)")
      ->type_name("BYTES")
      ->group(group);
  app.add_option("--max-held-bytes", limits.held_body_bytes,
                 "All request bodies held for a retry (503)")
      ->type_name("BYTES")
      ->group(group);
  app.add_option(
         "--max-requests-per-thread", limits.requests_per_loop,
         "Open requests of one thread (503; 0: from the file descriptor limit, at most 10000)")
      ->type_name("N")
      ->group(group);
  AddDuration(app, "--max-queue-wait", limits.queue_wait,
              "A thread whose events wait longer than this refuses one of twenty requests (503); "
              "0s: none")
      ->group(group);
  app.add_option("--max-idle-upstream", limits.idle_upstream_per_endpoint,
                 "Idle connections kept per thread and upstream")
      ->type_name("N")
      ->group(group);
  AddDuration(app, "--head-timeout", limits.head_time, "To send the request's head (408)")
      ->group(group);
  AddDuration(app, "--body-timeout", limits.body_read_time,
              "Between two parts of a request's body (408)")
      ->group(group);
  AddDuration(app, "--keep-alive-timeout", limits.keep_alive_time, "Idle client connections")
      ->group(group);
  AddDuration(app, "--connect-timeout", limits.connect_time,
              "To connect to an upstream, TLS included")
      ->group(group);
  AddDuration(app, "--first-byte-timeout", limits.first_byte_time,
              "Until an upstream's answer begins (504)")
      ->group(group);
  AddDuration(app, "--first-event-timeout", limits.first_event_time,
              "A stream's head is held back for its first event (then it is passed on without)")
      ->group(group);
  AddDuration(app, "--between-chunks-timeout", limits.between_chunks_time,
              "Between two parts of an answer")
      ->group(group);
}

void DeclareObservability(CLI::App& app, Flags& flags) {
  const std::string group = "Observability";
  app.add_option("--access-log", flags.access_log,
                 "A JSON line per request: a file, - (stdout) or off")
      ->type_name("FILE|-|off")
      ->group(group);
  app.add_option("--access-log-sample", flags.access_log_sample,
                 "Share of the requests logged; errors always are")
      ->type_name("0..1")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group);
  AddLogLevel(app, flags.log_level);
}

}  // namespace

void DeclareFlags(CommandLine& line, Flags& flags) {
  DeclareConfiguration(line.app(), flags);
  DeclareListeners(line.app(), flags);
  DeclareTraffic(line.app(), flags);
  DeclareLimits(line.app(), flags);
  DeclareObservability(line.app(), flags);
}

absl::Status CheckFlags(const Flags& flags) {
  if (flags.controllers.empty()) {
    return absl::InvalidArgumentError("no controller: give --controller HOST:PORT");
  }
  if (!flags.http && !flags.https) {
    return absl::InvalidArgumentError(
        "no listener: give --http HOST:PORT or --https HOST:PORT (or both)");
  }
  if (flags.tls_certificate.empty() != flags.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key go together: give both, or none for the certificates of the "
        "gateway's listeners");
  }
  if (flags.sync_tls_certificate.empty() != flags.sync_tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--sync-tls-cert and --sync-tls-key go together: give both or none");
  }
  if (!flags.token_file.empty() && flags.sync_tls_ca.empty()) {
    return absl::InvalidArgumentError(
        "--token-file is shown to a controller that is known only: give --sync-tls-ca");
  }
  if (!flags.state_key_file.empty() && flags.state_dir.empty()) {
    return absl::InvalidArgumentError(
        "--state-key-file encrypts what --state-dir keeps: give --state-dir too");
  }
  RETURN_IF_ERROR(CheckGateway(flags.gateway));
  for (const std::string& controller : flags.controllers) {
    ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(controller));
    const bool plaintext = flags.sync_tls_ca.empty() && flags.sync_tls_certificate.empty();
    if (plaintext && !flags.insecure && !IsLoopbackHost(address.host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--controller ", controller,
                       " is not on loopback and would carry credentials in plaintext: give "
                       "--sync-tls-ca (and --sync-tls-cert, --sync-tls-key), or --insecure"));
    }
  }
  for (const std::string& text : flags.resolve) {
    RETURN_IF_ERROR(engine::ParseResolveOverride(text).status());
  }
  return absl::OkStatus();
}

}  // namespace rota::dataplane
