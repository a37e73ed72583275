#pragma once

// The Kubernetes client of this process: configuration, credentials, transport and calls, kept
// together.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/credentials.h"
#include "controller/kube/httplib_transport.h"

namespace rota::controller {

// Thread-safe.
class KubeConnection {
 public:
  // `kubeconfig` "" means the usual places. No request is made yet. `clock` outlives the
  // connection.
  static absl::StatusOr<std::unique_ptr<KubeConnection>> Open(const std::string& kubeconfig,
                                                              const Clock& clock);
  const kube::KubeApi& api() const { return api_; }
  kube::HttpTransport& transport() { return transport_; }
  // The pod's, or the one that the kubeconfig says.
  const std::string& default_namespace() const { return credentials_.config().default_namespace; }

 private:
  KubeConnection(kube::ClientConfig config, const Clock& clock);

  kube::Credentials credentials_;
  kube::HttplibTransport transport_;
  kube::KubeApi api_;
};

}  // namespace rota::controller
