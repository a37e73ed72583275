#include "controller/kube_connection.h"

#include <optional>
#include <utility>

#include "common/log.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "controller/kube/config.h"

namespace rota::controller {

absl::StatusOr<std::unique_ptr<KubeConnection>> KubeConnection::Open(const std::string& kubeconfig,
                                                                     const Clock& clock) {
  kube::ConfigSources sources;
  sources.environment = EnvironmentVariable;
  ASSIGN_OR_RETURN(kube::ClientConfig config, kube::LoadConfig(kubeconfig, sources));
  log::Info("kube", "using the Kubernetes API",
            {{"server", config.server()}, {"configuration", config.origin}});
  return std::unique_ptr<KubeConnection>(new KubeConnection(std::move(config), clock));
}

KubeConnection::KubeConnection(kube::ClientConfig config, const Clock& clock)
    : credentials_(std::move(config), clock), transport_(credentials_, clock), api_(transport_) {}

}  // namespace rota::controller
