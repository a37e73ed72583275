#include "dataplane/engine/waiting_room.h"

#include <algorithm>
#include <utility>

namespace rota::engine {

bool WaitingRooms::Enter(const Wanted& wanted, const std::shared_ptr<Ticket>& ticket,
                         bool is_back) {
  std::lock_guard guard(mutex_);
  Room& room = RoomOf(wanted);
  const bool is_full = room.waiters >= kMaxWaiters || room.bytes + ticket->bytes_ > kMaxBytes;
  Line* line = FindLine(wanted);
  if (is_full && !is_back) {
    EraseIfEmpty(wanted);
    return false;
  }
  if (line == nullptr) {
    room.lines.push_back(std::make_unique<Line>());
    line = room.lines.back().get();
    line->wanted = wanted;
  }
  std::list<std::shared_ptr<Ticket>>& queue = line->queue;
  ticket->place_ = queue.insert(is_back ? queue.begin() : queue.end(), ticket);
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
  FindLine(wanted)->queue.erase(ticket->place_);
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
    Line* const line = FindLine(wanted);
    if (line == nullptr || line->outstanding > 0 || now < line->next_release) {
      return;
    }
    released = Take(RoomOf(wanted), *line);
  }
  Tell(released);
}

void WaitingRooms::Report(const Wanted& wanted, Outcome outcome, MonotonicTime now) {
  Tickets released;
  {
    std::lock_guard guard(mutex_);
    Line* const line = FindLine(wanted);
    if (line == nullptr) {
      return;
    }
    line->outstanding -= std::min<size_t>(line->outstanding, 1);
    line->outcome = std::max(line->outcome, outcome);
    if (line->outstanding == 0 && MayGoOn(*line, now)) {
      released = Take(RoomOf(wanted), *line);
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

WaitingRooms::Tickets WaitingRooms::Take(Room& room, Line& line) {
  Tickets taken;
  while (taken.size() < line.pace && !line.queue.empty()) {
    taken.push_back(std::move(line.queue.front()));
    line.queue.pop_front();
    taken.back()->is_queued_ = false;
    --room.waiters;
    room.bytes -= taken.back()->bytes_;
  }
  line.outstanding += taken.size();
  return taken;
}

// All that were released together have been heard of: the pace, and whether the next may follow at
// once.
bool WaitingRooms::MayGoOn(Line& line, MonotonicTime now) {
  const Outcome outcome = std::exchange(line.outcome, Outcome::kGone);
  const bool is_good = outcome <= Outcome::kServed;
  if (outcome == Outcome::kServed) {
    line.pace = std::min(line.pace * 2, kMaxWaiters);
  } else if (!is_good) {
    line.pace = 1;
  }
  if (outcome == Outcome::kFailed) {
    line.next_release = now + kProbeInterval;
  }
  return is_good;
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
