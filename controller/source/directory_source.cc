#include "controller/source/directory_source.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/source/directory_objects.h"

namespace rota::source {
namespace {

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                             IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// How often a directory that has vanished is looked for.
constexpr Duration kRetryInterval = std::chrono::seconds(1);
constexpr std::string_view kProjectedData = "..data";

// A file that somebody has created to write into it, not a link to one that is there already.
bool IsNewRegularFile(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1;
}

// A descriptor that is closed on scope exit.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { Reset(-1); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void Reset(int fd) {
    if (fd_ >= 0) {
      close(fd_);
    }
    fd_ = fd;
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

SecretString RandomKey() {
  std::array<unsigned char, 32> bytes{};
  // Without entropy OpenSSL fails; versions keyed with zeros would still be correct, only guessable
  // by someone who can read both, so that it is no reason to end.
  RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return SecretString(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

absl::Status CheckDirectory(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    const std::string message =
        absl::StrCat("cannot read the directory '", path, "': ", std::strerror(errno),
                     "; create it or correct --source dir:PATH");
    return errno == EACCES ? absl::PermissionDeniedError(message) : absl::NotFoundError(message);
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", path,
                     "' is not a directory; --source dir:PATH wants the directory that "
                     "holds the files"));
  }
  if (access(path.c_str(), R_OK | X_OK) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("the directory '", path, "' is not readable for this process; allow r-x"));
  }
  return absl::OkStatus();
}

}  // namespace

class DirectorySource::Impl {
 public:
  Impl(std::string path, DirectoryOptions options)
      : path_(std::move(path)),
        options_(options),
        scan_(path_, options.limits),
        objects_(RandomKey()) {}

  ~Impl() { Stop(); }

