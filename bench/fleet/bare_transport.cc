#include "bench/fleet/bare_transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::bench {
namespace {

namespace v1 = rota::sync::v1;

// Types and flags of RFC 9113.
enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kAck = 1;
constexpr uint8_t kEndHeaders = 4;
constexpr size_t kFrameHeader = 9;
constexpr size_t kGrpcPrefix = 5;  // one byte of flags, four of length
constexpr uint32_t kStream = 1;
// A whole snapshot fits several times; given back when half of it is used.
constexpr uint32_t kWindow = 16 << 20;
constexpr size_t kDefaultWindow = 65'535;

void AppendNumber(std::string& out, uint32_t number, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(number >> shift & 0xFF));
  }
}

uint32_t ReadNumber(std::string_view in, size_t at, int bytes) {
  uint32_t number = 0;
  for (int i = 0; i < bytes; ++i) {
    number = number << 8 | static_cast<uint8_t>(in[at + static_cast<size_t>(i)]);
  }
  return number;
}

void AppendFrame(std::string& out, FrameType type, uint8_t flags, uint32_t stream,
                 std::string_view payload) {
  AppendNumber(out, static_cast<uint32_t>(payload.size()), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  AppendNumber(out, stream, 4);
  out.append(payload);
}

// HPACK, literal without indexing; all of them are shorter than 127 bytes.
void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  out.push_back(0);
  AppendNumber(out, static_cast<uint32_t>(name.size()), 1);
  out.append(name);
  AppendNumber(out, static_cast<uint32_t>(value.size()), 1);
  out.append(value);
}

std::string WindowUpdates(uint32_t bytes) {
  std::string payload;
  AppendNumber(payload, bytes, 4);
  std::string frames;
  AppendFrame(frames, kWindowUpdate, 0, 0, payload);
  AppendFrame(frames, kWindowUpdate, 0, kStream, payload);
  return frames;
}

// Preface, settings and the head of the call.
std::string Opening(const std::string& authority) {
  std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::string settings;
  AppendNumber(settings, 2, 2);  // ENABLE_PUSH
  AppendNumber(settings, 0, 4);
  AppendNumber(settings, 4, 2);  // INITIAL_WINDOW_SIZE
  AppendNumber(settings, kWindow, 4);
  AppendFrame(out, kSettings, 0, 0, settings);
  std::string window;
  AppendNumber(window, kWindow, 4);
  AppendFrame(out, kWindowUpdate, 0, 0, window);
  std::string head;
  AppendHeader(head, ":method", "POST");
  AppendHeader(head, ":scheme", "http");
  AppendHeader(head, ":path", "/rota.sync.v1.SnapshotService/Sync");
  AppendHeader(head, ":authority", authority);
  AppendHeader(head, "content-type", "application/grpc");
  AppendHeader(head, "te", "trailers");
  AppendFrame(out, kHeaders, kEndHeaders, kStream, head);
  return out;
}

}  // namespace

