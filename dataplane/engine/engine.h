#pragma once

// The HTTP engine: listeners, client connections, upstream pools and the request path, on one event
// loop (thread) per core. Loops share nothing on the request path; SO_REUSEPORT spreads the
// connections.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/published.h"
#include "dataplane/engine/certificate_set.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/table/route_table.h"

namespace rota::engine {

// Defaults and meaning: docs/reference/limits.md (semantics 9).
struct Limits {
  size_t head_bytes = 64 << 10;
  size_t body_bytes = 32 << 20;
  Duration head_time = std::chrono::seconds(30);
  Duration body_read_time = std::chrono::seconds(60);  // between two reads of a body
  Duration keep_alive_time = std::chrono::seconds(75);
  Duration connect_time = std::chrono::seconds(5);
  Duration first_byte_time = std::chrono::seconds(300);
  Duration first_event_time = std::chrono::seconds(10);  // a stream's head is held back for it
  Duration between_chunks_time = std::chrono::seconds(300);
  Duration queue_wait = std::chrono::milliseconds(50);  // of events before a loop comes to them
  size_t requests_per_loop = 0;              // 0: min(10,000, (fd limit - 512) / 2 / loops)
  size_t held_body_bytes = size_t{1} << 30;  // whole process
  size_t idle_upstream_per_endpoint = 256;   // per loop and pool key
  size_t idle_upstream_per_loop = 0;         // 0: min(2,048, (fd limit - 512) / 8 / loops)
};

// --resolve HOST:PORT:ADDRESS[:PORT]: connections to host:port go to that address. Also the
// explicit permission to connect to a loopback address.
struct ResolveOverride {
  std::string host;
  uint16_t port = 0;
  HostPort address;
};

// "HOST:PORT:ADDRESS" or "HOST:PORT:ADDRESS:PORT", IPv6 in brackets.
absl::StatusOr<ResolveOverride> ParseResolveOverride(std::string_view text);

struct EngineOptions {
  std::optional<HostPort> http;
  std::optional<HostPort> https;
  // PEM, chain; re-read on ReloadCertificates(). Both empty: see SetCertificates().
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string upstream_ca_file;  // added to the system's trust store
  size_t loops = 1;
  std::vector<ResolveOverride> resolve;
  Limits limits;
  bool allow_unauthenticated = false;  // else secured operations are refused (AUTH_NOT_ENFORCED)
};

// Where the engine takes its configuration from and what it reports to. All must outlive the
// engine.
struct EngineContext {
  const Published<table::RouteTable>* table = nullptr;
  std::vector<observe::LoopMetrics*> metrics;  // one per loop
  observe::AccessLog* access_log = nullptr;
  const Clock* clock = nullptr;
};

// Thread-safe.
class Engine {
 public:
  // Binds the listeners and starts the loops. The error names the address or file and what to do.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(EngineOptions options,
                                                       EngineContext context);
  // Stops at once whatever is left.
  ~Engine();

  std::optional<HostPort> http_address() const;  // as bound: port 0 has become a real one
  std::optional<HostPort> https_address() const;

  // Re-reads certificate and key; on an error the ones in use stay.
  absl::Status ReloadCertificates();
  // The certificates of --https, where no files are given. Open connections keep theirs; one that
  // cannot be used leaves the one before of that listener. Returns what is wrong with each.
  std::vector<CertificateProblem> SetCertificates(
      const std::vector<table::ServerCertificate>& certificates);
  // --https is asked for and nothing can be answered there yet.
  bool lacks_certificate() const;
  // Stops accepting, answers new requests on open connections with `connection: close`, waits until
  // open requests have finished or `timeout` has passed. Returns the number of requests that were
  // cut.
  size_t Drain(Duration timeout);
  size_t open_requests() const;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rota::engine
