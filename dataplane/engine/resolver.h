#pragma once

// Names to addresses, off the event loops: --resolve first, literals as they are, then getaddrinfo
// on a few threads with a cache (30 s; an older answer serves for five more minutes while a name
// server fails or does not answer).
//
// Thread-safe. The destructor waits for lookups that the operating system is working on (its
// resolver's own time-out bounds that).

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "dataplane/engine/engine.h"
#include "dataplane/engine/socket_address.h"

namespace rota::engine {

struct Resolution {
  std::vector<SocketAddress> addresses;  // empty: `error` says why
  bool is_override = false;              // by --resolve: may be a loopback address
  std::string error;
};

class Resolver {
 public:
  using Done = std::function<void(Resolution)>;
  // What really asks; tests put their own in.
  using Lookup = std::function<Resolution(const std::string& host)>;

  Resolver(std::vector<ResolveOverride> overrides, const Clock& clock,
           Lookup lookup = SystemLookup);
  ~Resolver();

  // So long a name server is waited for while there is an older answer.
  static constexpr Duration kPatience = std::chrono::seconds(1);

  // True when `out` could be filled at once. False with addresses: older ones, for who gets no
  // newer ones from Resolve() within kPatience.
  bool TryResolve(std::string_view host, uint16_t port, Resolution& out);
  // Calls `done` from a thread of its own, once. ResourceExhausted (as Resolution::error) when too
  // many lookups wait.
  void Resolve(const std::string& host, uint16_t port, Done done);

  static Resolution SystemLookup(const std::string& host);

 private:
  static constexpr size_t kMaxEntries = 4096;
  static constexpr size_t kMaxWaiting = 65536;
  static constexpr size_t kThreads = 2;
  struct Entry {
    Resolution resolution;  // port 0
    MonotonicTime fresh_until;
    MonotonicTime stale_until;
    MonotonicTime asked;  // when the lookup that is in flight was
    bool in_flight = false;
    std::vector<std::pair<uint16_t, Done>> waiting;
  };

  void Run(std::stop_token stop);
  void Finish(const std::string& host, Resolution resolution);
  void EvictLocked(MonotonicTime now);
  static Resolution WithPort(Resolution resolution, uint16_t port);

  const std::vector<ResolveOverride> overrides_;
  const Clock& clock_;
  const Lookup lookup_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::string> queue_;
  size_t waiting_ = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace rota::engine
