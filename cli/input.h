#pragma once

// Standard input as a text, bounded. Single-thread.

#include <cstddef>
#include <iosfwd>
#include <string>

#include "absl/status/statusor.h"

namespace rota::cli {

inline constexpr size_t kMaxFileBytes = 32 << 20;  // of one file, and of standard input

// Everything that comes. ResourceExhausted when it is more than `max_bytes`.
absl::StatusOr<std::string> ReadAll(std::istream& in, size_t max_bytes);

}  // namespace rota::cli
