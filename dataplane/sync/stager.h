#pragma once

// Collects the chunks of one transaction and holds the server to the protocol: numbers count up
// from 1, each id comes once, nothing follows the commit until it is acknowledged. Nothing is
// applied before the commit; what is staged is dropped when the stream breaks.
//
// Bounded (bytes and resources): a server gone wild costs a stream, not the process. Single-thread.

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "dataplane/sync/resource_store.h"

namespace rota::sync {

struct StagerLimits {
  size_t max_bytes = 256 << 20;  // of bodies and names in one transaction
  size_t max_resources = 200'000;
};

class Stager {
 public:
  explicit Stager(StagerLimits limits = {}) : limits_(limits) {}

  // The whole transaction when the chunk carries its commit. An error ends the stream.
  absl::StatusOr<std::optional<Transaction>> Add(rota::sync::v1::Chunk chunk);
  // The transaction handed out last has been acknowledged: the next one may come.
  void OnAcknowledged() { waiting_ = false; }
  // A new stream.
  void Reset();
  bool staging() const { return staging_.has_value(); }

 private:
  absl::Status Count(const std::string& name, size_t body_bytes);

  const StagerLimits limits_;
  std::optional<Transaction> staging_;
  uint64_t last_number_ = 0;
  bool waiting_ = false;  // a transaction is committed and not yet acknowledged
  size_t bytes_ = 0;
};

}  // namespace rota::sync
