#pragma once

// The reflector's state machine, without a wire, a clock or a thread: what has happened in, what to
// do next out.
//
//   Empty --streaming list--> Streaming --end of the initial events--> Watching(rv)
//   Streaming --error--> wait, Empty, and the next one is a list in pages
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

enum class ReflectorPhase { kEmpty, kStreaming, kPaging, kListed, kWatching };

struct ReflectorState {
  ReflectorPhase phase = ReflectorPhase::kEmpty;
  // Of the list's first page, then of the last event. Opaque.
  std::string resource_version;
  std::string continue_token;  // kPaging only
  bool unpaged = false;        // the next list asks for everything at once
  bool unstreamed = false;     // the next list is no stream
};

struct Wait {
  enum class Kind { kNone, kBackoff, kExactly, kReconnect };
  Kind kind = Kind::kNone;
  // kBackoff: at least this long; kExactly: this long. kReconnect: see RetryPace.
  Duration duration{};
};

struct Decision {
  ReflectorState next;
  Wait wait;             // before anything else
  bool discard = false;  // what the current list has brought so far
  bool commit = false;   // the current list is complete: diff it against the store
  bool stop_watch = false;
  bool no_streams = false;  // the server cannot stream lists: nobody asks it again
};

// The list answered; `continue_token` "" on the last page.
Decision AfterPage(const ReflectorState& state, const std::string& resource_version,
                   const std::string& continue_token);
Decision AfterListFailed(const ReflectorState& state, const absl::Status& error);
// A streaming list was opened.
Decision AfterStreamOpened(const ReflectorState& state);
// Its initial events are complete.
Decision AfterInitialEvents(const ReflectorState& state, const std::string& resource_version);
// It was not opened, or has ended before that. `in_stream`: after it was opened.
Decision AfterStreamFailed(const absl::Status& error, bool in_stream);
// It has lived out its time without an end of the initial events.
Decision AfterStreamWithoutEnd();
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
