#pragma once

// Deadlines of one event loop, kept in a wheel that a single coarse timer turns: setting one again,
// which happens with each piece of a stream, is one store. Accuracy: one tick late at most.
// Single-thread (owner: the loop).

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/clock.h"

namespace rota::engine {

class DeadlineWheel;

// One deadline of one object. Goes off once per Set().
class Deadline {
 public:
  using Callback = void (*)(void* owner);
  Deadline(DeadlineWheel& wheel, Callback callback, void* owner)
      : wheel_(wheel), callback_(callback), owner_(owner) {}
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void Set(MonotonicTime when);
  void Clear() { armed_ = false; }
  bool armed() const { return armed_; }

 private:
  friend class DeadlineWheel;
  void Unlink();

  DeadlineWheel& wheel_;
  Callback callback_;
  void* owner_;
  MonotonicTime when_;
  int64_t slot_tick_ = 0;  // the tick at which the wheel looks at it again
  bool armed_ = false;
  Deadline* next_ = nullptr;
  Deadline** previous_ = nullptr;  // what points here; null: not in the wheel
};

class DeadlineWheel {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(50);

  explicit DeadlineWheel(MonotonicTime start) : start_(start) {}
  // Calls what is due.
  void Advance(MonotonicTime now);
  bool empty() const { return count_ == 0; }

 private:
  friend class Deadline;
  static constexpr int64_t kSlots = 1024;
  int64_t TickOf(MonotonicTime time) const { return (time - start_) / kTick + 1; }
  void Link(Deadline& deadline);

  MonotonicTime start_;
  int64_t done_tick_ = 0;
  size_t count_ = 0;
  std::array<Deadline*, kSlots> slots_{};
};

}  // namespace rota::engine
