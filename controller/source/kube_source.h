#pragma once

// Objects from the Kubernetes API: the RotaGateways and APIs of all namespaces or of a list, and
// the Secrets that they refer to. Of Secrets it watches names and versions only, per namespace that
// holds a referenced one (or of each referenced one by itself), and reads the few that are
// referenced; of these it keeps nothing.
//
// Order: OnSynced(kApi), then the owner of the sink calls SetSecretReferences (also when there are
// none), and when each referenced Secret is known or known to be absent: OnSynced(kSecret). A watch
// that fails keeps the last values; only the server's word that an object is gone is OnDeleted. An
// object is emitted again when its generation changes, not when its status or its labels do. A
// server without the definition of RotaGateways has none, until it is installed. Namespaces are
// watched, by their metadata, from WantNamespaces() on; who may not list them has none.
//
// Thread-safe. The sink is called from several threads, one at a time, under a lock of its own: it
// may call SetSecretReferences, WantNamespaces and Health, not Stop.

#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/reflector.h"
#include "controller/source/source.h"

namespace rota::source {

// apis.gateway.rota.dev/v1alpha1.
kube::Resource ApiResource();
// rotagateways.gateway.rota.dev/v1alpha1.
kube::Resource GatewayResource();
// namespaces/v1.
kube::Resource NamespaceResource();

// How Secrets are watched: whole namespaces (names and versions only), or one by one, which a Role
// that names them is enough for.
enum class SecretAccess { kNamespace, kNamed };

struct KubeSourceOptions {
  std::vector<std::string> namespaces;  // empty: all
  kube::ReflectorOptions reflector;
  int secret_readers = 4;
  // How long the first reading of a Secret waits for the watch to say its version.
  Duration first_read_grace = std::chrono::seconds(2);
  // Namespaces with referenced Secrets that get a watch each; with more than this one watch over
  // all namespaces takes their place, which needs a ClusterRole.
  size_t max_secret_watches = 64;
  SecretAccess secret_access = SecretAccess::kNamespace;
  // With kNamed: each costs a connection and a thread. Those that come later by name are not read.
  size_t max_named_secrets = 128;
  // Namespaces whose ReferenceGrants are watched: those with Secrets or Services that APIs of
  // others refer to.
  size_t max_granting_namespaces = 64;
  // How long after OnSynced(kApi) a silent owner is taken to refer to no further Secret.
  Duration reference_grace = std::chrono::seconds(5);
};

class KubeSource final : public Source {
 public:
  // Everything passed by reference must outlive the source.
  KubeSource(const kube::KubeApi& api, Clock& clock, KubeSourceOptions options = {});
  ~KubeSource() override;

  absl::Status Start(ObjectSink& sink) override;
  void Stop() override;
  void SetSecretReferences(SecretReferences references) override;
  void Recheck() override;
  void WantNamespaces() override;
  SourceHealth Health() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rota::source
