#pragma once

// Puts our trust and identity into the OpenSSL context of one client connection. Thread-compatible.

#include <openssl/ssl.h>

#include <string>

#include "absl/status/status.h"
#include "controller/kube/credentials.h"

namespace rota::kube {

// TLS 1.2 or newer, the CA bundle and nothing else (the context's own store is replaced when there
// is one), the client certificate with its chain, and `name` (DNS name or IP address) as what the
// server's certificate must be for. InvalidArgument says which piece is not usable PEM.
absl::Status ConfigureClientContext(SSL_CTX* context, const TlsMaterial& material,
                                    const std::string& name);

}  // namespace rota::kube
