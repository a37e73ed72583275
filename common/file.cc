#include "common/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace rota {
namespace {

absl::Status ErrnoStatus(int error, std::string_view what, const std::string& path) {
  const std::string message =
      absl::StrCat("cannot ", std::string(what), " '", path, "': ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

// Closes on scope exit.
struct FileDescriptor {
  int fd;
  ~FileDescriptor() {
    if (fd >= 0) {
      close(fd);
    }
  }
};

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  FileDescriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    return ErrnoStatus(errno, "open", path);
  }
  return ReadDescriptor(file.fd, path, max_bytes);
}

absl::StatusOr<std::string> ReadDescriptor(int descriptor, const std::string& path,
                                           size_t max_bytes) {
  std::string content;
  char buffer[16384];
  while (true) {
    const ssize_t got = read(descriptor, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoStatus(errno, "read", path);
    }
    if (got == 0) {
      return content;
    }
    content.append(buffer, static_cast<size_t>(got));
    if (content.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("'", path, "' is larger than ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  {
    FileDescriptor file{open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)};
    if (file.fd < 0) {
      return ErrnoStatus(errno, "create", temporary);
    }
    while (!content.empty()) {
      const ssize_t written = write(file.fd, content.data(), content.size());
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written < 0) {
        const int error = errno;
        unlink(temporary.c_str());
        return ErrnoStatus(error, "write", temporary);
      }
      content.remove_prefix(static_cast<size_t>(written));
    }
    if (fsync(file.fd) != 0) {
      return ErrnoStatus(errno, "sync", temporary);
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return ErrnoStatus(error, "replace", path);
  }
  return absl::OkStatus();
}

}  // namespace rota
