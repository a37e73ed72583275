#pragma once

// A program that rotactl runs: kubectl. Its input is empty, its output and its errors come through
// one pipe. It does not outlive rotactl. Single-thread.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"

namespace rota::cli {

class ChildProcess {
 public:
  // Looked for on the PATH. That it is not there is seen when it is read from.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments);
  // Kills and reaps it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The next line without its end. OutOfRange: it has closed its output; DeadlineExceeded: nothing
  // for so long.
  absl::StatusOr<std::string> ReadLine(Duration patience);
  // Reads to the end and waits for it. The error holds the end of what it said.
  absl::StatusOr<std::string> ReadAll(Duration patience);

 private:
  ChildProcess(std::string name, pid_t pid, int fd) : name_(std::move(name)), pid_(pid), fd_(fd) {}
  absl::Status ReadMore(Duration patience);
  int Reap();

  const std::string name_;
  pid_t pid_;
  int fd_;
  std::string unread_;
};

}  // namespace rota::cli
