#include "dataplane/engine/engine.h"

#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "dataplane/engine/listener.h"
#include "dataplane/engine/loop.h"
#include "dataplane/engine/tls.h"
#include "dataplane/engine/upstream_pool.h"
#include "dataplane/engine/waiting_room.h"

namespace rota::engine {
namespace {

constexpr size_t kReservedDescriptors = 512;  // control plane, logs, listeners
constexpr size_t kMaxRequestsPerLoop = 10000;
constexpr size_t kMaxIdleUpstreamPerLoop = 2048;
constexpr Duration kDrainPoll = std::chrono::milliseconds(10);
// Connections whose last answer is on its way get this long after the last request has ended.
constexpr Duration kCloseTime = std::chrono::milliseconds(500);

absl::Status CheckOptions(const EngineOptions& options, const EngineContext& context) {
  if (!options.http.has_value() && !options.https.has_value()) {
    return absl::InvalidArgumentError("nothing to listen on: give --http or --https HOST:PORT");
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key go together: give both, or none for the gateway's listeners");
  }
  if (options.loops == 0 || context.metrics.size() != options.loops) {
    return absl::InvalidArgumentError(
        absl::StrCat("the engine needs one metrics shard per loop: ", options.loops, " loops, ",
                     context.metrics.size(), " shards"));
  }
  if (context.table == nullptr || context.clock == nullptr) {
    return absl::InvalidArgumentError("the engine needs a table and a clock");
  }
  return absl::OkStatus();
}

// Each loop's part of the descriptors: a request has a connection to an upstream, others lie idle,
// the rest is for clients.
void ShareOut(size_t descriptors, Shared& shared) {
  const size_t usable =
      descriptors > 2 * kReservedDescriptors ? descriptors - kReservedDescriptors : descriptors / 2;
  const size_t of_loop = usable / shared.options.loops;
  const Limits& limits = shared.options.limits;
  shared.requests_per_loop = limits.requests_per_loop != 0
                                 ? limits.requests_per_loop
                                 : std::clamp<size_t>(of_loop / 2, 1, kMaxRequestsPerLoop);
  shared.idle_upstream_per_loop = limits.idle_upstream_per_loop != 0
                                      ? limits.idle_upstream_per_loop
                                      : std::clamp<size_t>(of_loop / 8, 1, kMaxIdleUpstreamPerLoop);
  const size_t upstream =
      std::min(shared.requests_per_loop, of_loop / 2) + shared.idle_upstream_per_loop;
  shared.connections_per_loop = of_loop > upstream ? of_loop - upstream : 1;
}

}  // namespace

struct Engine::State {
  State(EngineOptions options, EngineContext context)
      : shared(std::move(options), std::move(context)) {}

  Shared shared;
  std::optional<HostPort> http;
  std::optional<HostPort> https;
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::jthread> threads;

  void StopAndJoin() {
    for (const auto& loop : loops) {
      loop->Post([target = loop.get()] { target->Stop(); });
    }
    threads.clear();  // joins
  }
  size_t connections() const {
    size_t count = 0;
    for (const auto& loop : loops) {
      count += loop->connection_count.load(std::memory_order_relaxed);
    }
    return count;
  }
  // Until `done` or `deadline`.
  template <typename Done>
  void WaitFor(Done done, MonotonicTime deadline) {
    const Clock& clock = *shared.context.clock;
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!done() && clock.Now() < deadline) {
      const_cast<Clock&>(clock).WaitUntil(lock, never, std::min(deadline, clock.Now() + kDrainPoll),
                                          {});
    }
  }
};

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}

