#pragma once

// --tls-mode auto, put together: the certificates that this installation issues to itself and the
// tokens that it checks, for the server and for what this replica dials.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/flags.h"
#include "controller/identity/keeper.h"
#include "controller/identity/kube_store.h"
#include "controller/identity/token_authenticator.h"
#include "controller/kube_connection.h"
#include "controller/serve/access.h"
#include "controller/serve/grpc_server.h"
#include "controller/serve/peer_dialler.h"
#include "prometheus/collectable.h"

namespace rota::controller {

// Who may ask for what. Reads --token-file, when one is given; the error names it.
absl::StatusOr<serve::AccessRules> AccessRulesOf(const Flags& flags);

// Start() and Stop() belong to one thread; the rest is thread-safe.
class IssuedIdentity final : public prometheus::Collectable {
 public:
  // `is_leader`: whether this replica looks after what is stored, or only shows it. `kube`, `clock`
  // and what `is_leader` refers to outlive it.
  static absl::StatusOr<std::unique_ptr<IssuedIdentity>> Start(const Flags& flags,
                                                               KubeConnection& kube, Clock& clock,
                                                               std::function<bool()> is_leader);

  void Use(serve::GrpcServerOptions& options);
  void Use(serve::PeerDiallerOptions& options) const;
  // Why this replica is not ready; "" when it has its certificate.
  std::string NotReady() const;
  // Streams that wait to be authenticated are ended. To be called before the server is shut down.
  void Stop() { authenticator_.Stop(); }
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  IssuedIdentity(const Flags& flags, KubeConnection& kube, Clock& clock);

  const std::string token_file_;
  identity::KubeStore store_;
  identity::TokenAuthenticator authenticator_;
  std::unique_ptr<identity::Keeper> keeper_;
};

}  // namespace rota::controller
