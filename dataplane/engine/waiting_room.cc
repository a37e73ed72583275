#include "dataplane/engine/waiting_room.h"

#include <algorithm>
#include <utility>

namespace rota::engine {

bool WaitingRooms::Enter(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket) {
  std::lock_guard guard(mutex_);
  Room& room = RoomOf(wanted);
  const bool is_full = room.waiters >= kMaxWaiters || room.bytes + ticket->bytes_ > kMaxBytes;
  const bool is_newcomer = ticket->place_ == 0;
  if (is_full && is_newcomer) {
    EraseIfEmpty(wanted);
    return false;
  }
  Line* line = FindLine(wanted);
  if (line == nullptr) {
    room.lines.push_back(std::make_unique<Line>());
    line = room.lines.back().get();
    line->wanted = wanted;
    BeginRamp(*line, MonotonicTime());
  }
  std::list<std::shared_ptr<Ticket>>& queue = line->queue;
  auto next = queue.end();
  if (is_newcomer) {
    if (queue.empty()) {
      // All had been released: the targets have left the rota once more since.
      BeginRamp(*line, line->next_release);
    }
    ticket->place_ = ++last_place_;
  } else {
    next = std::find_if(queue.begin(), queue.end(),
                        [&ticket](const auto& other) { return other->place_ > ticket->place_; });
  }
  ticket->position_ = queue.insert(next, ticket);
  ticket->is_queued_ = true;
  ++room.waiters;
  room.bytes += ticket->bytes_;
  return true;
}

bool WaitingRooms::Leave(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket) {
  std::lock_guard guard(mutex_);
  if (!std::exchange(ticket->is_queued_, false)) {
    return false;
  }
  FindLine(wanted)->queue.erase(ticket->position_);
  Room& room = RoomOf(wanted);
  --room.waiters;
  room.bytes -= ticket->bytes_;
  EraseIfEmpty(wanted);
  return true;
}

void WaitingRooms::Release(const Wanted& wanted, MonotonicTime now) {
  Tickets released;
  {
    std::lock_guard guard(mutex_);
    if (Line* const line = FindLine(wanted)) {
      released = Take(RoomOf(wanted), *line, now);
    }
  }
  Tell(released);
}

void WaitingRooms::Report(const Wanted& wanted, const Ticket& ticket, Outcome outcome,
                          MonotonicTime now) {
  Tickets released;
  {
    std::lock_guard guard(mutex_);
    Line* const line = FindLine(wanted);
    if (line == nullptr || line->ramp != ticket.ramp_) {
      return;  // it says nothing of the time since then
    }
    Learn(*line, outcome, now);
    if (outcome == Outcome::kServed || outcome == Outcome::kGone) {
      released = Take(RoomOf(wanted), *line, now);
    }
    EraseIfEmpty(wanted);
  }
  Tell(released);
}

bool WaitingRooms::HasWaiters(const Wanted& wanted) {
  std::lock_guard guard(mutex_);
  const Line* const line = FindLine(wanted);
  return line != nullptr && !line->queue.empty();
}

WaitingRooms::Room& WaitingRooms::RoomOf(const Wanted& wanted) {
  return rooms_[wanted.rotation->spec().id];
}

WaitingRooms::Line* WaitingRooms::FindLine(const Wanted& wanted) {
  const auto room = rooms_.find(wanted.rotation->spec().id);
  if (room == rooms_.end()) {
    return nullptr;
  }
  for (const std::unique_ptr<Line>& line : room->second.lines) {
    if (line->wanted == wanted) {
      return line.get();
    }
  }
  return nullptr;
}

WaitingRooms::Tickets WaitingRooms::Take(Room& room, Line& line, MonotonicTime now) {
  Tickets taken;
  while (line.outstanding < line.window && now >= line.next_release && !line.queue.empty()) {
    taken.push_back(std::move(line.queue.front()));
    line.queue.pop_front();
    taken.back()->is_queued_ = false;
    taken.back()->ramp_ = line.ramp;
    --room.waiters;
    room.bytes -= taken.back()->bytes_;
    ++line.outstanding;
  }
  return taken;
}

void WaitingRooms::Learn(Line& line, Outcome outcome, MonotonicTime now) {
  --line.outstanding;
  if (outcome == Outcome::kServed) {
    ++line.window;
  } else if (outcome == Outcome::kNothing) {
    BeginRamp(line, now);
  } else if (outcome == Outcome::kFailed) {
    BeginRamp(line, now + kProbeInterval);
  }
}

// One probe from `when` on, whatever is still out.
void WaitingRooms::BeginRamp(Line& line, MonotonicTime when) {
  line.ramp = ++last_ramp_;
  line.window = 1;
  line.outstanding = 0;
  line.next_release = when;
}

void WaitingRooms::EraseIfEmpty(const Wanted& wanted) {
  const auto room = rooms_.find(wanted.rotation->spec().id);
  if (room == rooms_.end()) {
    return;
  }
  std::erase_if(room->second.lines, [](const std::unique_ptr<Line>& line) {
    return line->queue.empty() && line->outstanding == 0;
  });
  if (room->second.lines.empty()) {
    rooms_.erase(room);
  }
}

void WaitingRooms::Tell(const Tickets& released) {
  for (const std::shared_ptr<Ticket>& ticket : released) {
    ticket->OnReleased();
  }
}

}  // namespace rota::engine
