#include "controller/flags.h"

#include "absl/strings/str_cat.h"
#include "common/server_flags.h"
#include "common/status_macros.h"
#include "controller/identity/plan.h"

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
  app.add_option(
         "--streaming-list", flags.streaming_list,
         "How --source kube reads what exists: as one stream where the API server can, else "
         "in pages; off: always in pages")
      ->check(CLI::IsMember({"auto", "off"}))
      ->type_name("auto|off")
      ->group(group);
  app.add_option("--secret-access", flags.secret_access,
                 "How --source kube watches Secrets: names and versions of whole namespaces, or "
                 "each referenced one by itself, for a Role with resourceNames")
      ->check(CLI::IsMember({"namespace", "named"}))
      ->type_name("namespace|named")
      ->group(group);
  AddGateway(app, group, "The gateway that is served", flags.gateway);
}

void DeclareLease(CLI::App& app, Flags& flags) {
  const std::string group = "Leader (--source kube)";
  app.add_option("--leader-elect", flags.leader_elect,
                 "Write statuses, Events and certificates only while holding a Lease; off: this is "
                 "the only replica")
      ->check(CLI::IsMember({"on", "off"}))
      ->type_name("on|off")
      ->group(group);
  app.add_option("--lease-namespace", flags.lease_namespace,
                 "Namespace of the Lease (default: the pod's, or that of the kubeconfig's context)")
      ->type_name("NS")
      ->group(group);
  app.add_option("--lease-name", flags.lease_name,
                 "Name of the Lease; controllers that serve other gateways or namespaces need "
                 "another one")
      ->type_name("NAME")
      ->group(group);
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

void DeclareIdentity(CLI::App& app, Flags& flags) {
  const std::string group = "Certificates of --listen";
  app.add_option("--tls-mode", flags.tls_mode,
                 "auto: issued by this installation itself, data planes show tokens; files: "
                 "--tls-cert, --tls-key and --tls-client-ca (default: files when they are given, "
                 "auto with --source kube on an address that is not loopback)")
      ->type_name("auto|files")
      ->check(CLI::IsMember({"auto", "files"}))
      ->group(group);
  app.add_option("--tls-dns-names", flags.tls_dns_names,
                 "Names that data planes and other replicas call this controller by; repeatable")
      ->type_name("NAME,...")
      ->delimiter(',')
      ->group(group);
  app.add_option("--tls-namespace", flags.tls_namespace,
                 "Where CA, bundle and certificate are kept (default: the pod's own namespace)")
      ->type_name("NS")
      ->group(group);
  app.add_option("--tls-objects", flags.tls_objects,
                 "They are called PREFIX-ca, PREFIX-ca-bundle and PREFIX-controller-tls")
      ->type_name("PREFIX")
      ->capture_default_str()
      ->group(group);
  AddDuration(app, "--tls-ca-life", flags.tls_ca_life, "Of a CA; renewed at two thirds")
      ->group(group);
  AddDuration(app, "--tls-certificate-life", flags.tls_certificate_life,
              "Of the certificate; renewed at two thirds")
      ->group(group);
  AddDuration(app, "--tls-ca-overlap", flags.tls_ca_overlap,
              "How long a new CA is in the bundle before it signs; at least 10m in a cluster")
      ->group(group);
  app.add_option("--allow-service-account", flags.allow_service_accounts,
                 "ServiceAccount whose data planes may have that gateway's configuration; "
                 "repeatable (default: rota-dataplane of the gateway's namespace)")
      ->type_name("GATEWAY=NAMESPACE/NAME")
      ->group(group);
  app.add_option("--token-file", flags.token_file,
                 "This controller's own ServiceAccount token of audience rota-sync, for --peers; "
                 "re-read for every connection")
      ->type_name("FILE")
      ->group(group);
}

void DeclareGateway(CLI::App& app, Flags& flags) {
  const std::string group = "Gateway";
  AddHostPatterns(app, group, flags.sandbox_hosts, flags.production_hosts);
  app.add_flag("--allow-local-upstreams", flags.allow_local_upstreams,
               "Let APIs use upstreams on loopback and link-local addresses (always so with "
               "--source dir:)")
      ->group(group);
  app.add_option("--ambient-identity-namespace", flags.ambient_identity_namespaces,
                 "Namespace whose APIs may use the cloud identity of the data planes; repeatable "
                 "(default: none)")
      ->type_name("NS")
      ->group(group);
}

// "NAMESPACE/NAME".
bool IsQualified(const std::string& name) {
  const size_t slash = name.find('/');
  return slash != std::string::npos && slash != 0 && slash + 1 != name.size() &&
         name.find('/', slash + 1) == std::string::npos;
}

absl::Status CheckFiles(const Flags& flags) {
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
  if (flags.tls() == TlsMode::kPlaintext && !flags.insecure &&
      !IsLoopbackHost(flags.listen->host)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", flags.listen->ToString(),
                     " is not loopback and would carry credentials in plaintext: "
                     "give --tls-cert, --tls-key and --tls-client-ca, or --insecure"));
  }
  if (flags.tls() == TlsMode::kFiles && flags.tls_certificate.empty()) {
    return absl::InvalidArgumentError(
        "--tls-mode files needs --tls-cert, --tls-key and --tls-client-ca");
  }
  return absl::OkStatus();
}

