#pragma once

// SyncService, and PeerExchange, over gRPC: listens, checks certificates, one reactor per stream.
// Certificates are read again when their files change, or taken from memory for each connection;
// streams that are open keep the old ones until they reach their maximum age.
//
// Thread-safe. Start() fails with a message that names the option or file at fault.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/published.h"
#include "controller/serve/authenticator.h"
#include "controller/serve/peer_exchange.h"
#include "controller/serve/serving_certificate.h"
#include "controller/serve/sync_service.h"

namespace rota::serve {

struct GrpcServerOptions {
  HostPort listen;
  // All three, or none: then plaintext, on loopback only unless `insecure`.
  std::string tls_cert;       // --tls-cert: PEM, chain
  std::string tls_key;        // --tls-key
  std::string tls_client_ca;  // --tls-client-ca: data planes must show a certificate of it
  bool insecure = false;      // --insecure
  // In place of the files: the newest certificate of each moment, and no client certificates. Only
  // together with an authenticator.
  const Published<ServingCertificate>* issued = nullptr;
  // Asked about every stream before it is read; null: the transport's word is enough.
  Authenticator* authenticator = nullptr;
  Duration certificate_refresh = std::chrono::seconds(10);
  Duration max_connection_age = std::chrono::minutes(30);  // moves data planes to other replicas
  Duration max_connection_grace = std::chrono::seconds(30);
  int max_receive_bytes = 16 << 20;  // Hello carries the inventory
};

class GrpcServer {
 public:
  // All outlive the server, what `options` points to included. Without `peers` other replicas are
  // not served. Shutdown() waits for the authenticator's answers.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           SyncService& service, Clock& clock,
                                                           PeerExchange* peers = nullptr);
  // Shutdown without grace.
  ~GrpcServer();
  // The address that is listened on, with the port that was chosen.
  const HostPort& address() const;
  // Refuses new streams, lets open ones end for `grace`, then cancels them. Returns when all are
  // gone.
  void Shutdown(Duration grace);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rota::serve
