#include "dataplane/engine/loop.h"

#include <openssl/rand.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/engine/client_connection.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/socket_stream.h"
#include "dataplane/engine/tls_stream.h"
#include "dataplane/engine/upstream_pool.h"
#include "dataplane/engine/waiting_room.h"

namespace rota::engine {
namespace {

// After a failed accept (out of descriptors) the listener rests for this long.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
// Connections that are accepted in one turn, so that the others get theirs.
constexpr int kAcceptsPerTurn = 64;
constexpr Duration kWarningInterval = std::chrono::seconds(1);
// A loop without deadlines sleeps until something happens; any end will do.
constexpr Duration kIdleWait = std::chrono::hours(1);

// "00" to "ff".
constexpr auto kHexPairs = [] {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<char, 512> pairs{};
  for (size_t byte = 0; byte < 256; ++byte) {
    pairs[2 * byte] = kHex[byte >> 4];
    pairs[2 * byte + 1] = kHex[byte & 15];
  }
  return pairs;
}();

}  // namespace

Shared::Shared(EngineOptions engine_options, EngineContext engine_context)
    : options(std::move(engine_options)),
      context(std::move(engine_context)),
      bodies(options.limits.held_body_bytes),
      rooms(std::make_unique<WaitingRooms>()),
      resolver(std::make_unique<Resolver>(options.resolve, *context.clock)) {}

Shared::~Shared() = default;

// A listening socket of the loop. Reported as ready as long as somebody is waiting to be accepted.
class Loop::Listener final : private Poller::Source {
 public:
  Listener(Loop& loop, int descriptor, bool tls)
      : loop_(loop),
        descriptor_(descriptor),
        tls_(tls),
        pause_(
            loop.wheel(), [](void* self) { static_cast<Listener*>(self)->Listen(true); }, this) {
    is_registered_ = loop_.poller_.Add(descriptor_, EPOLLIN, *this);
  }
  ~Listener() { Close(); }

  void Close() {
    if (descriptor_ < 0) {
      return;
    }
    if (is_registered_) {
      loop_.poller_.Remove(*this);
    }
    ::close(std::exchange(descriptor_, -1));
    pause_.Clear();
  }

 private:
  void OnDeferred() override {}
  void OnReady(uint32_t) override {
    for (int i = 0; i < kAcceptsPerTurn && descriptor_ >= 0; ++i) {
      sockaddr_storage storage{};
      socklen_t length = sizeof(storage);
      auto* const address = reinterpret_cast<sockaddr*>(&storage);
      const int accepted = ::accept4(descriptor_, address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) {
        Take(accepted, {address, length});
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      } else if (LacksResources(errno)) {
        Listen(false);
        pause_.Set(loop_.Now() + kAcceptPause);
        return;
      }
      // Else that one connection has failed before it was accepted (accept(2)).
    }
  }

  void Listen(bool on) {
    if (descriptor_ >= 0) {
      loop_.poller_.Change(descriptor_, on ? uint32_t{EPOLLIN} : 0, *this);
    }
  }

  void Take(int accepted, const SocketAddress& peer) {
    std::unique_ptr<Stream> stream;
    if (tls_) {
      SslContext context = loop_.shared_.server_tls->context();
      if (context == nullptr) {
        ::close(accepted);  // no certificate yet: readiness says so
        return;
      }
      stream = std::make_unique<TlsStream>(loop_.poller_, accepted, peer, std::move(context));
    } else {
      stream = std::make_unique<SocketStream>(loop_.poller_, accepted, peer);
    }
    loop_.Welcome(std::move(stream));
  }

