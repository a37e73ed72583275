#pragma once

// A data plane without traffic and without tables: it speaks the real protocol, but it throws
// resources away and remembers of suspensions when they came. So a thousand fit into one
// process. What it does on a stream is what SyncClient does, in the same order; so is its back-off.
//
// Thread-safe.

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "bench/fleet/board.h"
#include "common/backoff.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::bench {

class StubPlane : public std::enable_shared_from_this<StubPlane> {
 public:
  StubPlane(std::string node, std::string gateway, std::unique_ptr<sync::SyncTransport> transport,
            Board& board);
  // Waits until the transport has let go.
  void Stop();

  // Opens a stream when it is time to, says a heartbeat when it is time to. To be called often.
  void Tick();
  // This data plane takes `target` off the rota; returns when it said so.
  MonotonicTime Suspend(const std::string& target, Duration length);

 private:
  class Events;
  using Server = rota::sync::v1::ServerMessage;
  using Client = rota::sync::v1::ClientMessage;

  void OnMessage(uint64_t stream, const Server& message);
  void OnWriteDone(uint64_t stream);
  void OnClosed(uint64_t stream, const std::string& reason);
  void Connect(MonotonicTime now);
  void Write();

  const std::string node_;
  const std::string gateway_;
  Board& board_;
  std::mutex mutex_;
  std::unique_ptr<sync::SyncTransport> transport_;
  Backoff backoff_;
  size_t address_ = 0;
  MonotonicTime retry_at_;
  uint64_t stream_number_ = 0;
  std::unique_ptr<sync::SyncStream> stream_;
  bool lost_ = false;  // the stream has ended; Tick() lets go of it
  bool stopped_ = false;
  bool writing_ = false;
  bool applied_ = false;  // something, on this stream
  uint64_t epoch_;
  MonotonicTime opened_;
  MonotonicTime last_written_;
  std::string snapshot_hash_;
  std::optional<Client> hello_;
  std::optional<Client> ack_;
  std::optional<Client> report_;
};

}  // namespace rota::bench