// One connection with one call.
class BareStream : public std::enable_shared_from_this<BareStream> {
 public:
  BareStream(BareLoop& loop, const HostPort& controller,
             std::shared_ptr<sync::SyncStreamEvents> events)
      : loop_(loop),
        events_(std::move(events)),
        fd_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        out_(Opening(controller.ToString())) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(controller.port);
    if (inet_pton(AF_INET, controller.host.c_str(), &address.sin_addr) != 1 ||
        (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
         errno != EINPROGRESS)) {
      EndLocked("cannot connect");
    }
  }
  ~BareStream() { close(fd_); }

  int fd() const { return fd_; }

  void Write(const v1::ClientMessage& message) {
    const std::string body = message.SerializeAsString();
    std::string payload(1, '\0');
    AppendNumber(payload, static_cast<uint32_t>(body.size()), 4);
    payload += body;
    std::lock_guard guard(mutex_);
    if (payload.size() > send_window_ || payload.size() > 16'384) {
      EndLocked("a message is larger than this client can send");
    } else {
      send_window_ -= payload.size();
      AppendFrame(out_, kData, 0, kStream, payload);
      FlushLocked();
    }
    write_done_ = true;
    loop_.Wake(shared_from_this());
  }
  void Read() {
    std::lock_guard guard(mutex_);
    reading_ = true;
    if (!messages_.empty()) {
      loop_.Wake(shared_from_this());
    }
  }
  void Cancel() {
    std::lock_guard guard(mutex_);
    EndLocked("cancelled");
    loop_.Wake(shared_from_this());
  }

  // Of the loop's thread: takes in what has come.
  void OnReady() {
    std::array<char, 64 << 10> buffer;
    std::lock_guard guard(mutex_);
    FlushLocked();
    while (!ended_) {
      const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
      if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)) {
          EndLocked("the connection has ended");
        }
        break;
      }
      in_.append(buffer.data(), static_cast<size_t>(size));
      TakeFrames();
      if (static_cast<size_t>(size) < buffer.size()) {
        break;
      }
    }
  }
  // Of the loop's thread: calls the events. False: it was the last time.
  bool Deliver() {
    if (TakeWriteDone()) {
      events_->OnWriteDone(true);
    }
    while (std::optional<v1::ServerMessage> message = TakeMessage()) {
      events_->OnMessage(*std::move(message));
    }
    std::string reason;
    {
      std::lock_guard guard(mutex_);
      if (!ended_) {
        return true;
      }
      reason = reason_;
    }
    events_->OnClosed(absl::UnavailableError(reason));
    return false;
  }

 private:
  void EndLocked(const std::string& reason) {
    if (!ended_) {
      ended_ = true;
      reason_ = reason;
    }
  }
  bool TakeWriteDone() {
    std::lock_guard guard(mutex_);
    return std::exchange(write_done_, false) && !ended_;
  }
  std::optional<v1::ServerMessage> TakeMessage() {
    std::lock_guard guard(mutex_);
    if (!reading_ || messages_.empty() || ended_) {
      return std::nullopt;
    }
    reading_ = false;
    v1::ServerMessage message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  void FlushLocked() {
    while (!out_.empty() && !ended_) {
      const ssize_t size = send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
      if (size < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
          EndLocked("the connection has ended");
        }
        break;
      }
      out_.erase(0, static_cast<size_t>(size));
    }
    if (const bool waits = !out_.empty(); waits != watches_writing_) {
      watches_writing_ = waits;
      loop_.Watch(*this, waits);
    }
  }
  void TakeFrames() {
    size_t at = 0;
    while (!ended_ && in_.size() - at >= kFrameHeader) {
      const size_t size = ReadNumber(in_, at, 3);
      if (in_.size() - at < kFrameHeader + size) {
        break;
      }
      TakeFrame(static_cast<FrameType>(in_[at + 3]), static_cast<uint8_t>(in_[at + 4]),
                std::string_view(in_).substr(at + kFrameHeader, size));
      at += kFrameHeader + size;
    }
    in_.erase(0, at);
    FlushLocked();
  }
  void TakeFrame(FrameType type, uint8_t flags, std::string_view payload) {
    switch (type) {
      case kData:
        TakeData(payload);
        break;
      case kSettings:
        if ((flags & kAck) == 0) {
          AppendFrame(out_, kSettings, kAck, 0, "");
        }
        return;
      case kPing:
        if ((flags & kAck) == 0) {
          AppendFrame(out_, kPing, kAck, 0, payload);
        }
        return;
      case kWindowUpdate:
        // Of the connection and of the stream alike: what one lacks, the other is short of as well.
        send_window_ += payload.size() == 4 ? ReadNumber(payload, 0, 4) / 2 : 0;
        return;
      case kHeaders:
        break;
      case kReset:
      case kGoAway:
        EndLocked("ended by the controller");
        return;
    }
    if ((flags & kEndStream) != 0) {
      EndLocked("ended by the controller");
    }
  }
  void TakeData(std::string_view payload) {
    body_.append(payload);
    consumed_ += static_cast<uint32_t>(payload.size());
    if (consumed_ >= kWindow / 2) {
      out_ += WindowUpdates(std::exchange(consumed_, 0));
    }
    size_t at = 0;
    while (body_.size() - at >= kGrpcPrefix) {
      const size_t size = ReadNumber(body_, at + 1, 4);
      if (body_.size() - at < kGrpcPrefix + size) {
        break;
      }
      v1::ServerMessage message;
      if (!message.ParseFromArray(body_.data() + at + kGrpcPrefix, static_cast<int>(size))) {
        EndLocked("a message cannot be read");
        return;
      }
      messages_.push_back(std::move(message));
      at += kGrpcPrefix + size;
    }
    body_.erase(0, at);
    if (body_.empty()) {
      body_.shrink_to_fit();  // a thousand of them keep the largest chunk otherwise
    }
  }

  BareLoop& loop_;
  const std::shared_ptr<sync::SyncStreamEvents> events_;
  const int fd_;
  std::mutex mutex_;
  std::string out_;
  std::string in_;
  std::string body_;  // of DATA frames, not yet a whole message
  std::deque<v1::ServerMessage> messages_;
  size_t send_window_ = kDefaultWindow;
  uint32_t consumed_ = 0;
  bool reading_ = false;
  bool write_done_ = false;
  bool watches_writing_ = true;  // from the start: the connection comes up
  bool ended_ = false;
  std::string reason_;
};

