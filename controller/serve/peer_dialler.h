#pragma once

// PeerDialler over gRPC. A HOST that stands for several addresses (a headless Service) gives a
// stream to each of them; the certificate has to be good for HOST all the same.
//
// Same TLS as the server's own. With files, the certificate that data planes are shown is the
// client's certificate here, and the CA of their certificates is the one that peers' are checked
// against. With issued certificates, peers are checked against what data planes trust, and this
// replica shows a token of its own.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/address.h"
#include "controller/serve/peer_exchange.h"

namespace rota::serve {

struct PeerDiallerOptions {
  std::vector<HostPort> peers;  // --peers
  // All three, or none: then plaintext, to loopback only unless `insecure`.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  bool insecure = false;
  // In place of the files: what is trusted (PEM) at the moment of each new connection; nothing is
  // dialled while it is empty. Thread-safe.
  std::function<std::string()> trust;
  std::string token_file;  // --token-file; goes with `trust`
  Duration certificate_refresh = std::chrono::seconds(10);
  Duration resolve_interval = std::chrono::seconds(10);
};

// An error names the option or file at fault. `clock` outlives the dialler, which looks names up on
// a thread of its own: that may take long.
absl::StatusOr<std::unique_ptr<PeerDialler>> MakePeerDialler(const PeerDiallerOptions& options,
                                                             Clock& clock);

}  // namespace rota::serve
