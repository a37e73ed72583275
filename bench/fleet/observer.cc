#include "bench/fleet/observer.h"

#include <utility>

namespace rota::bench {

Observer::Observer(const std::string& node, const std::string& gateway,
                   std::unique_ptr<sync::SyncTransport> transport, Clock& clock, Listener listener)
    : registry_(node) {
  sync::SyncClientOptions options;
  options.node = node;
  options.gateway = gateway;
  options.build = "observer";
  sync::SyncCallbacks callbacks;
  callbacks.apply = [](const sync::ResourceMap&, const sync::ChangedKeys&, const std::string&) {
    return sync::ApplyResult{};
  };
  callbacks.apply_remote = [this, &clock, listener = std::move(listener)](const auto& items,
                                                                          MonotonicTime now) {
    registry_.ApplyRemote(items, now);
    const MonotonicTime applied = clock.Now();
    for (const rotation::Suspension& item : items) {
      listener(item, applied);
    }
  };
  callbacks.own_suspensions = [this](MonotonicTime now) { return registry_.Own(now); };
  callbacks.known_suspensions = [this](MonotonicTime now) { return registry_.Known(now); };
  callbacks.set_phase = [this](uint64_t phase) { registry_.SetPhase(phase); };
  client_ = std::make_unique<sync::SyncClient>(std::move(options), std::move(transport),
                                               std::move(callbacks), clock);
  client_->Start();
}

}  // namespace rota::bench
