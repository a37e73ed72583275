#pragma once

// The reflector's state machine, without a wire, a clock or a thread: what has happened in, what to
// do next out.
//
//   Empty --page ok, more--> Paging --last page--> Listed(rv) --watch 200--> Watching(rv)
//   Empty, Paging --error--> wait, Empty          Paging --410--> one list without pages, else
//   Empty Listed --no answer, 429, 5xx, 401, 403--> wait, Listed(rv)     Listed --410, bad rv-->
//   Empty Watching --end, idle, reset--> Listed(rv), without a wait unless it lived < 1 s and
//   brought nothing Watching --ERROR 410, unreadable event--> Empty    Watching --other ERROR-->
//   wait, Listed(rv)
//
// The store of the caller is only ever replaced by a complete list (`commit`): a failure never
// empties it. Thread-compatible.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"

namespace rota::kube {

enum class ReflectorPhase { kEmpty, kPaging, kListed, kWatching };

struct ReflectorState {
  ReflectorPhase phase = ReflectorPhase::kEmpty;
  // Of the list's first page, then of the last event. Opaque.
  std::string resource_version;
  std::string continue_token;  // kPaging only
  bool unpaged = false;        // the next list asks for everything at once
};

struct Wait {
  enum class Kind { kNone, kBackoff, kExactly };
  Kind kind = Kind::kNone;
  // kBackoff: at least this long; kExactly: this long.
  Duration duration{};
};

struct Decision {
  ReflectorState next;
  Wait wait;             // before anything else
  bool discard = false;  // what the current list has brought so far
  bool commit = false;   // the current list is complete: diff it against the store
  bool stop_watch = false;
};

// The list answered; `continue_token` "" on the last page.
Decision AfterPage(const ReflectorState& state, const std::string& resource_version,
                   const std::string& continue_token);
Decision AfterListFailed(const ReflectorState& state, const absl::Status& error);
Decision AfterWatchOpened(const ReflectorState& state);
Decision AfterWatchNotOpened(const ReflectorState& state, const absl::Status& error);
// ADDED, MODIFIED, DELETED or BOOKMARK.
Decision AfterEvent(const ReflectorState& state, const std::string& resource_version);
// An ERROR event.
Decision AfterErrorEvent(const ReflectorState& state, const absl::Status& error);
// An event that cannot be understood: what we hold may be wrong, so list again.
Decision AfterUnreadableEvent(const ReflectorState& state);
// The stream ended, whatever the reason (the server's timeout, idle, reset).
Decision AfterWatchEnded(const ReflectorState& state, Duration lifetime, bool had_events);

}  // namespace rota::kube
