#pragma once

// The global budget for request bodies that are held in memory (bytes, all loops together).
// BodyBudget is thread-safe.

#include <atomic>
#include <cstddef>

#include "dataplane/observe/request_metrics.h"

namespace rota::engine {

class BodyBudget {
 public:
  explicit BodyBudget(size_t limit) : limit_(limit) {}
  bool Take(size_t bytes) {
    const size_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= limit_) {
      return true;
    }
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  void Return(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

// What one request holds of it. Single-thread (owner: the loop that `metrics` belong to).
class BodyShare {
 public:
  BodyShare(BodyBudget& budget, observe::LoopMetrics& metrics)
      : budget_(budget), metrics_(metrics) {}
  ~BodyShare() { Release(); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;
  // False when the budget is used up.
  bool Grow(size_t bytes) {
    if (!budget_.Take(bytes)) {
      return false;
    }
    held_ += bytes;
    metrics_.AddHeldBodyBytes(static_cast<int64_t>(bytes));
    return true;
  }
  // REQUIRES: that many are held.
  void Shrink(size_t bytes) {
    budget_.Return(bytes);
    metrics_.AddHeldBodyBytes(-static_cast<int64_t>(bytes));
    held_ -= bytes;
  }
  void Release() { Shrink(held_); }
  size_t held() const { return held_; }

 private:
  BodyBudget& budget_;
  observe::LoopMetrics& metrics_;
  size_t held_ = 0;
};

}  // namespace rota::engine
