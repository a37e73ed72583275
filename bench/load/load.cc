#include "bench/load/load.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/load/connection.h"
#include "common/status_macros.h"

namespace rota::bench {
namespace {

constexpr size_t kConnectingAtOnce = 256;
constexpr size_t kMaxWaiting = 1 << 20;
constexpr Duration kTick = std::chrono::milliseconds(100);
constexpr uint64_t kTimerKey = ~uint64_t{0};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

absl::StatusOr<Address> Resolve(const HostPort& target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve ", target.host, ": ", gai_strerror(error)));
  }
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;

absl::StatusOr<Context> MakeContext(const LoadOptions& options) {
  if (!options.tls) {
    return Context();
  }
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!options.tls_skip_verify) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    const int loaded =
        options.tls_ca_file.empty()
            ? SSL_CTX_set_default_verify_paths(context.get())
            : SSL_CTX_load_verify_locations(context.get(), options.tls_ca_file.c_str(), nullptr);
    if (loaded != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tls-ca ", options.tls_ca_file, ": no readable PEM certificates"));
    }
  }
  return context;
}

class Runner {
 public:
  Runner(const LoadOptions& options, const Clock& clock, Address address, Context tls)
      : options_(options), clock_(clock), address_(address), tls_(std::move(tls)) {}
  ~Runner() {
    close(timer_);
    close(epoll_);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  absl::StatusOr<LoadResult> Run() {
    RETURN_IF_ERROR(Prepare());
    while (!IsOver()) {
      std::array<epoll_event, 256> events;
      const int count = epoll_wait(
          epoll_, events.data(), static_cast<int>(events.size()),
          static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(kTick).count()));
      for (int i = 0; i < count; ++i) {
        if (events[static_cast<size_t>(i)].data.u64 == kTimerKey) {
          uint64_t ignored = 0;
          (void)!read(timer_, &ignored, sizeof ignored);
          SendWhatIsDue();
        } else {
          Advance(events[static_cast<size_t>(i)]);
        }
      }
      const MonotonicTime now = clock_.Now();
      if (now >= next_tick_) {
        next_tick_ = now + kTick;
        OnTick(now);
        if (result_.requests == 0 && result_.errors["connect"] > 3 * options_.connections) {
          return absl::UnavailableError(
              absl::StrCat("cannot connect to ", options_.target.ToString()));
        }
      }
    }
    result_.seconds = std::chrono::duration<double>(clock_.Now() - start_).count();
    result_.steady_seconds =
        result_.seconds - std::chrono::duration<double>(options_.warmup).count();
    result_.overdue = waiting_.size();
    return result_;
  }

