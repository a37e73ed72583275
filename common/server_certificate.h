#pragma once

// A server's certificate (PEM: its own first, then the chain) and its key (PEM, no passphrase), as
// OpenSSL takes them. The controller checks with the same code what data planes serve with.
//
// Thread-safe (no state). No error quotes what it could not read.

#include <openssl/ssl.h>

#include <string_view>

#include "absl/status/status.h"

namespace rota {

// InvalidArgument says what is wrong: no certificate, no key, a key of another certificate.
absl::Status UseServerCertificate(SSL_CTX* context, std::string_view chain, std::string_view key);

// The same verdict without a context.
absl::Status CheckServerCertificate(std::string_view chain, std::string_view key);

}  // namespace rota
