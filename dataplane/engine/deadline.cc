#include "dataplane/engine/deadline.h"

#include <algorithm>
#include <utility>

namespace rota::engine {

Deadline::~Deadline() { Unlink(); }

void Deadline::Unlink() {
  if (previous_ == nullptr) {
    return;
  }
  *previous_ = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  previous_ = nullptr;
  next_ = nullptr;
  --wheel_.count_;
}

void Deadline::Set(MonotonicTime when) {
  when_ = when;
  armed_ = true;
  // A later deadline stays where it is: the wheel moves it on when it comes past.
  if (previous_ != nullptr && wheel_.TickOf(when) >= slot_tick_) {
    return;
  }
  Unlink();
  wheel_.Link(*this);
}

void DeadlineWheel::Link(Deadline& deadline) {
  const int64_t tick = std::clamp(TickOf(deadline.when_), done_tick_ + 1, done_tick_ + kSlots - 1);
  deadline.slot_tick_ = tick;
  Deadline*& head = slots_[static_cast<size_t>(tick % kSlots)];
  deadline.next_ = head;
  deadline.previous_ = &head;
  if (head != nullptr) {
    head->previous_ = &deadline.next_;
  }
  head = &deadline;
  ++count_;
}

void DeadlineWheel::Advance(MonotonicTime now) {
  const int64_t last = (now - start_) / kTick;
  // After a long pause every slot is looked at once.
  const int64_t first = std::max(done_tick_ + 1, last - kSlots + 1);
  for (int64_t tick = first; tick <= last; ++tick) {
    done_tick_ = tick;
    // The slot is emptied one by one: a callback may destroy or set any deadline.
    Deadline* list = std::exchange(slots_[static_cast<size_t>(tick % kSlots)], nullptr);
    if (list != nullptr) {
      list->previous_ = &list;
    }
    while (list != nullptr) {
      Deadline& deadline = *list;
      deadline.Unlink();
      if (!deadline.armed_) {
        continue;
      }
      if (deadline.when_ > now) {
        Link(deadline);
        continue;
      }
      deadline.armed_ = false;
      deadline.callback_(deadline.owner_);
    }
  }
  done_tick_ = std::max(done_tick_, last);
}

}  // namespace rota::engine
