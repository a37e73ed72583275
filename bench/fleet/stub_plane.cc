#include "bench/fleet/stub_plane.h"

#include <utility>

#include "common/proto_duration.h"

namespace rota::bench {
namespace {

constexpr Duration kHeartbeat = std::chrono::seconds(15);

// That of SyncClientOptions.
BackoffOptions RetryBackoff() {
  BackoffOptions options;
  options.initial = std::chrono::milliseconds(100);
  options.maximum = std::chrono::seconds(15);
  options.jitter = -1.0;
  return options;
}

}  // namespace

class StubPlane::Events final : public sync::SyncStreamEvents {
 public:
  Events(std::weak_ptr<StubPlane> plane, uint64_t stream)
      : plane_(std::move(plane)), stream_(stream) {}
  void OnMessage(Server message) override {
    if (const auto plane = plane_.lock()) {
      plane->OnMessage(stream_, message);
    }
  }
  void OnWriteDone(bool ok) override {
    if (const auto plane = plane_.lock(); plane != nullptr && ok) {
      plane->OnWriteDone(stream_);
    }
  }
  void OnClosed(absl::Status status) override {
    if (const auto plane = plane_.lock()) {
      plane->OnClosed(stream_, std::string(status.message()));
    }
  }

 private:
  const std::weak_ptr<StubPlane> plane_;
  const uint64_t stream_;
};

StubPlane::StubPlane(std::string node, std::string gateway,
                     std::unique_ptr<sync::SyncTransport> transport, Board& board)
    : node_(std::move(node)),
      gateway_(std::move(gateway)),
      board_(board),
      transport_(std::move(transport)),
      backoff_(RetryBackoff()),
      retry_at_(board.clock().Now()),
      epoch_(static_cast<uint64_t>(board.clock().WallNow().time_since_epoch().count())) {}

void StubPlane::Stop() {
  std::unique_ptr<sync::SyncStream> stream;
  std::unique_ptr<sync::SyncTransport> transport;
  {
    std::lock_guard guard(mutex_);
    stopped_ = true;
    stream = std::move(stream_);
    transport = std::move(transport_);
  }
}

void StubPlane::Tick() {
  const MonotonicTime now = board_.clock().Now();
  std::unique_ptr<sync::SyncStream> ended;
  std::lock_guard guard(mutex_);
  if (stopped_) {
    return;
  }
  if (lost_) {
    lost_ = false;
    ended = std::move(stream_);
  }
  if (stream_ == nullptr && now >= retry_at_) {
    Connect(now);
  } else if (stream_ != nullptr) {
    Write();
  }
}

void StubPlane::Connect(MonotonicTime now) {
  opened_ = now;
  writing_ = false;
  applied_ = false;
  ack_.reset();
  auto& hello = *hello_.emplace().mutable_hello();
  hello.set_node(node_);
  hello.set_gateway(gateway_);
  hello.set_build("simulated");
  hello.set_snapshot_hash(snapshot_hash_);
  stream_ =
      transport_->Connect(address_, std::make_shared<Events>(weak_from_this(), ++stream_number_));
  stream_->StartRead();
  Write();
}

MonotonicTime StubPlane::Suspend(const std::string& target, Duration length) {
  std::lock_guard guard(mutex_);
  auto& item = *report_.emplace().mutable_report()->add_items();
  item.set_target(target);
  item.set_origin(node_);
  item.set_epoch(++epoch_);
  item.set_reason(rota::sync::v1::QUOTA);
  ToProto(length, *item.mutable_remaining());
  const MonotonicTime now = board_.clock().Now();
  Write();
  return now;
}

void StubPlane::OnMessage(uint64_t stream, const Server& message) {
  if (message.has_welcome()) {
    board_.OnWelcome();
  }
  for (const auto& item : message.suspensions().items()) {
    board_.OnStatement(item.target());
  }
  std::lock_guard guard(mutex_);
  if (stream != stream_number_ || stream_ == nullptr) {
    return;
  }
  if (message.chunk().has_commit()) {
    snapshot_hash_ = message.chunk().commit().snapshot_hash();
    auto& ack = *ack_.emplace().mutable_ack();
    ack.set_transaction(message.chunk().transaction());
    ack.set_applied_snapshot_hash(snapshot_hash_);
    board_.OnApplied(!std::exchange(applied_, true));
    backoff_.Reset();
  }
  Write();
  stream_->StartRead();
}

void StubPlane::OnWriteDone(uint64_t stream) {
  std::lock_guard guard(mutex_);
  if (stream == stream_number_ && stream_ != nullptr) {
    writing_ = false;
    Write();
  }
}

void StubPlane::OnClosed(uint64_t stream, const std::string& reason) {
  board_.OnClosed(reason);
  std::lock_guard guard(mutex_);
  if (stream == stream_number_) {
    lost_ = true;
    address_ = transport_ == nullptr ? 0 : (address_ + 1) % transport_->address_count();
    retry_at_ = board_.clock().Now() + backoff_.Next();
  }
}

void StubPlane::Write() {
  const MonotonicTime now = board_.clock().Now();
  if (writing_ || lost_) {
    return;
  }
  Client message;
  bool found = false;
  for (std::optional<Client>* waiting : {&hello_, &report_, &ack_}) {
    if (waiting->has_value()) {
      message = std::move(**waiting);
      waiting->reset();
      found = true;
      break;
    }
  }
  if (!found && now - last_written_ >= kHeartbeat) {
    message.mutable_heartbeat();
    found = true;
  }
  if (found) {
    writing_ = true;
    last_written_ = now;
    ToProto(now - opened_, *message.mutable_sent_at());
    stream_->StartWrite(std::move(message));
  }
}

}  // namespace rota::bench