  Loop& loop_;
  int descriptor_;
  const bool tls_;
  bool is_registered_ = false;
  Deadline pause_;
};

Loop::Loop(Shared& shared, size_t index)
    : shared_(shared),
      index_(index),
      metrics_(*shared.context.metrics[index]),
      table_reader_(*shared.context.table),
      wheel_(shared.context.clock->Now()),
      overload_(shared.options.limits.queue_wait),
      poller_(*shared.context.clock, &overload_),
      pool_(std::make_unique<UpstreamPool>(*this, shared.options.limits.idle_upstream_per_endpoint,
                                           shared.idle_upstream_per_loop)) {
  if (shared.options.limits.queue_wait > Duration::zero()) {
    probe_.emplace(poller_, *shared.context.clock, overload_);
  }
  RAND_bytes(reinterpret_cast<unsigned char*>(&id_prefix_), sizeof(id_prefix_));
  RAND_bytes(reinterpret_cast<unsigned char*>(&id_counter_), sizeof(id_counter_));
}

Loop::~Loop() = default;

const std::shared_ptr<const table::RouteTable>& Loop::table() {
  const std::shared_ptr<const table::RouteTable>& newest = table_reader_.Get();
  if (newest.get() != table_.get()) {
    const auto holder = std::make_shared<std::shared_ptr<const table::RouteTable>>(newest);
    table_ = std::shared_ptr<const table::RouteTable>(holder, newest.get());
  }
  return table_;
}

void Loop::Run() {
  while (!stopping_ || connections != nullptr || !poller_.is_idle()) {
    TakeTurn();
  }
}

void Loop::TakeTurn() {
  const bool may_sleep = wheel_.empty();
  poller_.Turn(may_sleep ? kIdleWait : next_tick_ - TurnTime());
  if (TurnTime() >= next_tick_) {
    wheel_.Advance(TurnTime());
    next_tick_ = TurnTime() + DeadlineWheel::kTick;
  }
  if (may_sleep || poller_.events() == 0) {
    overload_.Observe(Duration{}, TurnTime());  // nothing was waiting
  }
  if (probe_.has_value() && probe_->AfterTurn(poller_.events())) {
    metrics_.SetQueueWait(probe_->wait());
  }
}

void Loop::Listen(int descriptor, bool tls) {
  listeners_.push_back(std::make_unique<Listener>(*this, descriptor, tls));
}

void Loop::Welcome(std::unique_ptr<Stream> stream) {
  if (connection_count.load(std::memory_order_relaxed) < shared_.connections_per_loop) {
    ClientConnection::Serve(*this, std::move(stream));
    return;
  }
  metrics_.CountLimit(observe::Limit::kConnections);
  if (!stream->is_tls()) {
    std::string answer;
    AppendErrorAnswer(
        {503, "too_many_connections",
         "this gateway has as many connections as it can serve; retry in a moment", 1, ""},
        {/*keep_alive=*/false, false, false}, NextRequestId().view(), answer);
    const iovec part = Part(answer);
    stream->TryWrite({&part, 1});
  }
  stream->ShutdownWrites();
  stream->Close();
}

void Loop::CloseListeners() {
  for (const auto& listener : listeners_) {
    listener->Close();
  }
}

void Loop::Drain() {
  CloseListeners();
  ClientConnection* connection = connections;
  while (connection != nullptr) {
    // Waking an idle one may end it.
    ClientConnection* following = connection->next;
    connection->Drain();
    connection = following;
  }
}

void Loop::Stop() {
  if (std::exchange(stopping_, true)) {
    return;
  }
  CloseListeners();
  if (probe_.has_value()) {
    probe_->Close();
  }
  pool_->Clear();
  for (ClientConnection* connection = connections; connection != nullptr;
       connection = connection->next) {
    connection->Kill();
  }
}

RequestId Loop::NextRequestId() {
  // The counter is stirred (splitmix64), so that ids do not look alike at a glance.
  uint64_t mixed = ++id_counter_ * 0x9e3779b97f4a7c15ULL;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  mixed ^= mixed >> 31;
  RequestId id;
  char* digits = id.digits.data();
  for (uint64_t half : {id_prefix_, mixed}) {
    for (size_t i = 0; i < sizeof(half); ++i, half >>= 8, digits += 2) {
      std::memcpy(digits, kHexPairs.data() + 2 * (half & 0xff), 2);
    }
  }
  return id;
}

bool Loop::MayWarn() {
  const MonotonicTime now = Now();
  if (now < next_warning_) {
    return false;
  }
  next_warning_ = now + kWarningInterval;
  return true;
}

}  // namespace rota::engine
