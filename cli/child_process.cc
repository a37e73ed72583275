#include "cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

constexpr size_t kMaxOutputBytes = size_t{64} << 20;
constexpr size_t kMaxQuotedBytes = 500;
constexpr int kNotFound = 127;

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeChild(char* const* arguments, int output) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execvp(arguments[0], arguments);
  _exit(kNotFound);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("no pipe: ", std::strerror(errno)));
  }
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& copy : copies) {
    pointers.push_back(copy.data());
  }
  pointers.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    BecomeChild(pointers.data(), ends[1]);
  }
  const int error = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return absl::UnavailableError(
        absl::StrCat(arguments.front(), " cannot be started: ", std::strerror(error)));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(arguments.front(), pid, ends[0]));
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Reap();
  }
  close(fd_);
}

int ChildProcess::Reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

absl::Status ChildProcess::ReadMore(Duration patience) {
  pollfd readable{fd_, POLLIN, 0};
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
  const int ready = poll(&readable, 1, static_cast<int>(milliseconds));
  if (ready == 0) {
    return absl::DeadlineExceededError(absl::StrCat(name_, " says nothing"));
  }
  std::array<char, 16384> part;
  const ssize_t size = ready < 0 ? -1 : read(fd_, part.data(), part.size());
  if (size < 0 && errno == EINTR) {
    return absl::OkStatus();
  }
  if (size <= 0) {
    return absl::OutOfRangeError("");
  }
  if (unread_.size() + static_cast<size_t>(size) > kMaxOutputBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name_, " says more than ", kMaxOutputBytes, " bytes"));
  }
  unread_.append(part.data(), static_cast<size_t>(size));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChildProcess::ReadLine(Duration patience) {
  for (;;) {
    const size_t end = unread_.find('\n');
    if (end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    RETURN_IF_ERROR(ReadMore(patience));
  }
}

absl::StatusOr<std::string> ChildProcess::ReadAll(Duration patience) {
  absl::Status status;
  while (status.ok()) {
    status = ReadMore(patience);
  }
  if (!absl::IsOutOfRange(status)) {
    return status;
  }
  const int code = Reap();
  if (code == kNotFound) {
    return absl::UnavailableError(
        absl::StrCat(name_,
                     " is not on the PATH: install it, or say where Rota is with "
                     "--data-plane and --controller"));
  }
  if (code != 0) {
    const size_t start = unread_.size() > kMaxQuotedBytes ? unread_.size() - kMaxQuotedBytes : 0;
    return absl::UnavailableError(
        absl::StrCat(name_, " has failed (", code, "): ", unread_.substr(start)));
  }
  return std::move(unread_);
}

}  // namespace rota::cli
