#pragma once

// Whole files, bounded on the way in and atomic on the way out. Thread-safe.

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace rota {

// The content of `path`. NotFound, PermissionDenied, or ResourceExhausted when it is larger than
// `max_bytes`; the message names the file and says what the operating system said.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = 64 << 20);

// What is left to read of an open file, which is called `path` in messages. Errors as above.
absl::StatusOr<std::string> ReadDescriptor(int descriptor, const std::string& path,
                                           size_t max_bytes);

// Replaces `path` in one step (temporary file in the same folder, fsync, rename): a reader sees the
// old content or the new one, also after a crash.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content,
                                 mode_t mode = 0600);

}  // namespace rota
