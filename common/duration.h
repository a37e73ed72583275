#pragma once

// Durations as people write them (design rule of the API): integer seconds or a string with units.
// Thread-safe (pure functions).

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/clock.h"

namespace rota {

// "60" (seconds), "1m", "1.5s", "120ms", "6m0s", "1h30m", "500us". Never negative; InvalidArgument
// names the text and the accepted forms.
absl::StatusOr<Duration> ParseDuration(std::string_view text);

// The shortest of the same forms: "1m30s", "250ms", "0s".
std::string FormatDuration(Duration duration);

}  // namespace rota
