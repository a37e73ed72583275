#include "controller/publish/suspension_mirror.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace rota::publish {
namespace {

// Not everything that is known is told by Wake(): a statement that data planes are not told yet.
constexpr Duration kIdle = std::chrono::seconds(10);

}  // namespace

SuspensionMirror::SuspensionMirror(Clock& clock, MirrorOptions options)
    : clock_(clock), options_(std::move(options)) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  pthread_setname_np(thread_.native_handle(), "suspensions");
}

SuspensionMirror::~SuspensionMirror() { Stop(); }

void SuspensionMirror::Stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
}

void SuspensionMirror::Lead() {
  std::lock_guard guard(look_mutex_);
  {
    std::lock_guard inner(mutex_);
    leads_ = true;
    next_look_ = next_due_ = clock_.Now() + kShortestInterval;
  }
  Look(true);
}

void SuspensionMirror::Retire() {
  {
    std::lock_guard guard(mutex_);
    leads_ = false;
  }
  std::lock_guard guard(look_mutex_);
  book_.Clear();
  places_.Clear();
}

void SuspensionMirror::Wake() {
  std::lock_guard guard(mutex_);
  if (leads_ && !has_news_) {
    has_news_ = true;
    wake_.notify_all();
  }
}

void SuspensionMirror::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      const MonotonicTime now = clock_.Now();
      const MonotonicTime due = !leads_     ? now + kIdle
                                : has_news_ ? next_look_
                                            : std::max(next_look_, next_due_);
      if (due > now) {
        clock_.WaitUntil(lock, wake_, due, stop);
        continue;
      }
    }
    std::lock_guard guard(look_mutex_);
    Look(false);
  }
}

void SuspensionMirror::Look(bool is_first) {
  const MonotonicTime now = clock_.Now();
  {
    std::lock_guard guard(mutex_);
    if (!leads_) {
      return;
    }
    has_news_ = false;
    next_look_ = now + kShortestInterval;
  }
  const std::vector<serve::SharedSuspension> active = options_.active(now);
  if (!active.empty()) {
    places_.Update(options_.snapshots());
  }
  const SuspensionChanges changes = book_.Update(active, places_, now, clock_.WallNow(), !is_first);
  if (!changes.empty()) {
    options_.on_change(changes, is_first);
  }
  std::lock_guard guard(mutex_);
  next_due_ = std::min(book_.NextDue().value_or(MonotonicTime::max()), now + kIdle);
  wake_.notify_all();
}

}  // namespace rota::publish
