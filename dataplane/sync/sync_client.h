#pragma once

// The data plane's end of the sync protocol: keeps one stream to one of the controllers, stages and
// applies transactions, acknowledges, reports this process's suspensions and applies those of the
// others. A lost controller changes nothing that is served. At start it waits a little for a
// controller, then serves from the last-known-good file.
//
// Thread-safe. Two threads of its own (the stream's logic; applying), one more for the file.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/remote_clock.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/sync/apply_worker.h"
#include "dataplane/sync/controller_view.h"
#include "dataplane/sync/stager.h"
#include "dataplane/sync/sync_inbox.h"
#include "dataplane/sync/sync_state.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::sync {

struct SyncClientOptions {
  std::string node;  // unique per data plane
  std::string gateway = "default/rota";
  std::string build;
  std::string state_dir;  // "": no last-known-good file
  std::optional<StateKey> state_key;
  Duration startup_grace = std::chrono::seconds(3);  // for a controller, before the file is used
  Duration save_interval = std::chrono::seconds(5);
  Duration welcome_timeout = std::chrono::seconds(10);
  Duration heartbeat_interval = std::chrono::seconds(15);
  Duration silence_timeout = std::chrono::seconds(45);
  Duration remind_within = std::chrono::seconds(1);       // of Welcome: what the controller lacks
  Duration first_retry = std::chrono::milliseconds(100);  // doubling, full jitter
  Duration longest_retry = std::chrono::seconds(15);
  Backoff::Random random = Backoff::SystemRandom();  // jitter, and the first controller to try
  StagerLimits limits;
};

// What the client works on. None of them may call the client back but for ReportSuspension; `apply`
// comes on one thread, the others on another one.
struct SyncCallbacks {
  // Builds and publishes; see resource_store.h.
  Applier apply;
  // rotation::Registry::ApplyRemote.
  std::function<void(const std::vector<rotation::Suspension>&, MonotonicTime)> apply_remote;
  // rotation::Registry::Own: repeated to a controller after each reconnect.
  std::function<std::vector<rotation::Suspension>(MonotonicTime)> own_suspensions;
  // rotation::Registry::Known: a controller that lacks some of them is told, whose ever they are.
  std::function<std::vector<rotation::Suspension>(MonotonicTime)> known_suspensions;
  // rotation::Registry::SetPhase, before the stream's first transaction.
  std::function<void(uint64_t)> set_phase;
};

class SyncClient {
 public:
  // `clock` outlives the client. Nothing happens before Start().
  SyncClient(SyncClientOptions options, std::unique_ptr<SyncTransport> transport,
             SyncCallbacks callbacks, Clock& clock);
  ~SyncClient();

  void Start();
  // From rotation::Registry's listener: never blocks for long, never calls back. What cannot be
  // sent now is kept, the newest per target and origin.
  void ReportSuspension(const rotation::Suspension& suspension);
  SyncState state() const;

 private:
  void Run(std::stop_token stop);
  MonotonicTime NextDeadline() const;
  void OnTime(MonotonicTime now);
  void Connect(MonotonicTime now);
  // Ends the stream, if any, and plans the next try.
  void Disconnect(const absl::Status& status, MonotonicTime now);
  void Handle(SyncEvent event, MonotonicTime now);
  void On(MessageEvent event, MonotonicTime now);
  void On(const WriteDoneEvent& event);
  void On(const ClosedEvent& event, MonotonicTime now);
  void On(AppliedEvent event, bool of_this_stream, MonotonicTime now);
  void On(const LoadedEvent& event);
  void OnWelcome(const rota::sync::v1::Welcome& welcome, MonotonicTime now);
  void OnChunk(rota::sync::v1::Chunk chunk, MonotonicTime now);
  void OnSuspensions(const rota::sync::v1::SuspensionUpdate& update, MonotonicTime sent,
                     MonotonicTime now);
  void Remind(MonotonicTime now);
  void Write(MonotonicTime now);
  bool NextMessage(MonotonicTime now, rota::sync::v1::ClientMessage& message);

  const SyncClientOptions options_;
  const std::unique_ptr<SyncTransport> transport_;
  const SyncCallbacks callbacks_;
  Clock& clock_;
  const std::shared_ptr<SyncInbox> inbox_;
  ApplyWorker worker_;

  // The rest belongs to the client's thread, but for what state_mutex_ guards.
  Stager stager_;
  Backoff backoff_;
  std::unique_ptr<SyncStream> stream_;
  uint64_t stream_number_ = 0;
  size_t address_ = 0;
  bool welcomed_ = false;
  bool hello_written_ = false;
  bool writing_ = false;
  int jobs_ = 0;  // at the worker
  bool load_tried_ = false;
  bool configured_ = false;  // something has been applied
  std::optional<rota::sync::v1::Ack> ack_;
  rota::sync::v1::SuspensionReport writing_report_;
  RemoteClock controller_clock_;
  EarlyMessages<rota::sync::v1::SuspensionUpdate> early_updates_;
  ControllerView controller_view_;
  std::optional<MonotonicTime> remind_at_;
  uint64_t heartbeats_ = 0;
  std::string logged_error_;

  MonotonicTime started_;
  MonotonicTime retry_at_;
  MonotonicTime opened_at_;
  MonotonicTime last_received_;
  MonotonicTime last_written_;
  std::optional<MonotonicTime> leave_at_;  // asked to drain

  mutable std::mutex state_mutex_;
  SyncState state_;  // the stream's part

  std::jthread thread_;
};

}  // namespace rota::sync
