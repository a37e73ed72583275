#pragma once

// What the Kubernetes tests share: a client from a configuration, waiting for a condition, and a
// small custom resource that exists for tests only.

#include <csignal>
#include <functional>
#include <memory>
#include <string>

#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/credentials.h"
#include "controller/kube/httplib_transport.h"

namespace rota::testing {

// Everything that a client consists of.
struct KubeClient {
  explicit KubeClient(kube::ClientConfig config)
      : credentials(std::move(config), clock), transport(credentials, clock), api(transport) {
    signal(SIGPIPE, SIG_IGN);  // as our programs do
  }
  RealClock clock;
  kube::Credentials credentials;
  kube::HttplibTransport transport;
  kube::KubeApi api;
};

// True as soon as `condition` is; false after `seconds`.
bool Eventually(const std::function<bool()>& condition, int seconds = 15);

inline kube::Resource Widgets() { return {"test.rota.dev", "v1", "widgets", "Widget"}; }
inline kube::Resource Secrets() { return {"", "v1", "secrets", "Secret"}; }

nlohmann::json Widget(const std::string& name, int size);
nlohmann::json SecretManifest(const std::string& name, const std::string& base64_value);
// The definition of Widgets: a status subresource, conditions keyed by type.
nlohmann::json WidgetDefinition();

}  // namespace rota::testing
