#include "dataplane/observe/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "dataplane/observe/access_line.h"

namespace rota::observe {
namespace {

// Waiting lines beyond this are dropped: about 10,000 of them.
constexpr size_t kMaxWaitingBytes = 4 << 20;
// The writer collects lines for this long, unless this much has come together: fewer, larger
// writes.
constexpr Duration kCollect = std::chrono::milliseconds(100);
constexpr size_t kWriteAtOnce = 64 << 10;
// How often a writer that waits for a reader looks whether the log is to end.
constexpr int kPollMilliseconds = 100;
// How long the writer sleeps without lines; any end will do.
constexpr Duration kIdleWait = std::chrono::hours(1);
// A log that cannot be written is reported this often.
constexpr Duration kComplainEvery = std::chrono::seconds(60);

class OffLog final : public AccessLog {
 public:
  void Write(const AccessRecord&) override {}
  void Reopen() override {}
  uint64_t dropped() const override { return 0; }
};

absl::StatusOr<int> OpenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("access log ", path, ": ", std::strerror(errno),
                     "; give a file in a folder that can be written, - or off"));
  }
  return fd;
}

bool IsRegularFile(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

class BufferedLog final : public AccessLog {
 public:
  // `path` is "" for stdout, whose descriptor is not closed.
  BufferedLog(int fd, std::string path, double sample, Clock& clock)
      : fd_(fd),
        is_file_(IsRegularFile(fd)),
        path_(std::move(path)),
        sample_(sample),
        clock_(clock) {
    writer_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  }

  ~BufferedLog() override {
    writer_.request_stop();
    writer_.join();  // writes what is waiting
    if (!path_.empty()) {
      close(fd_);
    }
  }

  void Write(const AccessRecord& record) override {
    if (record.status < 400 && !IsSampled()) {
      return;
    }
    thread_local std::string line;
    line.clear();
    AppendAccessLine(record, clock_.WallNow(), line);
    bool wake = false;
    {
      std::lock_guard guard(mutex_);
      if (waiting_.size() + line.size() > kMaxWaitingBytes) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      // The writer sleeps without end only on an empty buffer.
      wake = waiting_.empty() ||
             (waiting_.size() < kWriteAtOnce && waiting_.size() + line.size() >= kWriteAtOnce);
      waiting_.append(line);
    }
    if (wake) {
      changed_.notify_one();
    }
  }

  void Reopen() override {
    {
      std::lock_guard guard(mutex_);
      reopen_ = true;
    }
    changed_.notify_one();
  }

  uint64_t dropped() const override { return dropped_.load(std::memory_order_relaxed); }

 private:
  // Every 1/sample-th request of each thread.
  bool IsSampled() const {
    thread_local double share = 0;
    share += sample_;
    if (share < 1) {
      return false;
    }
    share -= 1;
    return true;
  }

  void Run(std::stop_token stop) {
    std::string writing;
    std::unique_lock lock(mutex_);
    while (true) {
      while (waiting_.empty() && !reopen_ && !stop.stop_requested()) {
        clock_.WaitUntil(lock, changed_, clock_.Now() + kIdleWait, stop);
      }
      const MonotonicTime until = clock_.Now() + kCollect;
      while (waiting_.size() < kWriteAtOnce && !reopen_ && !stop.stop_requested() &&
             clock_.Now() < until) {
        clock_.WaitUntil(lock, changed_, until, stop);
      }
      writing.swap(waiting_);
      const bool reopen = std::exchange(reopen_, false);
      lock.unlock();
      WriteOut(writing, stop);
      writing.clear();
      if (reopen) {
        OpenAnew();
      }
      lock.lock();
      if (stop.stop_requested() && waiting_.empty()) {
        return;
      }
    }
  }

  void WriteOut(std::string_view bytes, const std::stop_token& stop) {
    while (!bytes.empty()) {
      if (!is_file_ && !AwaitReader(stop)) {
        Drop(bytes, EAGAIN);
        return;
      }
      const size_t size = is_file_ ? bytes.size() : std::min<size_t>(bytes.size(), PIPE_BUF);
      const ssize_t written = write(fd_, bytes.data(), size);
      if (written >= 0) {
        bytes.remove_prefix(static_cast<size_t>(written));
      } else if (errno != EINTR) {
        Drop(bytes, errno);
        return;
      }
    }
  }

  // A pipe or terminal whose reader stands still must not keep the process from ending: it takes
  // PIPE_BUF bytes without blocking once it is ready. False when the log is to end and it is not
  // ready.
  bool AwaitReader(const std::stop_token& stop) const {
    while (true) {
      pollfd entry{fd_, POLLOUT, 0};
      if (poll(&entry, 1, kPollMilliseconds) != 0) {
        return true;  // ready, or an error that write() will name
      }
      if (stop.stop_requested()) {
        return false;
      }
    }
  }

  void Drop(std::string_view bytes, int error) {
    const auto lines = std::count(bytes.begin(), bytes.end(), '\n');
    dropped_.fetch_add(static_cast<uint64_t>(lines), std::memory_order_relaxed);
    Complain(error);
  }

  void Complain(int error) {
    if (last_complaint_ && clock_.Now() - *last_complaint_ < kComplainEvery) {
      return;
    }
    last_complaint_ = clock_.Now();
    log::Warn("access_log", "lines are lost: the access log cannot be written",
              {{"file", path_.empty() ? "stdout" : path_},
               {"error", std::strerror(error)},
               {"dropped", dropped()}});
  }

  void OpenAnew() {
    if (path_.empty()) {
      return;
    }
    const absl::StatusOr<int> fresh = OpenFile(path_);
    if (!fresh.ok()) {
      log::Warn("access_log", "not reopened, the old file stays in use",
                {{"error", std::string(fresh.status().message())}});
      return;
    }
    close(fd_);
    fd_ = *fresh;
    is_file_ = IsRegularFile(fd_);
    log::Info("access_log", "reopened", {{"file", path_}});
  }

  int fd_;        // the writer's, once it runs
  bool is_file_;  // the writer's
  const std::string path_;
  const double sample_;
  Clock& clock_;
  std::optional<MonotonicTime> last_complaint_;  // the writer's
  std::atomic<uint64_t> dropped_{0};
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string waiting_;
  bool reopen_ = false;
  std::jthread writer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(const std::string& destination,
                                                           double sample, Clock* clock) {
  static RealClock real_clock;
  Clock& used_clock = clock == nullptr ? real_clock : *clock;
  if (!(sample >= 0 && sample <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("access log sample ", sample, " is not between 0 and 1"));
  }
  if (destination.empty()) {
    return absl::InvalidArgumentError("the access log is \"\"; give a file, - or off");
  }
  if (destination == "off") {
    return std::make_unique<OffLog>();
  }
  if (destination == "-") {
    return std::make_unique<BufferedLog>(STDOUT_FILENO, "", sample, used_clock);
  }
  absl::StatusOr<int> fd = OpenFile(destination);
  if (!fd.ok()) {
    return fd.status();
  }
  return std::make_unique<BufferedLog>(*fd, destination, sample, used_clock);
}

}  // namespace rota::observe
