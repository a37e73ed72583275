#pragma once

// The last-known-good file: what a data plane serves from when it starts and no controller answers.
// Credentials are left out unless there is a key to encrypt them; the file then says which Secrets
// are missing. Versioned, with length and checksum, written in one step, mode 0600. A file that
// cannot be used is an error that says why, and never a reason not to start.
//
// LastKnownGoodWriter is thread-safe and owns one thread; the functions are thread-safe.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataplane/sync/resource_store.h"
#include "dataplane/sync/state_key.h"

namespace rota::sync {

inline constexpr char kLastKnownGoodFile[] = "last-known-good";  // in --state-dir

struct LastKnownGood {
  ResourceMap resources;
  std::string snapshot_hash;                 // empty when the resources are not the whole snapshot
  std::vector<std::string> missing_secrets;  // "<namespace>/<name>", sorted
  WallTime saved_at;
  std::string problem;  // why Secrets that are in the file could not be read; "" without one
};

// `snapshot_hash` is empty when the resources are not the whole snapshot. `key` may be null.
absl::StatusOr<std::string> EncodeLastKnownGood(const ResourceMap& resources,
                                                const std::string& snapshot_hash,
                                                const std::string& gateway, WallTime now,
                                                const StateKey* key);
// `file` is for messages. A wrong key costs the Secrets, not the rest.
absl::StatusOr<LastKnownGood> DecodeLastKnownGood(std::string_view content,
                                                  const std::string& gateway, const StateKey* key,
                                                  const std::string& file);

// Writes the newest content in the background: at once, and then at most once per `interval`.
class LastKnownGoodWriter {
 public:
  // `encode` is called from the writer's thread.
  LastKnownGoodWriter(std::string file, Duration interval, Clock& clock,
                      std::function<absl::StatusOr<std::string>()> encode);
  // Writes what has not been written yet.
  ~LastKnownGoodWriter();

  // There is something new.
  void Changed();
  uint64_t written() const;
  uint64_t failed() const;

 private:
  void Run(std::stop_token stop);
  void Write();
  absl::Status EncodeAndWrite();

  const std::string file_;
  const Duration interval_;
  Clock& clock_;
  const std::function<absl::StatusOr<std::string>()> encode_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool changed_ = false;
  std::optional<MonotonicTime> written_at_;
  uint64_t written_ = 0;
  uint64_t failed_ = 0;
  std::jthread thread_;
};

}  // namespace rota::sync