  absl::Status Start(ObjectSink& sink) {
    if (absl::Status status = CheckDirectory(path_); !status.ok()) {
      return status;
    }
    inotify_.Reset(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    wake_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    removal_timer_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    rescan_timer_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (inotify_.get() < 0 || wake_.get() < 0 || removal_timer_.get() < 0 ||
        rescan_timer_.get() < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot watch '", path_, "': ", std::strerror(errno),
                       "; raise fs.inotify.max_user_instances or the limit of open files"));
    }
    sink_ = &sink;
    thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
    return absl::OkStatus();
  }

  void Stop() {
    if (thread_.joinable()) {
      thread_.request_stop();
      Wake();
      thread_.join();
    }
  }

  void SetReferences(SecretReferences references) {
    {
      std::lock_guard guard(mutex_);
      references_ = std::move(references);
      has_new_references_ = true;
    }
    Wake();
  }

  void Recheck() {
    {
      std::lock_guard guard(mutex_);
      recheck_wanted_ = true;
    }
    Wake();
  }

  SourceHealth Health() const {
    std::lock_guard guard(mutex_);
    return health_;
  }

 private:
  void Wake() {
    const uint64_t one = 1;
    if (wake_.get() >= 0) {
      // Fails only when the counter is full, and then the thread wakes anyway.
      [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
    }
  }

  void Run(std::stop_token stop) {
    WatchDirectory();
    Look();
    sink_->OnSynced(ObjectKind::kNamespace);
    sink_->OnSynced(ObjectKind::kApi);
    bool has_told_secrets = false;
    while (!stop.stop_requested()) {
      const bool has_changed = Wait();
      if (stop.stop_requested()) {
        return;
      }
      if (has_changed) {
        Look();
      }
      if (TakeReferences()) {
        objects_.TellReferences(scan_, current_references_, *sink_);
        if (!std::exchange(has_told_secrets, true)) {
          sink_->OnSynced(ObjectKind::kSecret);
          SetHealth([](SourceHealth& health) { health.synced = true; });
        }
      } else if (has_changed && has_told_secrets) {
        objects_.TellSecrets(scan_, current_references_, *sink_);
      }
    }
  }

  // True when the directory is to be looked at.
  bool Wait() {
    std::array<pollfd, 4> fds = {{{inotify_.get(), POLLIN, 0},
                                  {wake_.get(), POLLIN, 0},
                                  {removal_timer_.get(), POLLIN, 0},
                                  {rescan_timer_.get(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), -1);
    Drain(wake_);
    is_tick_ = Drain(removal_timer_);
    is_timer_set_ = is_timer_set_ && !is_tick_;
    const bool is_rescan = Drain(rescan_timer_);
    const bool has_changed = ReadEvents();
    if (is_rescan) {
      // The safety net. The path may mean another directory by now.
      WatchDirectory();
      ForgetQuietWriters();
      reads_all_ = true;
    }
    return TakeRecheck() || has_changed || is_tick_ || is_rescan;
  }

  // True when everything is to be looked at because the sink wants that.
  bool TakeRecheck() {
    std::lock_guard guard(mutex_);
    if (!std::exchange(recheck_wanted_, false)) {
      return false;
    }
    reads_all_ = true;
    is_recheck_due_ = true;
    return true;
  }

  // True when there was something in it.
  static bool Drain(const Descriptor& counter) {
    uint64_t count = 0;
    return read(counter.get(), &count, sizeof count) == sizeof count;
  }

  static bool SetTimer(const Descriptor& timer, Duration delay) {
    itimerspec time{};
    time.it_value.tv_sec = delay / std::chrono::seconds(1);
    time.it_value.tv_nsec = (delay % std::chrono::seconds(1)).count();
    return timerfd_settime(timer.get(), 0, &time, nullptr) == 0;
  }

  // Wakes the thread when a vanished file is to be forgotten.
  void AwaitRemoval() {
    if (!is_timer_set_ && scan_.has_vanished()) {
      is_timer_set_ = SetTimer(removal_timer_, options_.removal_tick);
    }
  }

  // Wakes the thread for the next look at everything.
  void AwaitRescan() {
    SetTimer(rescan_timer_, watch_ >= 0 ? options_.rescan_interval
                                        : std::min(options_.rescan_interval, kRetryInterval));
  }

  // The closing of a file may be missed (network file systems): one that has not been written to
  // between two looks at everything is read as it is.
  void ForgetQuietWriters() {
    for (const std::string& name : quiet_) {
      being_written_.erase(name);
    }
    quiet_ = being_written_;
  }

  void OnWriting(const std::string& name) {
    being_written_.insert(name);
    quiet_.erase(name);
  }

  // Starts to watch the directory that the path means now; a no-op when it is watched already.
  void WatchDirectory() {
    const int watch = inotify_add_watch(inotify_.get(), path_.c_str(), kEvents);
    if (watch < 0) {
      watch_error_ = absl::StrCat("cannot watch '", path_, "': ", std::strerror(errno),
                                  "; changes are seen every 10 s only");
      return;
    }
    if (watch_ >= 0 && watch != watch_) {
      inotify_rm_watch(inotify_.get(), watch_);
    }
    watch_ = watch;
    watch_error_.clear();
  }

  // Takes in what inotify has to say; true when anything of it matters.
  bool ReadEvents() {
    alignas(inotify_event) std::array<char, 64 << 10> buffer;
    bool matters = false;
    while (true) {
      const ssize_t size = read(inotify_.get(), buffer.data(), buffer.size());
      if (size <= 0) {
        return matters;
      }
      for (size_t at = 0; at < static_cast<size_t>(size);) {
        inotify_event event;
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* name = buffer.data() + at + sizeof event;
        at += sizeof event + event.len;
        matters = OnEvent(event, event.len > 0 ? name : "") || matters;
      }
    }
  }

  bool OnEvent(const inotify_event& event, const std::string& name) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      being_written_.clear();
      reads_all_ = true;
      return true;
    }
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
      if (event.wd == watch_) {
        inotify_rm_watch(inotify_.get(), watch_);
        watch_ = -1;
        WatchDirectory();
      }
      reads_all_ = true;
      return true;
    }
    if ((event.mask & IN_MODIFY) != 0) {
      OnWriting(name);
      return false;
    }
    if ((event.mask & IN_CREATE) != 0 && IsNewRegularFile(scan_.PathOf(name))) {
      // It is complete when it is closed. Links, symbolic or hard, are complete at once.
      OnWriting(name);
      return false;
    }
    // Links may lead into a directory that has come or gone.
    lists_all_ = lists_all_ || (event.mask & IN_ISDIR) != 0;
    if ((event.mask & IN_ATTRIB) == 0) {
      being_written_.erase(name);
    }
    if (IsConfigurationFile(name)) {
      changed_.insert(name);
      return true;
    }
    // The swap of a projected volume: every file is another one now.
    reads_all_ = reads_all_ || name == kProjectedData;
    return name == kProjectedData;
  }

  void Look() {
    RescanRequest request;
    const bool lists_all = std::exchange(lists_all_, false);
    request.all = std::exchange(reads_all_, false);
    request.only_changed = !request.all && !lists_all;
    request.changed = std::exchange(changed_, {});
    request.skip = being_written_;
    request.is_tick = std::exchange(is_tick_, false);
    const absl::StatusOr<std::set<std::string>> changed = scan_.Rescan(request);
    AwaitRemoval();
    if (request.all) {
      AwaitRescan();
    }
    std::vector<SourceProblem> problems;
    if (changed.ok()) {
      problems = objects_.TellSpecs(scan_, *changed, options_.limits.max_problems, *sink_);
    } else {
      // What was to be read now is read when the directory is back.
      reads_all_ = true;
      problems = last_problems_;
      std::erase_if(problems, [&](const SourceProblem& p) { return p.file == path_; });
      problems.push_back({path_, 0,
                          absl::StrCat(std::string(changed.status().message()),
                                       "; the last good objects stay, bring the directory back")});
    }
    if (!watch_error_.empty()) {
      problems.push_back({path_, 0, watch_error_});
    }
    SetHealth([&](SourceHealth& health) {
      health.connected = changed.ok();
      health.last_error =
          problems.empty() ? "" : absl::StrCat(problems.back().file, ": ", problems.back().message);
    });
    if (!IsSame(problems, last_problems_)) {
      last_problems_ = problems;
      sink_->OnProblems(std::move(problems));
    }
    if (changed.ok() && request.all && std::exchange(is_recheck_due_, false)) {
      sink_->OnRechecked();
    }
  }

  static bool IsSame(const std::vector<SourceProblem>& a, const std::vector<SourceProblem>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const SourceProblem& x, const SourceProblem& y) {
                        return x.file == y.file && x.line == y.line && x.message == y.message;
                      });
  }

  bool TakeReferences() {
    std::lock_guard guard(mutex_);
    if (!std::exchange(has_new_references_, false)) {
      return false;
    }
    current_references_ = references_;
    return true;
  }

  template <typename Change>
  void SetHealth(Change change) {
    std::lock_guard guard(mutex_);
    change(health_);
  }

  const std::string path_;
  const DirectoryOptions options_;
  ObjectSink* sink_ = nullptr;
  Descriptor inotify_;
  Descriptor wake_;
  Descriptor removal_timer_;
  Descriptor rescan_timer_;

  mutable std::mutex mutex_;
  SecretReferences references_;      // guarded by mutex_
  bool has_new_references_ = false;  // guarded by mutex_
  bool recheck_wanted_ = false;      // guarded by mutex_
  SourceHealth health_;              // guarded by mutex_

  // The thread's own.
  DirectoryScan scan_;
  DirectoryObjects objects_;
  SecretReferences current_references_;
  std::set<std::string> being_written_;
  std::set<std::string> quiet_;  // of being_written_: not written to since the last look at all
  std::set<std::string> changed_;
  bool reads_all_ = true;
  bool lists_all_ = false;
  bool is_recheck_due_ = false;
  bool is_tick_ = false;
  bool is_timer_set_ = false;
  std::vector<SourceProblem> last_problems_;
  std::string watch_error_;
  int watch_ = -1;

  std::jthread thread_;
};

DirectorySource::DirectorySource(std::string path, DirectoryOptions options)
    : impl_(std::make_unique<Impl>(std::move(path), options)) {}

DirectorySource::~DirectorySource() = default;

absl::Status DirectorySource::Start(ObjectSink& sink) { return impl_->Start(sink); }
void DirectorySource::Stop() { impl_->Stop(); }
void DirectorySource::SetSecretReferences(SecretReferences references) {
  impl_->SetReferences(std::move(references));
}
void DirectorySource::Recheck() { impl_->Recheck(); }
SourceHealth DirectorySource::Health() const { return impl_->Health(); }

}  // namespace rota::source