absl::Status CheckIssued(const Flags& flags) {
  if (flags.directory()) {
    return absl::InvalidArgumentError(
        "--tls-mode auto keeps its CA in Kubernetes: it needs --source kube");
  }
  if (!flags.tls_certificate.empty() || !flags.tls_client_ca.empty() || flags.insecure) {
    return absl::InvalidArgumentError(
        "--tls-mode auto issues its own certificates: leave --tls-cert, --tls-key, "
        "--tls-client-ca and --insecure out");
  }
  if (flags.tls_dns_names.empty()) {
    return absl::InvalidArgumentError(
        "the certificate of --listen is issued here: give --tls-dns-names with the names that data "
        "planes call this controller by; or give --tls-cert, --tls-key and --tls-client-ca, or "
        "--insecure");
  }
  for (const std::string& name : flags.tls_dns_names) {
    if (!identity::IsDnsName(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tls-dns-names: '", name, "' is no DNS name (a-z, 0-9, '-', '.')"));
    }
  }
  if (flags.tls_dns_names.size() > identity::kMaxDnsNames) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-dns-names: at most ", identity::kMaxDnsNames, " names"));
  }
  if (flags.tls_ca_overlap + flags.tls_certificate_life > flags.tls_ca_life / 2) {
    return absl::InvalidArgumentError(
        "--tls-ca-overlap and --tls-certificate-life together must not be longer than half of "
        "--tls-ca-life: a CA is replaced before the next one is");
  }
  if (!flags.peers.empty() && flags.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--peers with --tls-mode auto needs --token-file: other replicas want to see a token");
  }
  return absl::OkStatus();
}

absl::Status CheckIdentity(const Flags& flags) {
  for (const std::string& rule : flags.allow_service_accounts) {
    const size_t equals = rule.find('=');
    if (equals == std::string::npos || !IsQualified(rule.substr(0, equals)) ||
        !IsQualified(rule.substr(equals + 1))) {
      return absl::InvalidArgumentError(absl::StrCat("--allow-service-account '", rule,
                                                     "' is not GATEWAY=NAMESPACE/NAME, with a "
                                                     "gateway that is NAMESPACE/NAME itself"));
    }
  }
  if (flags.tls() == TlsMode::kAuto) {
    return CheckIssued(flags);
  }
  if (!flags.tls_dns_names.empty() || !flags.allow_service_accounts.empty() ||
      !flags.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--tls-dns-names, --allow-service-account and --token-file belong to --tls-mode auto");
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<std::string> Flags::directory() const {
  return source.rfind(kDirectoryPrefix, 0) == 0
             ? std::optional<std::string>(source.substr(sizeof kDirectoryPrefix - 1))
             : std::nullopt;
}

TlsMode Flags::tls() const {
  if (tls_mode == "auto") {
    return TlsMode::kAuto;
  }
  if (tls_mode == "files" || !tls_certificate.empty()) {
    return TlsMode::kFiles;
  }
  return directory() || insecure || IsLoopbackHost(listen->host) ? TlsMode::kPlaintext
                                                                 : TlsMode::kAuto;
}

void DeclareFlags(CommandLine& line, Flags& flags) {
  DeclareSource(line.app(), flags);
  DeclareLease(line.app(), flags);
  DeclareListeners(line.app(), flags);
  DeclareIdentity(line.app(), flags);
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
  RETURN_IF_ERROR(CheckFiles(flags));
  RETURN_IF_ERROR(CheckIdentity(flags));
  if (flags.lease_name.empty()) {
    return absl::InvalidArgumentError("--lease-name is empty; leave it out for rota-controller");
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
