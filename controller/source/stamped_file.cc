#include "controller/source/stamped_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace rota::source {
namespace {

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

FileStamp ToStamp(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim),
          Nanoseconds(info.st_ctim)};
}

struct OpenFile {
  int descriptor;
  ~OpenFile() {
    if (descriptor >= 0) {
      close(descriptor);
    }
  }
};

absl::Status CannotOpen(const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot open '", path, "': ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::PermissionDeniedError(message);
}

}  // namespace

std::optional<FileStamp> StampOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::nullopt;
  }
  return ToStamp(info);
}

absl::StatusOr<StampedText> ReadStamped(const std::string& path, size_t max_bytes) {
  // Not to wait for the writer of a pipe that has come in its place.
  const OpenFile file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat info;
  if (file.descriptor < 0 || fstat(file.descriptor, &info) != 0) {
    return CannotOpen(path, errno);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("'", path, "' is no regular file"));
  }
  absl::StatusOr<std::string> text = ReadDescriptor(file.descriptor, path, max_bytes);
  if (!text.ok()) {
    return text.status();
  }
  return StampedText{*std::move(text), ToStamp(info)};
}

}  // namespace rota::source
