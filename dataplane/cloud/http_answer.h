#pragma once

// The answer of a token service out of the bytes that have come so far. Pure and thread-safe.

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

// Head and body together; token services answer with a few KiB.
inline constexpr size_t kMaxAnswerBytes = 64 << 10;

// nullopt: more is to come. `is_all`: nothing is, the peer has closed. Unavailable: the bytes are
// no HTTP/1.1, too many, or cut off.
absl::StatusOr<std::optional<TokenAnswer>> ParseAnswer(std::string_view bytes, bool is_all);

}  // namespace rota::cloud
