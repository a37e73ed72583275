#pragma once

// What observers see of the sync client, as a plain value.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"

namespace rota::sync {

// Where the configuration in use came from.
enum class ConfigSource : uint8_t { kNone, kController, kLastKnownGood };
// "none", "controller", "last-known-good".
std::string_view ConfigSourceName(ConfigSource source);

struct SyncState {
  bool connected = false;                 // welcomed by a controller
  std::string controller;                 // address in use or tried last
  std::string server;                     // what that controller calls itself
  std::optional<MonotonicTime> retry_at;  // the next try to connect; absent while there is a stream
  std::string last_error;  // why the last stream ended or could not be opened; "" after a commit
  ConfigSource source = ConfigSource::kNone;
  std::string snapshot_hash;  // 32 bytes, "" for none or for an incomplete one
  size_t resources = 0;
  size_t rejected = 0;                      // resources that this data plane did not take
  size_t refused = 0;                       // taken, but not served as asked
  std::optional<MonotonicTime> applied_at;  // the last transaction or load
  std::optional<WallTime> applied_at_wall;
  std::optional<WallTime> saved_at;  // of the last-known-good file in use
  // When the configuration was last known to be the controller's newest; its age is now less this.
  std::optional<MonotonicTime> current_at;
  Duration apply_time{};
  // Secrets that the last-known-good file has no credentials of: their targets are off the rota.
  std::vector<std::string> missing_secrets;
  // Why the last-known-good file or its Secrets could not be used; "" without a problem.
  std::string last_known_good_problem;
  uint64_t transactions = 0;
  uint64_t streams = 0;  // opened since start
  uint64_t suspension_reports_dropped = 0;

  // There is something to serve from.
  bool ready() const { return source != ConfigSource::kNone; }
};

}  // namespace rota::sync
