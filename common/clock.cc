#include "common/clock.h"

#include <utility>

namespace rota {

MonotonicTime RealClock::Now() const { return std::chrono::steady_clock::now(); }
WallTime RealClock::WallNow() const { return std::chrono::system_clock::now(); }

void RealClock::WaitUntil(std::unique_lock<std::mutex>& lock,
                          std::condition_variable_any& condition, MonotonicTime deadline,
                          std::stop_token stop) {
  bool woken = false;
  condition.wait_until(lock, stop, deadline, [&woken] { return std::exchange(woken, true); });
}

FakeClock::FakeClock()
    : now_(std::chrono::hours(1)),
      wall_now_(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)) {}

MonotonicTime FakeClock::Now() const {
  std::lock_guard guard(mutex_);
  return now_;
}

WallTime FakeClock::WallNow() const {
  std::lock_guard guard(mutex_);
  return wall_now_;
}

void FakeClock::WaitUntil(std::unique_lock<std::mutex>& lock,
                          std::condition_variable_any& condition, MonotonicTime deadline,
                          std::stop_token stop) {
  if (Now() >= deadline || stop.stop_requested()) {
    return;
  }
  {
    std::lock_guard guard(mutex_);
    ++waiters_;
    changed_.notify_all();
  }
  // Fake time has no alarm of its own: look at it every millisecond of real time. A notification
  // that comes between two looks is lost, so the waiter wakes early now and then, as it may, and
  // looks itself.
  constexpr int kLooksBeforeAnEarlyWake = 20;
  for (int look = 0; look < kLooksBeforeAnEarlyWake && !stop.stop_requested() && Now() < deadline;
       ++look) {
    if (condition.wait_for(lock, std::chrono::milliseconds(1)) == std::cv_status::no_timeout) {
      break;
    }
  }
  std::lock_guard guard(mutex_);
  --waiters_;
}

void FakeClock::Advance(Duration by) {
  std::lock_guard guard(mutex_);
  now_ += by;
  wall_now_ += std::chrono::duration_cast<WallTime::duration>(by);
}

void FakeClock::AwaitWaiters(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiters_ >= count; });
}

}  // namespace rota
