#include "dataplane/engine/loop.h"

#include <openssl/rand.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "dataplane/engine/client_connection.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/tls_stream.h"
#include "dataplane/engine/upstream_pool.h"
#include "dataplane/engine/waiting_room.h"

namespace rota::engine {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// After a failed accept (out of descriptors) the listener rests for this long.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kWarningInterval = std::chrono::seconds(1);

}  // namespace

Shared::Shared(EngineOptions engine_options, EngineContext engine_context)
    : options(std::move(engine_options)),
      context(std::move(engine_context)),
      bodies(options.limits.held_body_bytes),
      rooms(std::make_unique<WaitingRooms>()),
      resolver(std::make_unique<Resolver>(options.resolve, *context.clock)) {}

Shared::~Shared() = default;

// Asio's part of a loop.
struct Loop::Io {
  using Executor = asio::io_context::executor_type;
  using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
  using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                           asio::wait_traits<std::chrono::steady_clock>, Executor>;
  struct Listener {
    Acceptor acceptor;
    Timer pause;
    bool tls = false;
  };
  asio::io_context context{1};
  asio::executor_work_guard<Executor> work{context.get_executor()};
  Timer timer{context};
  std::vector<std::unique_ptr<Listener>> listeners;
};

Loop::Loop(Shared& shared, size_t index)
    : shared_(shared),
      index_(index),
      metrics_(*shared.context.metrics[index]),
      table_reader_(*shared.context.table),
      wheel_(shared.context.clock->Now()),
      io_(std::make_unique<Io>()),
      pool_(
          std::make_unique<UpstreamPool>(*this, shared.options.limits.idle_upstream_per_endpoint)) {
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

asio::io_context& Loop::context() { return io_->context; }

void Loop::Run() {
  Tick();
  io_->context.run();
}

void Loop::Post(std::function<void()> work) { asio::post(io_->context, std::move(work)); }

void Loop::Tick() {
  wheel_.Advance(Now());
  if (stopping_) {
    return;
  }
  io_->timer.expires_after(DeadlineWheel::kTick);
  io_->timer.async_wait([this](const error_code& error) {
    if (!error) {
      Tick();
    }
  });
}

void Loop::Listen(int descriptor, bool tls) {
  io_->listeners.push_back(std::make_unique<Io::Listener>(
      Io::Listener{Io::Acceptor(io_->context), Io::Timer(io_->context), tls}));
  Io::Listener& listener = *io_->listeners.back();
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length);
  error_code error;
  listener.acceptor.assign(address.ss_family == AF_INET ? asio::ip::tcp::v4() : asio::ip::tcp::v6(),
                           descriptor, error);
  Accept(io_->listeners.size() - 1);
}

void Loop::Accept(size_t index) {
  Io::Listener& listener = *io_->listeners[index];
  listener.acceptor.async_accept(
      [this, index](const error_code& error, SocketStream::Socket socket) {
        Io::Listener& self = *io_->listeners[index];
        if (!self.acceptor.is_open() || stopping_) {
          return;
        }
        if (!error) {
          std::unique_ptr<Stream> stream;
          if (self.tls) {
            stream = std::make_unique<TlsStream>(std::move(socket), shared_.server_tls->context());
          } else {
            stream = std::make_unique<SocketStream>(std::move(socket));
          }
          Welcome(std::move(stream));
          Accept(index);
          return;
        }
        self.pause.expires_after(kAcceptPause);
        self.pause.async_wait([this, index](const error_code& cancelled) {
          if (!cancelled) {
            Accept(index);
          }
        });
      });
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
        {/*keep_alive=*/false, false, false}, NextRequestId(), answer);
    const iovec part = Part(answer);
    stream->TryWrite({&part, 1});
  }
  stream->ShutdownWrites();
  stream->Close();
}

void Loop::CloseListeners() {
  for (const auto& listener : io_->listeners) {
    error_code ignored;
    listener->acceptor.close(ignored);
    listener->pause.cancel();
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
  io_->timer.cancel();
  pool_->Clear();
  for (ClientConnection* connection = connections; connection != nullptr;
       connection = connection->next) {
    connection->Kill();
  }
  io_->work.reset();
}

std::string Loop::NextRequestId() {
  static constexpr char kHex[] = "0123456789abcdef";
  // The counter is stirred (splitmix64), so that ids do not look alike at a glance.
  uint64_t mixed = ++id_counter_ * 0x9e3779b97f4a7c15ULL;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  mixed ^= mixed >> 31;
  std::string id(32, '0');
  for (size_t i = 0; i < 16; ++i) {
    id[i] = kHex[(id_prefix_ >> (4 * i)) & 15];
    id[16 + i] = kHex[(mixed >> (4 * i)) & 15];
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