Engine::~Engine() {
  if (state_ != nullptr) {
    state_->StopAndJoin();
    // A lookup that is under way tells its loop.
    state_->shared.resolver.reset();
  }
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Start(EngineOptions options,
                                                      EngineContext context) {
  RETURN_IF_ERROR(CheckOptions(options, context));
  const size_t descriptors = PrepareProcess();
  auto state = std::make_unique<State>(std::move(options), std::move(context));
  Shared& shared = state->shared;
  const EngineOptions& asked = shared.options;

  ShareOut(descriptors, shared);
  ASSIGN_OR_RETURN(shared.client_tls, ClientTls::Create(asked.upstream_ca_file));
  if (asked.https.has_value()) {
    ASSIGN_OR_RETURN(shared.server_tls,
                     ServerTls::Create(asked.tls_certificate_file, asked.tls_key_file));
  }
  for (size_t i = 0; i < asked.loops; ++i) {
    state->loops.push_back(std::make_unique<Loop>(shared, i));
  }
  for (const bool tls : {false, true}) {
    const std::optional<HostPort>& address = tls ? asked.https : asked.http;
    if (!address.has_value()) {
      continue;
    }
    ASSIGN_OR_RETURN(ListeningSockets sockets, ListeningSockets::Open(*address, asked.loops));
    (tls ? state->https : state->http) = sockets.address();
    for (size_t i = 0; i < asked.loops; ++i) {
      state->loops[i]->Listen(sockets.Release(i), tls);
    }
  }
  for (const auto& loop : state->loops) {
    state->threads.emplace_back([target = loop.get()] { target->Run(); });
    pthread_setname_np(state->threads.back().native_handle(), "rota-loop");
  }
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

std::optional<HostPort> Engine::http_address() const { return state_->http; }
std::optional<HostPort> Engine::https_address() const { return state_->https; }

absl::Status Engine::ReloadCertificates() {
  return state_->shared.server_tls == nullptr ? absl::OkStatus()
                                              : state_->shared.server_tls->Reload();
}

std::vector<CertificateProblem> Engine::SetCertificates(
    const std::vector<table::ServerCertificate>& certificates) {
  return state_->shared.server_tls == nullptr
             ? std::vector<CertificateProblem>()
             : state_->shared.server_tls->SetCertificates(certificates);
}

bool Engine::lacks_certificate() const {
  return state_->shared.server_tls != nullptr && state_->shared.server_tls->context() == nullptr;
}

size_t Engine::open_requests() const {
  size_t count = 0;
  for (const auto& loop : state_->loops) {
    count += loop->open_requests.load(std::memory_order_relaxed);
  }
  return count;
}

size_t Engine::Drain(Duration timeout) {
  state_->shared.draining.store(true);
  for (const auto& loop : state_->loops) {
    loop->Post([target = loop.get()] { target->Drain(); });
  }
  const MonotonicTime deadline = state_->shared.context.clock->Now() + timeout;
  // Connections end after their last request; those with half a request count as none.
  state_->WaitFor([this] { return open_requests() == 0 && state_->connections() == 0; },
                  std::min(deadline, state_->shared.context.clock->Now() + kCloseTime));
  state_->WaitFor([this] { return open_requests() == 0; }, deadline);
  const size_t cut = open_requests();
  if (cut == 0) {
    state_->WaitFor([this] { return state_->connections() == 0; },
                    std::min(deadline, state_->shared.context.clock->Now() + kCloseTime));
  }
  state_->StopAndJoin();
  return cut;
}

absl::StatusOr<ResolveOverride> ParseResolveOverride(std::string_view text) {
  const auto bad = [text] {
    return absl::InvalidArgumentError(
        absl::StrCat("--resolve '", absl::string_view(text.data(), text.size()),
                     "': expected HOST:PORT:ADDRESS or HOST:PORT:ADDRESS:PORT, with an IP address "
                     "(IPv6 in brackets)"));
  };
  // HOST, IPv6 in brackets.
  std::string_view rest = text;
  const auto take = [&rest](std::string& out) {
    if (rest.starts_with('[')) {
      const size_t end = rest.find(']');
      if (end == std::string_view::npos) {
        return false;
      }
      out = rest.substr(1, end - 1);
      rest.remove_prefix(end + 1);
    } else {
      const size_t end = std::min(rest.find(':'), rest.size());
      out = rest.substr(0, end);
      rest.remove_prefix(end);
    }
    return !out.empty();
  };
  const auto take_port = [&rest](uint16_t& port) {
    if (!rest.starts_with(':')) {
      return false;
    }
    rest.remove_prefix(1);
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), port);
    if (error != std::errc() || port == 0) {
      return false;
    }
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    return true;
  };
  ResolveOverride entry;
  if (!take(entry.host) || !take_port(entry.port) || !rest.starts_with(':')) {
    return bad();
  }
  rest.remove_prefix(1);
  if (!take(entry.address.host)) {
    return bad();
  }
  entry.address.port = entry.port;
  if (!rest.empty() && (!take_port(entry.address.port) || !rest.empty())) {
    return bad();
  }
  if (!SocketAddress::Parse(entry.address.host, entry.address.port).has_value()) {
    return bad();
  }
  return entry;
}

}  // namespace rota::engine
