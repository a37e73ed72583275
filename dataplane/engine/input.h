#pragma once

// Buffered input of one stream with at most one read outstanding. The read stays outstanding also
// while nobody waits for data: that is how a peer that goes away is noticed at once, in every
// phase.
//
// The owner closes the stream and awaits Stopped() before it destroys this. Single-thread (owner:
// the loop).

#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "dataplane/engine/stream.h"
#include "dataplane/engine/task.h"

namespace rota::engine {

// Bytes [begin, end) of an allocation.
class Buffer {
 public:
  std::string_view view() const { return {bytes_.get() + begin_, end_ - begin_}; }
  std::span<char> span() { return {bytes_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return capacity_; }
  // `may_rewind`: an empty buffer starts at its beginning again (not while a read goes behind the
  // content).
  void Consume(size_t bytes, bool may_rewind = true);
  void Append(std::string_view bytes);
  // Room of at least `bytes` behind the content; moves it.
  void Reserve(size_t bytes);
  std::span<char> room() { return {bytes_.get() + end_, capacity_ - end_}; }
  void Grow(size_t bytes) { end_ += bytes; }
  void Clear() { begin_ = end_ = 0; }
  void Release();

 private:
  std::unique_ptr<char[]> bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

class Input final : public IoWaiter {
 public:
  // Told what arrives while no coroutine waits for it.
  class Listener {
   public:
    virtual void OnUnawaitedInput() = 0;

   protected:
    ~Listener() = default;
  };

  // Bytes per read; engine.md: small reads are what makes a proxy slow.
  static constexpr size_t kReadBytes = 8 << 10;

  explicit Input(Stream& stream) : stream_(stream) {}
  void set_listener(Listener* listener) { listener_ = listener; }

  // Begins a read of up to `bytes` behind what is there, unless one is outstanding or the stream
  // has ended. May move the content.
  void Start(size_t bytes = kReadBytes);

  std::string_view view() const { return buffer_.view(); }
  std::span<char> span() { return buffer_.span(); }
  bool empty() const { return buffer_.empty(); }
  void Consume(size_t bytes) { buffer_.Consume(bytes, /*may_rewind=*/!reading_); }
  // REQUIRES: no read is outstanding. Swaps the content out; bytes that are not the taker's come
  // back by Append.
  void Swap(Buffer& buffer);
  void Append(std::string_view bytes) { buffer_.Append(bytes); }
  void ReleaseMemory();
  bool reading() const { return reading_; }
  bool ended() const { return error_ != IoError::kNone; }
  IoError error() const { return error_; }
  uint64_t total_bytes() const { return total_bytes_; }

  // `co_await input.More()`: returns when bytes have arrived since the last More(), or the stream
  // ended.
  struct MoreAwaiter {
    Input& input;
    size_t bytes;
    bool await_ready();
    void await_suspend(std::coroutine_handle<> handle) { input.waiter_ = handle; }
    void await_resume() const noexcept {}
  };
  MoreAwaiter More(size_t bytes = kReadBytes) { return {*this, bytes}; }
  bool has_waiter() const { return static_cast<bool>(waiter_); }
  // Resumes the coroutine that waits in More() although nothing has come (a deadline); the read
  // goes on.
  void Wake() {
    if (waiter_) {
      std::exchange(waiter_, nullptr).resume();
    }
  }
  // Forgets that bytes have arrived: the caller has looked at them.
  void MarkSeen() { fresh_ = false; }

  // `co_await input.Stopped()`: after Close(), until the outstanding read has come back.
  struct StoppedAwaiter {
    Input& input;
    bool await_ready() const { return !input.reading_; }
    void await_suspend(std::coroutine_handle<> handle) { input.waiter_ = handle; }
    void await_resume() const noexcept {}
  };
  StoppedAwaiter Stopped() { return {*this}; }

  void OnIo(IoResult result) override;

 private:
  Stream& stream_;
  Listener* listener_ = nullptr;
  Buffer buffer_;
  std::coroutine_handle<> waiter_;
  uint64_t total_bytes_ = 0;
  IoError error_ = IoError::kNone;
  bool reading_ = false;
  bool fresh_ = false;
};

}  // namespace rota::engine
