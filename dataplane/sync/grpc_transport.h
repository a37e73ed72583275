#pragma once

// SyncTransport over gRPC. Every try is a new connection, so that the client's own back-off is the
// only one and every try resolves names again. Certificates are read again when their files change.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/address.h"
#include "common/clock.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::sync {

struct GrpcTransportOptions {
  std::vector<HostPort> controllers;  // --controller
  // Without any of the three: plaintext, to loopback only unless `insecure`. Certificate and key
  // belong together; without a CA the system's are trusted.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_ca;
  std::string token_file;  // --token-file; needs a CA
  bool insecure = false;
  Duration certificate_refresh = std::chrono::seconds(10);
  int max_receive_bytes = 16 << 20;  // one chunk with one large resource
};

// An error names the option or file at fault. The transport's destructor waits for its streams to
// end.
absl::StatusOr<std::unique_ptr<SyncTransport>> MakeGrpcTransport(
    const GrpcTransportOptions& options);

}  // namespace rota::sync
