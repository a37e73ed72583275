#pragma once

// A SyncTransport whose controllers are played by the test: it sees what the client writes and says
// what comes back. Every wait has a deadline. Test code only.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/sync/sync_transport.h"
#include "gtest/gtest.h"

namespace rota::sync {

// One stream as the controller sees it. Thread-safe.
class ScriptedStream {
 public:
  ScriptedStream(size_t address, std::shared_ptr<SyncStreamEvents> events)
      : address_(address), events_(std::move(events)) {}

  size_t address() const { return address_; }

  // What the client has written next; the write is done then.
  rota::sync::v1::ClientMessage Await() {
    rota::sync::v1::ClientMessage message;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, kPatience, [this] { return written_.has_value(); })) {
        ADD_FAILURE() << "the client has written nothing";
        return message;
      }
      message = std::move(*written_);
      written_.reset();
    }
    events_->OnWriteDone(true);
    return message;
  }
  // Waits until the client reads.
  void Send(rota::sync::v1::ServerMessage message) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, kPatience, [this] { return reading_ || cancelled_; })) {
        ADD_FAILURE() << "the client does not read";
        return;
      }
      reading_ = false;
    }
    events_->OnMessage(std::move(message));
  }
  void Close(const absl::Status& status) {
    // Not a copy: absl's count of references is not instrumented, and TSan would see a race in it.
    events_->OnClosed(absl::Status(status.code(), status.message()));
  }
  void AwaitCancel() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return cancelled_; }))
        << "the client has not let go of the stream";
  }
  bool HasWritten() {
    std::lock_guard guard(mutex_);
    return written_.has_value();
  }

  void SendWelcome() {
    rota::sync::v1::ServerMessage message;
    message.mutable_welcome()->set_server("scripted");
    message.mutable_welcome()->set_rotation_phase(77);
    Send(message);
  }
  void SendChunk(rota::sync::v1::Chunk chunk) {
    rota::sync::v1::ServerMessage message;
    *message.mutable_chunk() = std::move(chunk);
    Send(message);
  }

 private:
  friend class ScriptedHandle;
  static constexpr std::chrono::seconds kPatience{10};

  const size_t address_;
  const std::shared_ptr<SyncStreamEvents> events_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<rota::sync::v1::ClientMessage> written_;
  bool reading_ = false;
  bool cancelled_ = false;
};

// The client's end.
class ScriptedHandle final : public SyncStream {
 public:
  explicit ScriptedHandle(std::shared_ptr<ScriptedStream> stream) : stream_(std::move(stream)) {}
  ~ScriptedHandle() override { Cancel(); }
  void StartWrite(rota::sync::v1::ClientMessage message) override {
    std::lock_guard guard(stream_->mutex_);
    EXPECT_FALSE(stream_->written_.has_value()) << "two writes at once";
    stream_->written_ = std::move(message);
    stream_->changed_.notify_all();
  }
  void StartRead() override {
    std::lock_guard guard(stream_->mutex_);
    EXPECT_FALSE(stream_->reading_) << "two reads at once";
    stream_->reading_ = true;
    stream_->changed_.notify_all();
  }
  void Cancel() override {
    std::lock_guard guard(stream_->mutex_);
    stream_->cancelled_ = true;
    stream_->changed_.notify_all();
  }

 private:
  const std::shared_ptr<ScriptedStream> stream_;
};

struct ScriptedControllers {
  // The client's next try; null when none comes.
  std::shared_ptr<ScriptedStream> AwaitStream() {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, std::chrono::seconds(10), [this] { return !streams.empty(); })) {
      ADD_FAILURE() << "the client does not connect";
      return nullptr;
    }
    std::shared_ptr<ScriptedStream> stream = streams.front();
    streams.pop_front();
    return stream;
  }
  bool HasStream() {
    std::lock_guard guard(mutex);
    return !streams.empty();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<ScriptedStream>> streams;
};

class ScriptedTransport final : public SyncTransport {
 public:
  ScriptedTransport(std::shared_ptr<ScriptedControllers> controllers, size_t addresses)
      : controllers_(std::move(controllers)), addresses_(addresses) {}
  size_t address_count() const override { return addresses_; }
  std::string address(size_t index) const override { return "controller-" + std::to_string(index); }
  std::unique_ptr<SyncStream> Connect(size_t index,
                                      std::shared_ptr<SyncStreamEvents> events) override {
    auto stream = std::make_shared<ScriptedStream>(index, std::move(events));
    std::lock_guard guard(controllers_->mutex);
    controllers_->streams.push_back(stream);
    controllers_->changed.notify_all();
    return std::make_unique<ScriptedHandle>(stream);
  }

 private:
  const std::shared_ptr<ScriptedControllers> controllers_;
  const size_t addresses_;
};

}  // namespace rota::sync
