#include "dataplane/engine/waiting_room.h"

#include <algorithm>
#include <utility>

#include "dataplane/engine/loop.h"

namespace rota::engine {

bool WaitingRooms::Enter(const std::string& name, const std::shared_ptr<Ticket>& ticket,
                         MonotonicTime return_time, MonotonicTime now, bool returning) {
  std::lock_guard guard(mutex_);
  Room& room = rooms_[name];
  if (!returning && (room.queue.size() >= kMaxWaiters || room.bytes + ticket->bytes > kMaxBytes)) {
    EraseIfEmptyLocked(name);
    return false;
  }
  // A newcomer does not know better than those who wait already.
  if (room.queue.empty() || returning) {
    room.next_poll = std::min(return_time, now + kProbeInterval);
  }
  ticket->place = room.queue.insert(returning ? room.queue.begin() : room.queue.end(), ticket);
  ticket->queued = true;
  room.bytes += ticket->bytes;
  return true;
}

bool WaitingRooms::Leave(const std::string& name, const std::shared_ptr<Ticket>& ticket) {
  std::lock_guard guard(mutex_);
  if (!std::exchange(ticket->queued, false)) {
    return false;
  }
  Room& room = rooms_[name];
  room.queue.erase(ticket->place);
  room.bytes -= ticket->bytes;
  EraseIfEmptyLocked(name);
  return true;
}

void WaitingRooms::Poll(const std::string& name, MonotonicTime now) {
  Tickets released;
  {
    std::lock_guard guard(mutex_);
    const auto found = rooms_.find(name);
    if (found == rooms_.end() || found->second.outstanding > 0 || now < found->second.next_poll) {
      return;
    }
    found->second.next_poll = now + kProbeInterval;
    released = TakeLocked(found->second);
  }
  Tell(released);
}

void WaitingRooms::Report(const std::string& name, bool success) {
  Tickets released;
  {
    std::lock_guard guard(mutex_);
    const auto found = rooms_.find(name);
    if (found == rooms_.end()) {
      return;
    }
    Room& room = found->second;
    room.outstanding -= std::min<size_t>(room.outstanding, 1);
    room.failed = room.failed || !success;
    if (room.outstanding == 0) {
      if (std::exchange(room.failed, false)) {
        room.pace = 1;
      } else {
        room.pace = std::min(room.pace * 2, kMaxWaiters);
        released = TakeLocked(room);
      }
    }
    EraseIfEmptyLocked(name);
  }
  Tell(released);
}

bool WaitingRooms::HasWaiters(const std::string& name) {
  std::lock_guard guard(mutex_);
  const auto found = rooms_.find(name);
  return found != rooms_.end() && !found->second.queue.empty();
}

WaitingRooms::Tickets WaitingRooms::TakeLocked(Room& room) {
  Tickets taken;
  while (taken.size() < room.pace && !room.queue.empty()) {
    taken.push_back(std::move(room.queue.front()));
    room.queue.pop_front();
    taken.back()->queued = false;
    room.bytes -= taken.back()->bytes;
  }
  room.outstanding += taken.size();
  return taken;
}

void WaitingRooms::EraseIfEmptyLocked(const std::string& name) {
  const auto found = rooms_.find(name);
  if (found != rooms_.end() && found->second.queue.empty() && found->second.outstanding == 0) {
    rooms_.erase(found);
  }
}

void WaitingRooms::Tell(const Tickets& tickets) {
  for (const std::shared_ptr<Ticket>& ticket : tickets) {
    ticket->loop.Post([ticket] {
      ticket->released = true;
      if (!ticket->done) {
        ticket->signal.Fire();
      }
    });
  }
}

Waiting::Waiting(Loop& loop, std::string room, size_t bytes)
    : loop_(loop),
      room_(std::move(room)),
      bytes_(bytes),
      deadline_(
          loop.wheel(), [](void* self) { static_cast<Waiting*>(self)->OnDeadline(); }, this) {}

Waiting::~Waiting() { Report(false); }

void Waiting::Report(bool success) {
  if (std::exchange(owes_report_, false)) {
    loop_.shared().rooms->Report(room_, success);
  }
}

void Waiting::OnDeadline() {
  const MonotonicTime now = loop_.Now();
  if (now >= until_) {
    ticket_->signal.Fire();
    return;
  }
  loop_.shared().rooms->Poll(room_, now);
  deadline_.Set(std::min(until_, now + kPoll));
}

void Waiting::Cancel() {
  if (!std::exchange(cancelled_, true) && ticket_ != nullptr) {
    // Not from inside the caller, who may be in the middle of something.
    loop_.Post([ticket = ticket_] {
      if (!ticket->done) {
        ticket->signal.Fire();
      }
    });
  }
}

Task<Waiting::Result> Waiting::Wait(MonotonicTime return_time, MonotonicTime until) {
  WaitingRooms& rooms = *loop_.shared().rooms;
  const MonotonicTime now = loop_.Now();
  const bool returning = owes_report_;
  until_ = until;
  // A ticket of its own for each stay: a release that comes late belongs to the stay before.
  const auto ticket = std::make_shared<WaitingRooms::Ticket>(loop_);
  ticket->bytes = bytes_;
  if (cancelled_) {
    co_return Result::kCancelled;
  }
  if (!rooms.Enter(room_, ticket, return_time, now, returning)) {
    co_return Result::kFull;
  }
  ticket_ = ticket;
  Report(false);
  deadline_.Set(std::min(until_, std::max(return_time, now)));
  while (!ticket->released && !cancelled_ && loop_.Now() < until_) {
    co_await ticket->signal.Wait();
  }
  deadline_.Clear();
  ticket->done = true;
  owes_report_ = !rooms.Leave(room_, ticket);
  if (cancelled_) {
    co_return Result::kCancelled;
  }
  if (!owes_report_) {
    co_return Result::kTooLong;
  }
  co_return Result::kReleased;
}

}  // namespace rota::engine
