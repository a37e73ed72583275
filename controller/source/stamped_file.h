#pragma once

// A file's content together with what tells whether the file has become another one since: taken
// from the descriptor that was read, because the path may mean another file from one moment to the
// next (the links of a projected volume, a rename). Thread-safe, throws nothing.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace rota::source {

struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

struct StampedText {
  std::string text;
  FileStamp stamp;  // before the first byte was read
};

// Of what `path` means now, links followed. nullopt: no regular file, or none that can be looked
// at.
std::optional<FileStamp> StampOf(const std::string& path);

// FailedPrecondition when it is no regular file; other errors as ReadFile().
absl::StatusOr<StampedText> ReadStamped(const std::string& path, size_t max_bytes);

using StampedReader =
    std::function<absl::StatusOr<StampedText>(const std::string& path, size_t max_bytes)>;

}  // namespace rota::source
