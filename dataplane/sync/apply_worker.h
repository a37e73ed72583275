#pragma once

// Applies transactions and loads the last-known-good file on a thread of its own, so that
// suspensions and heartbeats never wait for a table to be built. Owns the store and the file's
// writer. Thread-safe.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "common/clock.h"
#include "dataplane/sync/last_known_good.h"
#include "dataplane/sync/resource_store.h"
#include "dataplane/sync/sync_inbox.h"
#include "dataplane/sync/sync_state.h"

namespace rota::sync {

struct ApplyWorkerOptions {
  std::string gateway;
  std::string state_dir;  // "": nothing is saved or loaded
  std::optional<StateKey> state_key;
  Duration save_interval = std::chrono::seconds(5);
};

class ApplyWorker {
 public:
  // `clock` outlives the worker.
  ApplyWorker(ApplyWorkerOptions options, Applier applier, std::shared_ptr<SyncInbox> inbox,
              Clock& clock);
  // Finishes the job at hand; what is queued is dropped.
  ~ApplyWorker();

  // Answered by an AppliedEvent of `stream`.
  void Apply(uint64_t stream, Transaction transaction);
  // Answered by a LoadedEvent.
  void LoadLastKnownGood();
  // For a new stream's Hello.
  void FillHello(rota::sync::v1::Hello& hello);
  // The next Hello asks for everything.
  void ForgetInventory();
  // The part of the state that is about what is applied.
  void FillState(SyncState& state) const;

 private:
  struct ApplyJob {
    uint64_t stream;
    Transaction transaction;
  };
  struct LoadJob {};
  using Job = std::variant<ApplyJob, LoadJob>;

  void Post(Job job);
  void Run(std::stop_token stop);
  void Do(ApplyJob job);
  void Do(LoadJob job);
  absl::Status Load();
  void Record(ConfigSource source, MonotonicTime started);
  absl::StatusOr<std::string> Encode();

  const ApplyWorkerOptions options_;
  const std::string file_;
  const Applier applier_;
  const std::shared_ptr<SyncInbox> inbox_;
  Clock& clock_;

  std::mutex store_mutex_;
  ResourceStore store_;

  mutable std::mutex state_mutex_;
  SyncState state_;

  std::mutex jobs_mutex_;
  std::condition_variable_any wake_;
  std::deque<Job> jobs_;

  std::unique_ptr<LastKnownGoodWriter> writer_;  // null without a state directory
  std::jthread thread_;
};

}  // namespace rota::sync
