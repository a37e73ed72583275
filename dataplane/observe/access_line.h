#pragma once

// One AccessRecord as a JSON line. Text of the client's (path, host, method, id) is escaped, made
// valid UTF-8 and cut to a bounded length. Pure; thread-safe.

#include <string>

#include "common/clock.h"
#include "dataplane/observe/access_log.h"

namespace rota::observe {

// No field of a line is longer than this many bytes of its source.
inline constexpr size_t kMaxFieldBytes = 2048;

// Appends {"ts":"2026-11-21T10:00:00.123Z","id":...,...} and a newline. Empty fields are left out;
// durations are in milliseconds with microsecond digits.
void AppendAccessLine(const AccessRecord& record, WallTime time, std::string& line);

// Appends `text` as a JSON string with its quotes.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace rota::observe