 private:
  absl::Status Prepare() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (epoll_ < 0 || timer_ < 0) {
      return absl::UnavailableError(absl::StrCat("epoll: ", std::strerror(errno)));
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kTimerKey;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event);
    start_ = clock_.Now();
    next_due_ = start_;
    has_started_ = !options_.streams;
    next_tick_ = start_ + kTick;
    for (size_t i = 0; i < options_.connections; ++i) {
      connections_.push_back(
          std::make_unique<Connection>([this, i](std::string_view piece) { OnBody(i, piece); }));
      to_connect_.push_back(i);
    }
    ConnectMore();
    ArmTimer();
    return absl::OkStatus();
  }

  bool IsOpenLoop() const { return options_.rate > 0; }
  MonotonicTime End() const { return start_ + options_.warmup + options_.duration; }

  bool IsOver() const {
    const MonotonicTime now = clock_.Now();
    if (options_.streams) {
      return ended_streams_ == options_.connections || now >= End() + options_.request_time;
    }
    return now >= End();
  }

  // --- Connections.
  void ConnectMore() {
    while (!to_connect_.empty() && connecting_ < kConnectingAtOnce) {
      const size_t index = to_connect_.front();
      to_connect_.pop_front();
      Connection& connection = *connections_[index];
      if (!connection.Connect(reinterpret_cast<const sockaddr*>(&address_.storage), address_.size,
                              tls_.get(), options_.tls_server_name.c_str())) {
        ++result_.errors["connect"];
        failed_.push_back(index);
        continue;
      }
      ++connecting_;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      event.data.u64 = index;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd(), &event);
      connection.deadline = clock_.Now() + options_.request_time;
    }
  }

  void Advance(const epoll_event& event) {
    const size_t index = event.data.u64;
    Connection& connection = *connections_[index];
    const bool was_connecting = IsConnecting(connection);
    const Connection::Progress progress =
        connection.OnReady((event.events & (EPOLLRDHUP | EPOLLHUP)) != 0);
    if (was_connecting && !IsConnecting(connection)) {
      --connecting_;
      ConnectMore();
    }
    Take(index, progress);
  }

  static bool IsConnecting(const Connection& connection) {
    return connection.state() == Connection::State::kConnecting ||
           connection.state() == Connection::State::kHandshake;
  }

  void Take(size_t index, Connection::Progress progress) {
    switch (progress) {
      case Connection::Progress::kWaiting:
        return;
      case Connection::Progress::kIdle:
        OnIdle(index);
        return;
      case Connection::Progress::kAnswered:
        OnAnswer(index);
        return;
      case Connection::Progress::kFailed:
        OnFailure(index, connections_[index]->error());
        return;
    }
  }

  void OnIdle(size_t index) {
    if (IsOpenLoop()) {
      idle_.push_back(index);
      StartStreamsWhenConnected();
      SendWhatIsDue();
    } else {
      SendOn(index, clock_.Now());
    }
  }

  void SendOn(size_t index, MonotonicTime due) {
    Connection& connection = *connections_[index];
    const MonotonicTime now = clock_.Now();
    if (!options_.streams && now >= End()) {
      return;
    }
    connection.due = due;
    connection.sent = now;
    connection.deadline =
        now + options_.request_time + (options_.streams ? options_.duration : Duration{});
    if (options_.streams) {
      connection.saw_first_event = false;
      connection.scanner = std::make_unique<EventScanner>([this](int64_t sent) {
        result_.chunk_delay.Add(clock_.Now().time_since_epoch().count() - sent);
      });
    }
    const std::string& request = options_.requests[next_request_++ % options_.requests.size()];
    Take(index, connection.Send(request));
  }

  void OnBody(size_t index, std::string_view piece) {
    Connection& connection = *connections_[index];
    if (connection.scanner == nullptr) {
      return;
    }
    if (!connection.saw_first_event) {
      connection.saw_first_event = true;
      result_.latency.Add((clock_.Now() - connection.due).count());
    }
    connection.scanner->Read(piece);
  }

  void OnAnswer(size_t index) {
    Connection& connection = *connections_[index];
    const MonotonicTime now = clock_.Now();
    ++result_.requests;
    ++result_.statuses[connection.reader().status()];
    if (options_.streams) {
      EndStream(connection, connection.scanner->is_done() && !connection.scanner->has_error());
      return;
    }
    if (now >= start_ + options_.warmup) {
      Count(connection, now);
    }
    if (connection.reader().must_close()) {
      connection.Close();
      to_connect_.push_back(index);
      ConnectMore();
    } else {
      OnIdle(index);
    }
  }

  // What came after the warm-up; the latency of what was due after it.
  void Count(const Connection& connection, MonotonicTime now) {
    if (connection.reader().status() / 100 != 2) {
      result_.refusal_latency.Add((now - connection.sent).count());
      result_.retry_after += connection.reader().has_retry_after() ? 1 : 0;
      return;
    }
    ++result_.steady_successes;
    if (connection.due < start_ + options_.warmup) {
      return;
    }
    const Duration latency = now - connection.due;
    result_.latency.Add(latency.count());
    if (options_.slow > Duration{} && latency > options_.slow) {
      ++result_.slow_count;
      if (result_.slow.size() < kMaxSlowAnswers) {
        result_.slow.push_back({connection.due, latency});
      }
    }
  }

  void EndStream(Connection& connection, bool good) {
    ++ended_streams_;
    StartStreamsWhenConnected();
    if (connection.scanner != nullptr) {
      result_.events += connection.scanner->events();
    }
    if (good) {
      ++result_.streams_finished;
    } else {
      ++result_.errors["stream"];
    }
    connection.Close();
  }

  void OnFailure(size_t index, const char* error) {
    Connection& connection = *connections_[index];
    // Between two requests a server may close; a stream that waits for its start is lost with it.
    if (options_.streams || std::string_view(error) != "idle_close") {
      ++result_.errors[error];
    }
    connection.Close();
    std::erase(idle_, index);
    if (options_.streams) {
      EndStream(connection, false);
    } else {
      failed_.push_back(index);  // again at the next tick
    }
  }

  // --- Open loop.
  // Streams with a rate: those that failed to connect count as connected, the others are started.
  void StartStreamsWhenConnected() {
    if (options_.streams && IsOpenLoop() && !has_started_ &&
        idle_.size() + ended_streams_ == options_.connections) {
      has_started_ = true;
      next_due_ = clock_.Now();
      ArmTimer();
    }
  }

  void SendWhatIsDue() {
    if (!has_started_) {
      return;
    }
    const MonotonicTime now = clock_.Now();
    const Duration step = std::chrono::nanoseconds(static_cast<int64_t>(1e9 / options_.rate));
    while (next_due_ <= now && next_due_ < End() && waiting_.size() < kMaxWaiting) {
      waiting_.push_back(next_due_);
      next_due_ += step;
    }
    while (!waiting_.empty() && !idle_.empty()) {
      const size_t index = idle_.front();
      idle_.pop_front();
      const MonotonicTime due = waiting_.front();
      waiting_.pop_front();
      SendOn(index, due);
    }
    ArmTimer();
  }

  void ArmTimer() const {
    if (!IsOpenLoop() || !has_started_) {
      return;
    }
    const int64_t at = next_due_.time_since_epoch().count();
    itimerspec spec{};
    spec.it_value.tv_sec = at / 1'000'000'000;
    spec.it_value.tv_nsec = at % 1'000'000'000;
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  // --- Ten times a second.
  void OnTick(MonotonicTime now) {
    while (!failed_.empty()) {
      to_connect_.push_back(failed_.back());
      failed_.pop_back();
    }
    for (size_t i = 0; i < connections_.size(); ++i) {
      Connection& connection = *connections_[i];
      const bool busy = connection.state() != Connection::State::kClosed &&
                        connection.state() != Connection::State::kIdle;
      if (busy && now >= connection.deadline) {
        connecting_ -= IsConnecting(connection) ? 1 : 0;
        OnFailure(i, "timeout");
      }
    }
    ConnectMore();
  }

  const LoadOptions& options_;
  const Clock& clock_;
  const Address address_;
  const Context tls_;
  int epoll_ = -1;
  int timer_ = -1;
  MonotonicTime start_{};
  MonotonicTime next_due_{};
  MonotonicTime next_tick_{};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<size_t> to_connect_;
  std::vector<size_t> failed_;
  std::deque<size_t> idle_;            // open loop: longest idle first
  std::deque<MonotonicTime> waiting_;  // open loop: due, without a connection
  size_t connecting_ = 0;
  size_t ended_streams_ = 0;
  size_t next_request_ = 0;
  bool has_started_ = false;
  LoadResult result_;
};

}  // namespace

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options, const Clock& clock) {
  if (options.connections == 0 || options.connections > 100'000) {
    return absl::InvalidArgumentError("the number of connections must be 1..100000");
  }
  if (options.requests.empty()) {
    return absl::InvalidArgumentError("there is no request to send");
  }
  ASSIGN_OR_RETURN(const Address address, Resolve(options.target));
  ASSIGN_OR_RETURN(Context tls, MakeContext(options));
  return std::make_unique<Runner>(options, clock, address, std::move(tls))->Run();
}

}  // namespace rota::bench
