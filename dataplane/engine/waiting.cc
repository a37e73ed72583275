#include "dataplane/engine/waiting.h"

#include <algorithm>
#include <utility>

#include "dataplane/engine/loop.h"

namespace rota::engine {

// Shared with the rooms: the request may have gone when it is released.
class Waiting::Ticket final : public WaitingRooms::Ticket,
                              public std::enable_shared_from_this<Ticket> {
 public:
  Ticket(Loop& loop, size_t bytes, uint64_t place)
      : WaitingRooms::Ticket(bytes, place), loop_(loop) {}

  void OnReleased() override {
    loop_.Post([self = shared_from_this()] {
      self->is_released = true;
      self->Fire();
    });
  }
  // Not from inside the caller, who may be in the middle of something.
  void FireSoon() {
    loop_.Post([self = shared_from_this()] { self->Fire(); });
  }
  void Fire() {
    if (!is_done) {
      signal.Fire();
    }
  }

  // Only for the loop.
  Signal signal;
  bool is_released = false;
  bool is_done = false;  // nobody waits on `signal` any more

 private:
  Loop& loop_;
};

Waiting::Waiting(Loop& loop, const Wanted& wanted, size_t bytes)
    : loop_(loop),
      wanted_(wanted),
      bytes_(bytes),
      deadline_(
          loop.wheel(), [](void* self) { static_cast<Waiting*>(self)->OnDeadline(); }, this) {}

Waiting::~Waiting() { Report(Outcome::kGone); }

bool Waiting::IsBehindOthers() const { return loop_.shared().rooms->HasWaiters(wanted_); }

void Waiting::Report(Outcome outcome) {
  if (std::exchange(owes_report_, false)) {
    loop_.shared().rooms->Report(wanted_, *ticket_, outcome, loop_.Now());
  }
}

void Waiting::OnDeadline() {
  const MonotonicTime now = loop_.Now();
  if (returns_ <= now || wanted_.rotation->change_count() != seen_change_) {
    LookForReturn(now);
  }
  if (now >= until_ || IsHopeless()) {
    ticket_->signal.Fire();
    return;
  }
  SetNextLook(now);
  if (returns_ <= now) {
    loop_.shared().rooms->Release(wanted_, now);
  }
}

void Waiting::SetNextLook(MonotonicTime now) {
  const MonotonicTime next = now + kLookInterval;
  deadline_.Set(std::min(until_, returns_ > now ? std::min(returns_, next) : next));
}

void Waiting::LookForReturn(MonotonicTime now) {
  seen_change_ = wanted_.rotation->change_count();
  const std::optional<rotation::NothingEligible> nothing =
      wanted_.rotation->WhyNothing(now, wanted_.excluded);
  returns_ = !nothing.has_value() ? now : nothing->earliest_return.value_or(MonotonicTime::max());
}

void Waiting::Cancel() {
  if (!std::exchange(cancelled_, true) && ticket_ != nullptr) {
    ticket_->FireSoon();
  }
}

Task<Waiting::Result> Waiting::Wait(MonotonicTime until) {
  WaitingRooms& rooms = *loop_.shared().rooms;
  until_ = until;
  LookForReturn(loop_.Now());
  if (cancelled_) {
    co_return Result::kCancelled;
  }
  if (IsHopeless()) {
    co_return Result::kTooLong;
  }
  // A ticket of its own for each stay: a release that comes late belongs to the stay before.
  const auto ticket = std::make_shared<Ticket>(loop_, bytes_, place_);
  if (!rooms.Enter(wanted_, ticket)) {
    co_return Result::kFull;
  }
  Report(Outcome::kNothing);  // of the stay before
  ticket_ = ticket;
  place_ = ticket->place();
  SetNextLook(loop_.Now());
  while (!ticket->is_released && !cancelled_ && loop_.Now() < until_ && !IsHopeless()) {
    co_await ticket->signal.Wait();
  }
  deadline_.Clear();
  ticket->is_done = true;
  owes_report_ = !rooms.Leave(wanted_, ticket);
  if (cancelled_) {
    co_return Result::kCancelled;
  }
  co_return owes_report_ ? Result::kReleased : Result::kTooLong;
}

}  // namespace rota::engine
