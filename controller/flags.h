#pragma once

// The command line of rota-controller. People script against these names: docs/reference/flags.md.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/command_line.h"

namespace rota::controller {

// Of --listen.
enum class TlsMode {
  kPlaintext,
  kFiles,  // certificates on both sides, from files
  kAuto,   // issued by this installation itself; data planes show tokens
};

struct Flags {
  // Source.
  std::string source;  // "dir:PATH" or "kube"
  std::string kubeconfig;
  std::vector<std::string> namespaces;      // empty = all
  std::string streaming_list = "auto";      // or "off"
  std::string secret_access = "namespace";  // or "named"
  std::string gateway = "default/default";

  // Which of several replicas writes statuses and Events to Kubernetes.
  std::string leader_elect = "on";  // or "off"
  std::string lease_namespace;      // "": of the pod, or of the kubeconfig's context
  std::string lease_name = "rota-controller";

  // Listeners.
  std::optional<HostPort> listen = HostPort{"127.0.0.1", 9900};
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
  bool insecure = false;
  std::string tls_mode;  // "auto", "files"; "": see tls()
  std::vector<std::string> tls_dns_names;
  std::string tls_namespace;  // "": the pod's own, or the kubeconfig's
  std::string tls_objects = "rota";
  Duration tls_ca_life = std::chrono::hours(365 * 24);
  Duration tls_certificate_life = std::chrono::hours(7 * 24);
  Duration tls_ca_overlap = std::chrono::hours(1);
  std::vector<std::string> allow_service_accounts;  // GATEWAY=NAMESPACE/NAME
  std::string token_file;
  std::optional<HostPort> admin = HostPort{"127.0.0.1", 9902};
  std::optional<HostPort> metrics;
  std::string ports_file;
  std::vector<std::string> peers;  // HOST:PORT of the --listen of other replicas

  // Hosts; they travel in the snapshot.
  std::vector<std::string> sandbox_hosts;
  std::vector<std::string> production_hosts;
  // Upstreams on loopback and link-local addresses: allowed in directory mode, else only when asked
  // for.
  bool allow_local_upstreams = false;
  // Whose APIs may use the data planes' cloud identities.
  std::vector<std::string> ambient_identity_namespaces;

  std::string log_level = "info";

  // The directory of --source dir:PATH; nullopt for kube. REQUIRES: CheckFlags() was ok.
  std::optional<std::string> directory() const;
  TlsMode tls() const;
};

// Declares every option of `flags` on `line`.
void DeclareFlags(CommandLine& line, Flags& flags);

// What no single option can say: combinations. The message names the options and the fix.
absl::Status CheckFlags(const Flags& flags);

}  // namespace rota::controller
