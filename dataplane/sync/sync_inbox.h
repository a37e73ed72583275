#pragma once

// What happens to the sync client, from any thread, for its own thread to deal with. Outlives the
// client: a stream may speak after it. Thread-safe. Bounded by the protocol: one read is open at a
// time, one write, one job.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/sync/suspension_outbox.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::sync {

struct MessageEvent {
  rota::sync::v1::ServerMessage message;
};
struct WriteDoneEvent {
  bool ok = false;
};
struct ClosedEvent {
  absl::Status status;
};
// A transaction was applied, or could not be.
struct AppliedEvent {
  absl::StatusOr<rota::sync::v1::Ack> ack;
};
// The last-known-good file was loaded, or could not be.
struct LoadedEvent {
  absl::Status status;
};

struct SyncEvent {
  uint64_t stream = 0;  // which one it is about; events of an earlier stream count for nothing
  std::variant<MessageEvent, WriteDoneEvent, ClosedEvent, AppliedEvent, LoadedEvent> what;
};

class SyncInbox {
 public:
  void Push(SyncEvent event) {
    std::lock_guard guard(mutex_);
    events_.push_back(std::move(event));
    Wake();
  }
  void AddSuspension(const rotation::Suspension& suspension) {
    std::lock_guard guard(mutex_);
    outbox_.Add(suspension);
    Wake();
  }
  rota::sync::v1::SuspensionReport TakeSuspensions(size_t limit, MonotonicTime now) {
    std::lock_guard guard(mutex_);
    return outbox_.Take(limit, now);
  }
  void RestoreSuspensions(const rota::sync::v1::SuspensionReport& report, MonotonicTime sent) {
    std::lock_guard guard(mutex_);
    outbox_.Restore(report, sent);
  }
  uint64_t dropped_suspensions() const {
    std::lock_guard guard(mutex_);
    return outbox_.dropped();
  }
  // Waits until something has happened or `deadline` has come, and hands out the events.
  std::deque<SyncEvent> Wait(Clock& clock, MonotonicTime deadline, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    if (!awake_) {
      clock.WaitUntil(lock, changed_, deadline, stop);
    }
    awake_ = false;
    return std::exchange(events_, {});
  }

 private:
  void Wake() {
    awake_ = true;
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool awake_ = false;
  std::deque<SyncEvent> events_;
  SuspensionOutbox outbox_;
};

// A stream's voice in the inbox.
class InboxEvents final : public SyncStreamEvents {
 public:
  InboxEvents(std::shared_ptr<SyncInbox> inbox, uint64_t stream)
      : inbox_(std::move(inbox)), stream_(stream) {}
  void OnMessage(rota::sync::v1::ServerMessage message) override {
    inbox_->Push({stream_, MessageEvent{std::move(message)}});
  }
  void OnWriteDone(bool ok) override { inbox_->Push({stream_, WriteDoneEvent{ok}}); }
  void OnClosed(absl::Status status) override {
    inbox_->Push({stream_, ClosedEvent{std::move(status)}});
  }

 private:
  const std::shared_ptr<SyncInbox> inbox_;
  const uint64_t stream_;
};

}  // namespace rota::sync
