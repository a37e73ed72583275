#include "controller/flags.h"

#include "absl/strings/str_cat.h"
#include "common/server_flags.h"

namespace rota::controller {
namespace {

constexpr char kDirectoryPrefix[] = "dir:";

void DeclareSource(CLI::App& app, Flags& flags) {
  const std::string group = "Source";
  app.add_option(
         "--source", flags.source,
         "Where APIs and Secrets come from: a directory of YAML files, or the Kubernetes API")
      ->type_name("dir:PATH|kube")
      ->group(group);
  app.add_option("--kubeconfig", flags.kubeconfig,
                 "Kubeconfig of --source kube (default: $KUBECONFIG, ~/.kube/config, then the "
                 "pod's service account)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--namespace", flags.namespaces, "Namespace to watch; repeatable (default: all)")
      ->type_name("NS")
      ->group(group);
  AddGateway(app, group, "The gateway that is served", flags.gateway);
}

void DeclareListeners(CLI::App& app, Flags& flags) {
  const std::string group = kListenerGroup;
  AddHostPort(app, "--listen", flags.listen, "gRPC for data planes")->group(group);
  AddCertificate(app, "Certificate of --listen (PEM; re-read when it changes)",
                 flags.tls_certificate, flags.tls_key);
  app.add_option("--tls-client-ca", flags.tls_client_ca,
                 "CA of the data planes' client certificates (PEM)")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--insecure", flags.insecure, "Allow plaintext on an address that is not loopback")
      ->group(group);
  app.add_option("--peers", flags.peers,
                 "--listen of the other replicas, to exchange suspensions with; a name may stand "
                 "for several addresses, this replica's own among them")
      ->type_name("HOST:PORT,...")
      ->delimiter(',')
      ->group(group);
  AddHostPort(app, "--admin", flags.admin,
              "/debug/status, /debug/fleet, /healthz, /readyz, /metrics")
      ->group(group);
  AddMetricsAndPortsFile(app, flags.metrics, flags.ports_file);
}

void DeclareGateway(CLI::App& app, Flags& flags) {
  const std::string group = "Gateway";
  AddHostPatterns(app, group, flags.sandbox_hosts, flags.production_hosts);
  app.add_flag("--allow-local-upstreams", flags.allow_local_upstreams,
               "Let APIs use upstreams on loopback and link-local addresses (always so with "
               "--source dir:)")
      ->group(group);
}

}  // namespace

std::optional<std::string> Flags::directory() const {
  return source.rfind(kDirectoryPrefix, 0) == 0
             ? std::optional<std::string>(source.substr(sizeof kDirectoryPrefix - 1))
             : std::nullopt;
}

void DeclareFlags(CommandLine& line, Flags& flags) {
  DeclareSource(line.app(), flags);
  DeclareListeners(line.app(), flags);
  DeclareGateway(line.app(), flags);
  AddLogLevel(line.app(), flags.log_level);
}

absl::Status CheckFlags(const Flags& flags) {
  if (flags.source.empty()) {
    return absl::InvalidArgumentError("no source of APIs: give --source dir:PATH or --source kube");
  }
  if (flags.source != "kube" && (!flags.directory() || flags.directory()->empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat("--source '", flags.source, "' is unknown: use dir:PATH or kube"));
  }
  if (flags.directory() && !(flags.kubeconfig.empty() && flags.namespaces.empty())) {
    return absl::InvalidArgumentError(
        "--kubeconfig and --namespace belong to --source kube, not to a directory");
  }
  if (flags.tls_certificate.empty() != flags.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together: give both or none");
  }
  if (flags.tls_certificate.empty() && !flags.tls_client_ca.empty()) {
    return absl::InvalidArgumentError("--tls-client-ca needs --tls-cert and --tls-key");
  }
  if (!flags.tls_certificate.empty() && flags.tls_client_ca.empty() && !flags.insecure) {
    return absl::InvalidArgumentError(
        "without --tls-client-ca every client that can connect is given the credentials: give the "
        "CA of the data "
        "planes' certificates, or --insecure");
  }
  if (flags.tls_certificate.empty() && !flags.insecure && !IsLoopbackHost(flags.listen->host)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", flags.listen->ToString(),
                     " is not loopback and would carry credentials in plaintext: "
                     "give --tls-cert, --tls-key and --tls-client-ca, or --insecure"));
  }
  for (const std::string& peer : flags.peers) {
    const absl::StatusOr<HostPort> address = ParseHostPort(peer);
    if (!address.ok() || address->port == 0 || peer.front() == ':') {
      return absl::InvalidArgumentError(
          absl::StrCat("--peers '", peer, "' is not HOST:PORT of another replica"));
    }
  }
  return CheckGateway(flags.gateway);
}

}  // namespace rota::controller
