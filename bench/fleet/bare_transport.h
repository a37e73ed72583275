#pragma once

// The sync protocol over a bare HTTP/2 client, in plain text to loopback: the bytes that gRPC's own
// client would send, at a tenth of its CPU, so that a thousand data planes on one machine measure
// the controller and not a thousand gRPC clients. Knows only what a gRPC server does to one
// long-lived call: no header is decoded, a stream that ends has no reason but that.
//
// One thread serves all streams. Thread-safe.

#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/address.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::bench {

class BareStream;

// The thread, and the streams that it serves. Outlives the transports.
class BareLoop {
 public:
  BareLoop();
  ~BareLoop();

 private:
  friend class BareStream;
  friend class BareTransport;
  void Add(std::shared_ptr<BareStream> stream);
  // Something happened to the stream that its events have to be told of.
  void Wake(std::shared_ptr<BareStream> stream);
  void Watch(BareStream& stream, bool for_writing);
  void Run(std::stop_token stop);
  std::vector<std::shared_ptr<BareStream>> TakeWoken();

  const int epoll_;
  const int wake_;
  std::mutex mutex_;
  std::unordered_map<BareStream*, std::shared_ptr<BareStream>> streams_;
  std::vector<std::shared_ptr<BareStream>> woken_;
  std::jthread thread_;  // last: uses the rest
};

std::unique_ptr<sync::SyncTransport> MakeBareTransport(BareLoop& loop,
                                                       std::vector<HostPort> controllers);

}  // namespace rota::bench
