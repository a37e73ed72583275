#pragma once

// One real sync client with a real suspension registry, and no traffic: sees a suspension of
// another data plane exactly as rota-dataplane does, and says when that was.
//
// Thread-safe.

#include <functional>
#include <memory>
#include <string>

#include "common/clock.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/sync/sync_client.h"

namespace rota::bench {

class Observer {
 public:
  // `applied` is called after a statement of another data plane has been applied.
  using Listener = std::function<void(const rotation::Suspension&, MonotonicTime applied)>;

  Observer(const std::string& node, const std::string& gateway,
           std::unique_ptr<sync::SyncTransport> transport, Clock& clock, Listener listener);
  sync::SyncState state() const { return client_->state(); }

 private:
  rotation::Registry registry_;
  std::unique_ptr<sync::SyncClient> client_;
};

}  // namespace rota::bench