namespace {

class BareHandle final : public sync::SyncStream {
 public:
  explicit BareHandle(std::shared_ptr<BareStream> stream) : stream_(std::move(stream)) {}
  ~BareHandle() override { stream_->Cancel(); }
  void StartWrite(v1::ClientMessage message) override { stream_->Write(message); }
  void StartRead() override { stream_->Read(); }
  void Cancel() override { stream_->Cancel(); }

 private:
  const std::shared_ptr<BareStream> stream_;
};

}  // namespace

class BareTransport final : public sync::SyncTransport {
 public:
  BareTransport(BareLoop& loop, std::vector<HostPort> controllers)
      : loop_(loop), controllers_(std::move(controllers)) {}
  size_t address_count() const override { return controllers_.size(); }
  std::string address(size_t index) const override { return controllers_[index].ToString(); }
  std::unique_ptr<sync::SyncStream> Connect(
      size_t index, std::shared_ptr<sync::SyncStreamEvents> events) override {
    auto stream = std::make_shared<BareStream>(loop_, controllers_[index], std::move(events));
    loop_.Add(stream);
    return std::make_unique<BareHandle>(std::move(stream));
  }

 private:
  BareLoop& loop_;
  const std::vector<HostPort> controllers_;
};

BareLoop::BareLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

BareLoop::~BareLoop() {
  thread_.request_stop();
  Wake(nullptr);
  thread_.join();
  close(wake_);
  close(epoll_);
}

void BareLoop::Add(std::shared_ptr<BareStream> stream) {
  std::lock_guard guard(mutex_);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = stream.get();
  epoll_ctl(epoll_, EPOLL_CTL_ADD, stream->fd(), &event);
  streams_.emplace(stream.get(), std::move(stream));
}

void BareLoop::Wake(std::shared_ptr<BareStream> stream) {
  {
    std::lock_guard guard(mutex_);
    if (stream != nullptr) {
      woken_.push_back(std::move(stream));
    }
  }
  eventfd_write(wake_, 1);
}

void BareLoop::Watch(BareStream& stream, bool for_writing) {
  epoll_event event{};
  event.events = for_writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &stream;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, stream.fd(), &event);
}

std::vector<std::shared_ptr<BareStream>> BareLoop::TakeWoken() {
  eventfd_t count = 0;
  eventfd_read(wake_, &count);
  std::lock_guard guard(mutex_);
  return std::exchange(woken_, {});
}

void BareLoop::Run(std::stop_token stop) {
  std::array<epoll_event, 256> events;
  while (!stop.stop_requested()) {
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    std::vector<std::shared_ptr<BareStream>> ready;
    for (int i = 0; i < count; ++i) {
      auto* stream = static_cast<BareStream*>(events[static_cast<size_t>(i)].data.ptr);
      if (stream == nullptr) {
        for (auto& woken : TakeWoken()) {
          ready.push_back(std::move(woken));
        }
        continue;
      }
      std::lock_guard guard(mutex_);
      if (const auto found = streams_.find(stream); found != streams_.end()) {
        ready.push_back(found->second);
      }
    }
    for (const std::shared_ptr<BareStream>& stream : ready) {
      {
        std::lock_guard guard(mutex_);
        if (!streams_.contains(stream.get())) {
          continue;  // its end has been told
        }
      }
      stream->OnReady();
      if (!stream->Deliver()) {
        epoll_ctl(epoll_, EPOLL_CTL_DEL, stream->fd(), nullptr);
        std::lock_guard guard(mutex_);
        streams_.erase(stream.get());
      }
    }
  }
}

std::unique_ptr<sync::SyncTransport> MakeBareTransport(BareLoop& loop,
                                                       std::vector<HostPort> controllers) {
  return std::make_unique<BareTransport>(loop, std::move(controllers));
}

}  // namespace rota::bench
