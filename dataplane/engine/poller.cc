#include "dataplane/engine/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/log.h"

namespace rota::engine {

Poller::Poller(const Clock& clock, Overload* overload)
    : clock_(clock),
      overload_(overload),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      turn_time_(clock.Now()) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (epoll_ < 0 || wake_up_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_up_, &event) != 0) {
    log::Error("engine", "no event loop: the operating system has no descriptor for one",
               {{"error", std::strerror(errno)}});
    std::abort();  // at the start of the process, and nothing works without it
  }
}

Poller::~Poller() {
  ::close(wake_up_);
  ::close(epoll_);
}

bool Poller::Add(int descriptor, uint32_t events, Source& source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &source;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    return false;
  }
  ++sources_;
  return true;
}

void Poller::Change(int descriptor, uint32_t events, Source& source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &source;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event);
}

void Poller::Remove(Source& source) {
  --sources_;
  for (size_t i = next_event_; i < event_count_; ++i) {
    if (events_[i].data.ptr == &source) {
      events_[i].data.ptr = nullptr;
    }
  }
  if (std::exchange(source.held_events_, 0) != 0) {
    held_[source.held_place_ - held_start_] = nullptr;
  }
}

void Poller::Defer(Source& source) {
  if (!std::exchange(source.is_deferred_, true)) {
    deferred_.push_back(&source);
  }
}

void Poller::Forget(Source& source) {
  if (std::exchange(source.is_deferred_, false)) {
    std::replace(deferred_.begin(), deferred_.end(), &source, static_cast<Source*>(nullptr));
    std::replace(running_.begin(), running_.end(), &source, static_cast<Source*>(nullptr));
  }
}

void Poller::Post(std::function<void()> work) {
  {
    std::lock_guard guard(mutex_);
    posted_.push_back(std::move(work));
    if (has_posted_.exchange(true, std::memory_order_acq_rel)) {
      return;
    }
  }
  const uint64_t one = 1;
  (void)!::write(wake_up_, &one, sizeof(one));  // fails only where 2^64 wake-ups are outstanding
}

bool Poller::is_idle() const { return sources_ == 0 && deferred_.empty() && !has_posted(); }

void Poller::Turn(Duration at_most) {
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::max(at_most, Duration{}));
  const bool has_work = !held_.empty() || !deferred_.empty() || has_posted();
  const int timeout = has_work ? 0 : static_cast<int>(wait.count());
  const int count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(kMaxEvents), timeout);
  turn_time_ = clock_.Now();
  event_count_ = static_cast<size_t>(std::max(count, 0));
  next_event_ = 0;
  while (next_event_ < event_count_) {
    const epoll_event event = events_[next_event_++];
    // Null: the loop is being woken up, or the source has gone in this very turn.
    if (event.data.ptr != nullptr) {
      OnEvents(*static_cast<Source*>(event.data.ptr), event.events);
    }
  }
  RunHeld();
  RunDeferred();
  if (has_posted()) {
    RunPosted();
  }
}

void Poller::OnEvents(Source& source, uint32_t events) {
  if (source.held_events_ != 0) {
    source.held_events_ |= events;
  } else if (source.patience_ == Patience::kNone) {
    source.OnReady(events);
  } else if (source.patience_ == Patience::kRefusable && overload_ != nullptr &&
             overload_->Refuses()) {
    TurnAway(source, events);
  } else {
    Hold(source, events);
  }
}

void Poller::Hold(Source& source, uint32_t events) {
  source.held_events_ = events;
  source.held_place_ = held_start_ + held_.size();
  held_.push_back(&source);
}

void Poller::TurnAway(Source& source, uint32_t events) {
  turns_away_ = true;
  source.OnReady(events);
  turns_away_ = false;
}

void Poller::RunHeld() {
  for (size_t starts = 0; starts < kStarts && !held_.empty(); ++starts) {
    Source* const source = held_.front();
    held_.pop_front();
    ++held_start_;
    if (source != nullptr) {
      source->OnReady(std::exchange(source->held_events_, 0));
    }
  }
}

// What is put off meanwhile is for the next turn, so that the kernel is asked in between.
void Poller::RunDeferred() {
  running_.swap(deferred_);
  for (size_t i = 0; i < running_.size(); ++i) {
    Source* const source = std::exchange(running_[i], nullptr);
    if (source != nullptr) {
      source->is_deferred_ = false;
      source->OnDeferred();
    }
  }
  running_.clear();
}

void Poller::RunPosted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard guard(mutex_);
    work.swap(posted_);
    has_posted_.store(false, std::memory_order_release);
  }
  for (const std::function<void()>& one : work) {
    one();
  }
}

}  // namespace rota::engine
