#pragma once

// The seam at which a stream's credentials become an identity, before anything of it is read.
// Without an authenticator the transport's word is enough: nobody's on loopback, the client
// certificate's with mutual TLS.

#include <functional>

#include "absl/status/statusor.h"
#include "common/secret.h"
#include "controller/serve/access.h"

namespace rota::serve {

// Thread-safe.
class Authenticator {
 public:
  // UNAUTHENTICATED: the credentials are no good; UNAVAILABLE: that cannot be said now.
  using Done = std::function<void(absl::StatusOr<PeerIdentity>)>;

  virtual ~Authenticator() = default;
  // `peer` is what the transport knows, `authorization` the metadata of that name ("": none came).
  // Never blocks. Calls `done` exactly once: from any thread, maybe before it returns.
  virtual void Authenticate(PeerIdentity peer, SecretString authorization, Done done) = 0;
};

}  // namespace rota::serve
