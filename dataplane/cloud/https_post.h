#pragma once

// One POST to a token service, on a connection of its own, for threads that may block. The server's
// certificate is verified for its name; redirects are not followed; it takes at most kPostTime,
// name resolution apart. Thread-safe.

#include <openssl/ssl.h>

#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

inline constexpr Duration kPostTime = std::chrono::seconds(10);

// REQUIRES: `tls` verifies its peers (engine::ClientTls). Unavailable and DeadlineExceeded say what
// went wrong; Cancelled: `stop`, which ends it at once but for name resolution.
absl::StatusOr<TokenAnswer> Post(const TokenRequest& request, const std::shared_ptr<SSL_CTX>& tls,
                                 const Clock& clock, std::stop_token stop);

}  // namespace rota::cloud
