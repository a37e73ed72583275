#include "controller/kube/config.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "controller/kube/server_url.h"

namespace rota::kube {

bool ClientConfig::has_credential() const {
  return !token.empty() || !token_file.empty() || !client_certificate_data.empty() ||
         !client_certificate_file.empty() || exec.has_value();
}

std::string ClientConfig::server() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return absl::StrCat(tls ? "https://" : "http://", bracketed ? "[" : "", host,
                      bracketed ? "]" : "", ":", port, path_prefix);
}

absl::StatusOr<ClientConfig> LoadInCluster(const ConfigSources& sources) {
  const std::optional<std::string> host = sources.environment("KUBERNETES_SERVICE_HOST");
  const std::optional<std::string> port = sources.environment("KUBERNETES_SERVICE_PORT");
  if (!host.has_value() || host->empty() || !port.has_value() || port->empty()) {
    return absl::NotFoundError(
        "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set");
  }
  ClientConfig config;
  config.origin = "in-cluster";
  config.host = *host;
  int number = 0;
  if (!absl::SimpleAtoi(*port, &number) || number < 1 || number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("KUBERNETES_SERVICE_PORT is \"", *port,
                                                   "\"; it must be a port number from 1 to 65535"));
  }
  config.port = static_cast<uint16_t>(number);
  config.token_file = sources.service_account_dir + "/token";
  config.ca_file = sources.service_account_dir + "/ca.crt";
  for (const std::string& path : {config.token_file, config.ca_file}) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
    if (absl::StripAsciiWhitespace(text).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is empty; check that the pod mounts a service account token"));
    }
  }
  if (const auto pod_namespace = sources.environment("POD_NAMESPACE");
      pod_namespace.has_value() && !pod_namespace->empty()) {
    config.default_namespace = *pod_namespace;
  } else if (const auto text = ReadFile(sources.service_account_dir + "/namespace", 4096);
             text.ok() && !absl::StripAsciiWhitespace(*text).empty()) {
    config.default_namespace = std::string(absl::StripAsciiWhitespace(*text));
  }
  return config;
}

absl::StatusOr<ClientConfig> LoadConfig(const std::string& explicit_path,
                                        const ConfigSources& sources) {
  if (!explicit_path.empty()) {
    if (::access(explicit_path.c_str(), F_OK) != 0) {
      return absl::NotFoundError(absl::StrCat("kubeconfig ", explicit_path, " does not exist"));
    }
    return LoadKubeconfig({explicit_path});
  }
  if (const auto list = sources.environment("KUBECONFIG"); list.has_value() && !list->empty()) {
    const std::vector<std::string> paths = absl::StrSplit(*list, ':', absl::SkipEmpty());
    return LoadKubeconfig(paths);
  }
  if (const auto home = sources.environment("HOME"); home.has_value() && !home->empty()) {
    const std::string path = *home + "/.kube/config";
    if (::access(path.c_str(), F_OK) == 0) {
      return LoadKubeconfig({path});
    }
  }
  absl::StatusOr<ClientConfig> in_cluster = LoadInCluster(sources);
  if (absl::IsNotFound(in_cluster.status()) &&
      !sources.environment("KUBERNETES_SERVICE_HOST").has_value()) {
    return absl::NotFoundError(
        "no Kubernetes configuration: give --kubeconfig FILE, set KUBECONFIG, create "
        "~/.kube/config, or run in a pod with a service account");
  }
  return in_cluster;
}

}  // namespace rota::kube
