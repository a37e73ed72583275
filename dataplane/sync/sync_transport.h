#pragma once

// The seam between the sync client's logic and what carries its messages (gRPC, or in-process in
// tests).

#include <memory>
#include <string>

#include "common/stream_events.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::sync {

using SyncStreamEvents = StreamEvents<rota::sync::v1::ServerMessage>;

// One try to talk to one controller. Single-thread. The destructor cancels; events may still come
// after.
class SyncStream {
 public:
  virtual ~SyncStream() = default;
  // One at a time; may be called before the connection is up.
  virtual void StartWrite(rota::sync::v1::ClientMessage message) = 0;
  virtual void StartRead() = 0;
  virtual void Cancel() = 0;
};

class SyncTransport {
 public:
  virtual ~SyncTransport() = default;
  // Controllers to choose from; at least one.
  virtual size_t address_count() const = 0;
  // For people.
  virtual std::string address(size_t index) const = 0;
  // Never blocks; failures come as OnClosed.
  virtual std::unique_ptr<SyncStream> Connect(size_t index,
                                              std::shared_ptr<SyncStreamEvents> events) = 0;
};

}  // namespace rota::sync
