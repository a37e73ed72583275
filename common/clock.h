#pragma once

// The one place where time comes from. Everything that measures or waits takes a Clock&, so that
// tests run on FakeClock and never sleep (a lint forbids clocks and sleeps outside common/).

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>

namespace rota {

// For intervals and deadlines. Never shown to people, never compared with another host's.
using MonotonicTime = std::chrono::steady_clock::time_point;
// For people and for the wire only. Never subtracted to measure an interval.
using WallTime = std::chrono::system_clock::time_point;
using Duration = std::chrono::nanoseconds;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual WallTime WallNow() const = 0;
  // Waits on `condition` until it is notified, `deadline` has come or `stop` is requested. May wake
  // early, like any condition variable. REQUIRES: `lock` holds the mutex that guards the condition.
  virtual void WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& condition,
                         MonotonicTime deadline, std::stop_token stop) = 0;
};

class RealClock final : public Clock {
 public:
  MonotonicTime Now() const override;
  WallTime WallNow() const override;
  void WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& condition,
                 MonotonicTime deadline, std::stop_token stop) override;
};

// A clock that stands still until Advance(). Starts one hour after the epoch of MonotonicTime, at
// 2026-01-01T00:00:00Z.
class FakeClock final : public Clock {
 public:
  FakeClock();
  MonotonicTime Now() const override;
  WallTime WallNow() const override;
  void WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& condition,
                 MonotonicTime deadline, std::stop_token stop) override;
  // Moves both times forward and wakes every waiter whose deadline has come.
  void Advance(Duration by);
  // Blocks until `count` waiters are inside WaitUntil: the way a test knows that a thread has gone
  // to sleep.
  void AwaitWaiters(size_t count);

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  MonotonicTime now_;
  WallTime wall_now_;
  size_t waiters_ = 0;
};

}  // namespace rota
