#pragma once

// Asks a token service once: reads the token's file, sends the request, reads the answer. Blocks;
// thread-safe. What held a secret on the way is wiped.

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

// What servers are trusted by: made when it is needed first, since the public CAs take memory.
using TlsContext = std::function<absl::StatusOr<std::shared_ptr<SSL_CTX>>()>;

// The error says who was asked, and what went wrong.
absl::StatusOr<Grant> Fetch(const TokenService& service, const TlsContext& tls, const Clock& clock,
                            std::stop_token stop);

}  // namespace rota::cloud
