#pragma once

// gRPC server credentials whose certificate is a value in memory: every new connection is shown the
// newest one, open connections go on with theirs. No file ever holds the key.
//
// gRPC 1.51 has no certificate provider that can be given new bytes; its C interface has a fetcher
// that is asked before each handshake (grpc_ssl_server_certificate_config_callback), which C++ does
// not wrap. That is what stands behind this (docs/decisions/0014-issued-certificates.md).
//
// Thread-safe.

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "common/published.h"
#include "controller/serve/serving_certificate.h"

namespace rota::serve {

// Clients are not asked for certificates. REQUIRES: something is published. Both `certificate` and
// the result outlive the server that listens with them.
std::shared_ptr<grpc::ServerCredentials> IssuedCredentials(
    const Published<ServingCertificate>& certificate);

}  // namespace rota::serve
