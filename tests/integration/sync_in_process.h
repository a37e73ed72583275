#pragma once

// The sync protocol without a network: a SyncTransport of the data plane that ends in SyncServices
// of the controller in the same process. Like a real one it calls back from threads of its own,
// keeps order, and holds a write back until the other side reads. This is where TSan looks at both
// ends at once.
//
// Thread-safe.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "controller/serve/sync_service.h"
#include "dataplane/sync/sync_transport.h"

namespace rota::tests {

// Runs tasks in order on one thread.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();  // runs what is there
  void Post(std::function<void()> task);

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::function<void()>> tasks_;
  std::jthread thread_;
};

class InProcessPipe;

// Controllers by index; one can be taken away and put back. Outlives the transports; the services
// outlive it.
class InProcessNetwork {
 public:
  explicit InProcessNetwork(size_t addresses) : services_(addresses) {}
  // Ends every stream and waits for that.
  ~InProcessNetwork();

  // null: nobody listens there. Streams that are open stay.
  void SetService(size_t index, serve::SyncService* service);
  // Cuts every stream.
  void Cut();
  std::unique_ptr<sync::SyncTransport> MakeTransport();

 private:
  friend class InProcessTransport;
  std::shared_ptr<InProcessPipe> Open(size_t index, std::shared_ptr<sync::SyncStreamEvents> events);

  std::mutex mutex_;
  std::vector<serve::SyncService*> services_;
  std::vector<std::shared_ptr<InProcessPipe>> pipes_;
};

}  // namespace rota::tests
