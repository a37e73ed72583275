#pragma once

// One event loop: a thread with a poller, its connections, its upstream pool and its deadlines.
// Loops share only what Shared holds, and none of that on the usual path of a request.
//
// Single-thread (owner: the loop's thread), but for Post().

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/engine/body_budget.h"
#include "dataplane/engine/deadline.h"
#include "dataplane/engine/engine.h"
#include "dataplane/engine/overload.h"
#include "dataplane/engine/poller.h"
#include "dataplane/engine/queue_probe.h"
#include "dataplane/engine/resolver.h"
#include "dataplane/engine/stream.h"
#include "dataplane/engine/told_words.h"
#include "dataplane/provider/sigv4.h"

namespace rota::engine {

class ClientConnection;
class ClientTls;
class ServerTls;
class UpstreamPool;
class WaitingRooms;

// What the loops of one engine have in common. Its parts are thread-safe or never change.
struct Shared {
  Shared(EngineOptions engine_options, EngineContext engine_context);
  ~Shared();
  EngineOptions options;
  EngineContext context;
  BodyBudget bodies;
  std::unique_ptr<ServerTls> server_tls;  // null without --https
  std::unique_ptr<ClientTls> client_tls;
  std::unique_ptr<WaitingRooms> rooms;
  ToldWords told_words;
  std::atomic<bool> draining{false};
  size_t requests_per_loop = 0;
  size_t idle_upstream_per_loop = 0;
  size_t connections_per_loop = 0;
  std::unique_ptr<Resolver> resolver;  // last: its threads end before the rest goes
};

struct RequestId {
  std::array<char, 32> digits;
  std::string_view view() const { return {digits.data(), digits.size()}; }
};

class Loop {
 public:
  Loop(Shared& shared, size_t index);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The thread's body: returns after Stop(), when every connection is gone.
  void Run();
  // Thread-safe: runs `work` on the loop. Not run when the loop has ended.
  void Post(std::function<void()> work) { poller_.Post(std::move(work)); }
  // On the loop: ends every connection and lets Run() return.
  void Stop();
  // On the loop: idle connections are closed, the others after their request.
  void Drain();

  // Takes over a listening socket. To be called before Run().
  void Listen(int descriptor, bool tls);

  Shared& shared() { return shared_; }
  const Limits& limits() const { return shared_.options.limits; }
  MonotonicTime Now() const { return shared_.context.clock->Now(); }
  // When what is being handled became known: for deadlines, and where a turn more or less does not
  // matter.
  MonotonicTime TurnTime() const { return poller_.turn_time(); }
  const Clock& clock() const { return *shared_.context.clock; }
  // The newest table. The reference count is this loop's own: one that all loops share would be the
  // one cache line on which they meet.
  const std::shared_ptr<const table::RouteTable>& table();
  observe::LoopMetrics& metrics() { return metrics_; }
  DeadlineWheel& wheel() { return wheel_; }
  UpstreamPool& pool() { return *pool_; }
  Poller& poller() { return poller_; }
  provider::SigningKeyCache& signing_keys() { return signing_keys_; }
  bool draining() const { return shared_.draining.load(std::memory_order_relaxed); }

  // 32 hex digits: a random start and a counter.
  RequestId NextRequestId();

  // Written by the loop alone, read by Engine::open_requests.
  std::atomic<size_t> open_requests{0};
  void AddOpenRequests(int delta) {
    const size_t count = open_requests.load(std::memory_order_relaxed);
    open_requests.store(count + static_cast<size_t>(delta), std::memory_order_relaxed);
    metrics_.AddOpenRequests(delta);
  }
  ClientConnection* connections = nullptr;  // intrusive list
  std::atomic<size_t> connection_count{0};  // written by the loop alone
  // At most one warning of the request path per second.
  bool MayWarn();

 private:
  class Listener;
  void Welcome(std::unique_ptr<Stream> stream);
  void CloseListeners();
  void TakeTurn();

  Shared& shared_;
  const size_t index_;
  observe::LoopMetrics& metrics_;
  Published<table::RouteTable>::Reader table_reader_;
  std::shared_ptr<const table::RouteTable> table_;
  DeadlineWheel wheel_;
  Overload overload_;
  Poller poller_;
  provider::SigningKeyCache signing_keys_;
  std::optional<QueueProbe> probe_;  // where waits are limited
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<UpstreamPool> pool_;
  bool stopping_ = false;
  MonotonicTime next_tick_;  // of the wheel
  uint64_t id_prefix_ = 0;
  uint64_t id_counter_ = 0;
  MonotonicTime next_warning_;
};

}  // namespace rota::engine
