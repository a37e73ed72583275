#include "dataplane/engine/upstream_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/engine/tls.h"
#include "dataplane/engine/upstream_pool.h"

namespace rota::engine {

UpstreamConnection::UpstreamConnection(Loop& loop, std::unique_ptr<Stream> stream,
                                       std::string pool_key)
    : loop_(loop),
      stream_(std::move(stream)),
      input_(*stream_),
      pool_key_(std::move(pool_key)),
      created_(loop.TurnTime()),
      idle_deadline_(
          loop.wheel(),
          [](void* self) {
            auto* connection = static_cast<UpstreamConnection*>(self);
            connection->pool_->Remove(*connection);
          },
          this) {
  loop_.metrics().AddUpstreamConnections(1);
}

UpstreamConnection::~UpstreamConnection() { loop_.metrics().AddUpstreamConnections(-1); }

void UpstreamConnection::BecomeIdle(UpstreamPool& pool, Duration idle_time) {
  pool_ = &pool;
  reused_ = true;
  input_.set_listener(this);
  input_.Start();
  idle_deadline_.Set(loop_.TurnTime() + idle_time);
}

bool UpstreamConnection::Wake() {
  pool_ = nullptr;
  input_.set_listener(nullptr);
  input_.MarkSeen();
  idle_deadline_.Clear();
  return !input_.ended() && input_.empty();
}

void UpstreamConnection::OnUnawaitedInput() {
  // Destroys this: nothing may follow.
  pool_->Remove(*this);
}

namespace {

DialError ConnectError(IoResult result) {
  switch (result.error) {
    case IoError::kNone:
      return DialError::kNone;
    case IoError::kNoResources:
      return DialError::kNoResources;
    default:
      return DialError::kConnect;
  }
}

Task<void> DiscardTask(std::unique_ptr<UpstreamConnection> connection) {
  connection->input().set_listener(nullptr);
  connection->stream().ShutdownWrites();
  connection->stream().Close();
  co_await connection->input().Stopped();
}

}  // namespace

void UpstreamConnection::Discard(std::unique_ptr<UpstreamConnection> connection) {
  Spawn(DiscardTask(std::move(connection)));
}

// Shared with the resolver's thread, which may answer after the Dial has gone.
struct Dial::LookupState {
  Signal signal;      // loop only
  Resolution result;  // loop only
  bool finished = false;
};

Dial::Dial(Loop& loop, const table::Endpoint& endpoint, bool allow_local)
    : loop_(loop),
      endpoint_(endpoint),
      allow_local_(allow_local),
      deadline_(
          loop.wheel(), [](void* self) { static_cast<Dial*>(self)->OnDeadline(); }, this) {}

Dial::~Dial() = default;

void Dial::OnDeadline() {
  timed_out_ = true;
  if (stream_ != nullptr) {
    stream_->Close();
  } else if (lookup_ != nullptr && !lookup_->finished) {
    lookup_->finished = true;
    lookup_->signal.Fire();
  }
}

void Dial::Cancel() {
  cancelled_ = true;
  if (stream_ != nullptr) {
    stream_->Close();
  } else if (lookup_ != nullptr && !lookup_->finished) {
    lookup_->finished = true;
    // Not from inside the caller, who may be in the middle of something.
    loop_.Post([lookup = lookup_] { lookup->signal.Fire(); });
  }
}

Task<Resolution> Dial::Resolve() {
  Resolution resolution;
  if (loop_.shared().resolver->TryResolve(endpoint_.host, endpoint_.port, resolution)) {
    co_return resolution;
  }
  const bool has_older = !resolution.addresses.empty();
  if (has_older) {
    deadline_.Set(std::min(ends_, loop_.Now() + Resolver::kPatience));
  }
  lookup_ = std::make_shared<LookupState>();
  loop_.shared().resolver->Resolve(endpoint_.host, endpoint_.port,
                                   [loop = &loop_, lookup = lookup_](Resolution result) {
                                     loop->Post([lookup, result = std::move(result)]() mutable {
                                       if (!lookup->finished) {
                                         lookup->finished = true;
                                         lookup->result = std::move(result);
                                         lookup->signal.Fire();
                                       }
                                     });
                                   });
  co_await lookup_->signal.Wait();
  if (has_older && timed_out_) {
    timed_out_ = false;
  } else {
    resolution = std::move(lookup_->result);
  }
  lookup_ = nullptr;
  co_return resolution;
}

Task<DialError> Dial::Run(Duration timeout) {
  ends_ = loop_.Now() + timeout;
  deadline_.Set(ends_);
  Resolution resolution = co_await Resolve();
  if (cancelled_) {
    co_return DialError::kCancelled;
  }
  if (timed_out_) {
    failure_ = "name lookup: timed out";
    co_return DialError::kTimeout;
  }
  if (resolution.addresses.empty()) {
    failure_ = resolution.error;
    co_return DialError::kConnect;
  }
  if (!allow_local_ && !resolution.is_override) {
    std::erase_if(resolution.addresses, [](const SocketAddress& a) { return a.is_local(); });
    if (resolution.addresses.empty()) {
      failure_ =
          "the address is loopback, link-local or a metadata service, which this gateway does not "
          "allow as an upstream; allow local upstreams or name the address with --resolve";
      co_return DialError::kConnect;
    }
  }
  static constexpr size_t kMaxAddresses = 4;
  const size_t count = std::min(resolution.addresses.size(), kMaxAddresses);
  DialError error = DialError::kConnect;
  for (size_t i = 0; i < count && !cancelled_; ++i) {
    // Each address gets an equal part of the time that is left.
    const MonotonicTime now = loop_.Now();
    const Duration part = (ends_ - now) / static_cast<int64_t>(count - i);
    timed_out_ = false;
    deadline_.Set(now + part);
    const DialError tried = co_await TryAddress(resolution.addresses[i]);
    if (tried == DialError::kNone || error != DialError::kNoResources) {
      error = tried;  // an upstream of which not every address could be tried has not failed
    }
    if (error == DialError::kNone) {
      break;
    }
  }
  deadline_.Clear();
  if (cancelled_) {
    error = DialError::kCancelled;
  }
  co_return error;
}

Task<DialError> Dial::TryAddress(const SocketAddress& address) {
  std::unique_ptr<Stream> stream;
  if (endpoint_.tls) {
    auto made = MakeTlsClientStream(loop_.poller(), *loop_.shared().client_tls, endpoint_.host,
                                    endpoint_.ca_pem, endpoint_.pool_key);
    if (!made.ok()) {
      failure_ = std::string(made.status().message());
      co_return DialError::kTls;
    }
    stream = *std::move(made);
  } else {
    stream = MakePlainStream(loop_.poller());
  }
  stream_ = stream.get();
  Connecting connecting(*stream, address);
  IoResult result = co_await connecting;
  DialError error = ConnectError(result);
  if (result.ok() && endpoint_.tls) {
    Handshaking handshaking(*stream);
    result = co_await handshaking;
    error = result.ok() ? DialError::kNone : DialError::kTls;
  }
  stream_ = nullptr;
  if (timed_out_) {
    error = DialError::kTimeout;
    failure_ = absl::StrCat("connecting to ", address.HostString(), " timed out");
  } else if (error != DialError::kNone) {
    failure_ = absl::StrCat(address.HostString(), ": ", stream->failure());
  } else {
    connection_ =
        std::make_unique<UpstreamConnection>(loop_, std::move(stream), endpoint_.pool_key);
  }
  co_return error;
}

}  // namespace rota::engine
