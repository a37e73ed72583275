#pragma once

// Where the Kubernetes API is and how we identify ourselves: a kubeconfig file or the in-cluster
// service account. Reading only; Credentials keeps what changes (tokens, certificates) fresh.
//
// Precedence: explicit path, $KUBECONFIG (colon list, the first file that names a thing wins),
// ~/.kube/config, in-cluster. What Rota does not support (proxy-url, username/password,
// auth-provider, impersonation) is an error that names it. No credential is ever accepted for an
// http:// server. Thread-safe (pure functions over files).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/secret.h"

namespace rota::kube {

// A credential plugin: `users[].user.exec`.
struct ExecPlugin {
  std::string api_version;  // client.authentication.k8s.io/v1 or v1beta1
  std::string command;      // absolute, or a name that PATH resolves
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string install_hint;
  bool provide_cluster_info = false;
};

// Either inline bytes or a file that is read again when it changes; inline wins.
struct ClientConfig {
  std::string origin;  // "kubeconfig /home/a/.kube/config, context prod" or "in-cluster"

  bool tls = true;
  std::string host;  // no brackets
  uint16_t port = 443;
  std::string path_prefix;      // "" or "/k8s/clusters/c-1", no trailing slash
  std::string tls_server_name;  // "": host
  bool insecure_skip_tls_verify = false;
  std::string ca_data;  // PEM; with no CA at all the system's roots count
  std::string ca_file;

  SecretString token;
  std::string token_file;               // wins over `token`
  std::string client_certificate_data;  // PEM
  std::string client_certificate_file;
  SecretString client_key_data;  // PEM
  std::string client_key_file;
  std::optional<ExecPlugin> exec;

  std::string default_namespace = "default";

  bool has_credential() const;
  // "https://host:port/prefix", for messages.
  std::string server() const;
};

// What is read from the process and the machine; injected, so that tests have their own.
struct ConfigSources {
  // The value of an environment variable, nullopt when unset.
  std::function<std::optional<std::string>(const std::string&)> environment;
  std::string service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Loads by the precedence above; `explicit_path` "" means none was given. NotFound when there is no
// configuration at all (the message names the four places), InvalidArgument names file and field.
absl::StatusOr<ClientConfig> LoadConfig(const std::string& explicit_path,
                                        const ConfigSources& sources);

// The parts, for tests. `paths` in order of precedence; files that do not exist are passed over.
absl::StatusOr<ClientConfig> LoadKubeconfig(const std::vector<std::string>& paths);
absl::StatusOr<ClientConfig> LoadInCluster(const ConfigSources& sources);

}  // namespace rota::kube
