#pragma once

// "When may I come back" as providers write it. Pure and thread-safe. What cannot be read says
// nothing; times in the past are zero; nothing is longer than kLongestReset.

#include <optional>
#include <string_view>

#include "common/clock.h"

namespace rota::provider {

inline constexpr Duration kLongestReset = std::chrono::hours(24 * 366);

// Retry-After: seconds (also "1.5") or an HTTP date in any of its three forms.
std::optional<Duration> ParseRetryAfter(std::string_view text, WallTime now);
// retry-after-ms: milliseconds.
std::optional<Duration> ParseMilliseconds(std::string_view text);
// x-ratelimit-reset-*, anthropic-ratelimit-*-reset, retryDelay: "120ms", "6m0s", "34.4s", "11.38"
// (seconds), RFC 3339, or the seconds or milliseconds since 1970.
std::optional<Duration> ParseReset(std::string_view text, WallTime now);

}  // namespace rota::provider
