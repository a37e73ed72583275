#pragma once

// Published<T>: one current immutable value, many readers. A writer publishes a new value; every
// reader keeps the one that it holds for as long as it needs it (make before break).
//
// Not std::atomic<std::shared_ptr>: libstdc++ 12 lets all readers share one lock bit and upsets
// TSan. Here a reader looks at a generation counter and takes the mutex only when the value has
// changed.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace rota {

// Thread-safe.
template <typename T>
class Published {
 public:
  explicit Published(std::shared_ptr<const T> initial = nullptr) : value_(std::move(initial)) {}

  void Publish(std::shared_ptr<const T> value) {
    std::shared_ptr<const T> old;  // destroyed outside the lock
    std::lock_guard guard(mutex_);
    old = std::exchange(value_, std::move(value));
    generation_.fetch_add(1, std::memory_order_release);
  }

  std::shared_ptr<const T> Get() const {
    std::lock_guard guard(mutex_);
    return value_;
  }

  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // A cached view for one thread. Single-thread; must not outlive the Published.
  class Reader {
   public:
    explicit Reader(const Published& published) : published_(published) { Refresh(); }

    // The newest value. One atomic load when nothing has changed.
    const std::shared_ptr<const T>& Get() {
      if (published_.generation() != generation_) {
        Refresh();
      }
      return value_;
    }

   private:
    void Refresh() {
      std::lock_guard guard(published_.mutex_);
      value_ = published_.value_;
      generation_ = published_.generation_.load(std::memory_order_relaxed);
    }

    const Published& published_;
    std::shared_ptr<const T> value_;
    uint64_t generation_ = 0;
  };

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
  std::atomic<uint64_t> generation_{1};
};

}  // namespace rota
