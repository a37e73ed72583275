#include "controller/serve/sync_service.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

// The timer never looks more often than this, and at least this often.
constexpr Duration kShortestTick = std::chrono::milliseconds(500);
constexpr Duration kLongestTick = std::chrono::seconds(30);

}  // namespace

SyncService::SyncService(ServiceOptions options, const Published<compile::Snapshot>& snapshots,
                         Clock& clock)
    : options_(std::move(options)),
      snapshots_(snapshots),
      clock_(clock),
      hub_(options_.hub),
      gate_(options_.transfers, options_.transfer_patience,
            [this](uint64_t stream) {
              std::lock_guard guard(mutex_);
              granted_.push_back(stream);
              timer_wake_.notify_all();
            }),
      tokens_(options_.new_streams_burst),
      tokens_at_(clock.Now()),
      timer_([this](std::stop_token stop) { RunTimer(stop); }) {}

SyncService::~SyncService() = default;

absl::StatusOr<std::shared_ptr<SyncService::Connection>> SyncService::Accept(ServerStream& stream,
                                                                             PeerIdentity peer) {
  const MonotonicTime now = clock_.Now();
  std::lock_guard guard(mutex_);
  absl::Status refusal;
  if (draining_) {
    refusal = absl::UnavailableError("this controller is shutting down");
  } else if (snapshots_.Get() == nullptr) {
    refusal = absl::UnavailableError("this controller has no configuration yet");
  } else if (connections_.size() >= options_.max_streams) {
    refusal = absl::ResourceExhaustedError(
        absl::StrCat("this controller serves ", options_.max_streams, " data planes already"));
  } else if (!TakeToken(now)) {
    refusal = absl::ResourceExhaustedError("too many new streams at once");
  }
  if (!refusal.ok()) {
    ++streams_refused_;
    return refusal;
  }
  ++streams_accepted_;
  const uint64_t id = next_stream_++;
  auto connection = std::make_shared<Connection>(id, *this, stream, std::move(peer), now);
  connections_.emplace(id, connection);
  look_again_ = true;
  timer_wake_.notify_all();
  return connection;
}

bool SyncService::TakeToken(MonotonicTime now) {
  const double seconds = std::chrono::duration<double>(now - tokens_at_).count();
  tokens_ =
      std::min(options_.new_streams_burst, tokens_ + seconds * options_.new_streams_per_second);
  tokens_at_ = now;
  if (tokens_ < 1.0) {
    return false;
  }
  tokens_ -= 1.0;
  return true;
}

std::vector<std::shared_ptr<SyncService::Connection>> SyncService::Connections() const {
  std::vector<std::shared_ptr<Connection>> connections;
  std::lock_guard guard(mutex_);
  connections.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) {
    connections.push_back(connection);
  }
  return connections;
}

void SyncService::Wake() {
  for (const auto& connection : Connections()) {
    connection->Pump();
  }
}

void SyncService::Drain(Duration within) {
  {
    std::lock_guard guard(mutex_);
    draining_ = true;
  }
  for (const auto& connection : Connections()) {
    connection->Drain(within);
  }
}

void SyncService::LiftSuspensions(const std::string& target) {
  Tell(hub_.Lift(target, clock_.Now()), nullptr);
}

void SyncService::SetSuspensionListener(std::function<void()> listener) {
  std::lock_guard guard(mutex_);
  suspension_listener_ = std::move(listener);
}

void SyncService::SetPeerHooks(PeerHooks hooks) {
  std::lock_guard guard(mutex_);
  peer_hooks_ = std::move(hooks);
}

SyncService::PeerHooks SyncService::peer_hooks() const {
  std::lock_guard guard(mutex_);
  return peer_hooks_;
}

void SyncService::OnConnected() {
  const size_t connected = fleet_.connected();
  hub_.set_connected(connected);
  if (const PeerHooks hooks = peer_hooks(); hooks.connected) {
    hooks.connected(connected);
  }
}

std::vector<SharedSuspension> SyncService::MergeFromPeer(const SuspensionHub::Items& items,
                                                         MonotonicTime sent) {
  HubChanges changes = hub_.MergeFromPeer(items, sent, clock_.Now());
  if (!changes.shared.empty()) {
    Broadcast(changes.shared, nullptr);
  }
  return std::move(changes.news);
}

ServiceStats SyncService::stats() const {
  ServiceStats stats;
  stats.streams_accepted = streams_accepted_;
  stats.streams_refused = streams_refused_;
  stats.protocol_errors = protocol_errors_;
  stats.timeouts = timeouts_;
  stats.acknowledgements = acknowledgements_;
  stats.rejections = rejections_;
  stats.stale_serves = stale_serves_;
  stats.suspension_statements_dropped = hub_.dropped();
  return stats;
}

void SyncService::Tell(const HubChanges& changes, const Connection* from) {
  // Other replicas first: it is further to their data planes.
  if (!changes.news.empty()) {
    if (const PeerHooks hooks = peer_hooks(); hooks.told) {
      hooks.told(changes.news);
    }
  }
  if (!changes.shared.empty()) {
    Broadcast(changes.shared, from);
  }
}

void SyncService::Broadcast(const std::vector<SharedSuspension>& suspensions,
                            const Connection* from) {
  for (const auto& connection : Connections()) {
    // Who has said one thing knows it; who has said more may have made something known that it has
    // not heard of: the second witness of AUTH the first one.
    if (connection.get() != from || suspensions.size() > 1) {
      connection->AddSuspensions(suspensions);
    }
  }
  std::function<void()> listener;
  {
    std::lock_guard guard(mutex_);
    listener = suspension_listener_;
    look_again_ = true;
    timer_wake_.notify_all();
  }
  if (listener) {
    listener();
  }
}

void SyncService::OnEffects(const Connection& from, const SessionEffects& effects) {
  if (effects.registered) {
    OnConnected();
  }
  Tell(effects.suspensions, &from);
}

void SyncService::Remove(const std::shared_ptr<Connection>& connection) {
  {
    std::lock_guard guard(mutex_);
    connections_.erase(connection->id_);
  }
  gate_.Leave(connection->id_, clock_.Now());
  fleet_.Remove(connection->id_);
  OnConnected();
}

// On the timer's thread: who leaves the gate holds its own connection's lock.
void SyncService::PumpGranted() {
  std::vector<std::shared_ptr<Connection>> granted;
  {
    std::lock_guard guard(mutex_);
    for (const uint64_t stream : std::exchange(granted_, {})) {
      if (const auto found = connections_.find(stream); found != connections_.end()) {
        granted.push_back(found->second);
      }
    }
  }
  for (const auto& connection : granted) {
    connection->Pump();
  }
}

void SyncService::RunTimer(std::stop_token stop) {
  MonotonicTime next_end = MonotonicTime::max();
  MonotonicTime next_tick = MonotonicTime::min();
  while (!stop.stop_requested()) {
    PumpGranted();
    const MonotonicTime now = clock_.Now();
    if (now < next_tick) {
      std::unique_lock lock(mutex_);
      if (granted_.empty() && !look_again_) {
        clock_.WaitUntil(lock, timer_wake_, next_tick, stop);
      }
      if (std::exchange(look_again_, false)) {
        next_tick = std::min(next_tick, now + kShortestTick);
      }
      continue;
    }
    MonotonicTime wake = now + kLongestTick;
    for (const auto& connection : Connections()) {
      wake = std::min(wake, connection->Tick(now));
    }
    if (next_end <= now) {
      Broadcast({}, nullptr);  // a suspension has ended: whoever shows them looks again
    }
    next_end = hub_.NextEnd(now);
    next_tick = std::max(std::min(wake, next_end), now + kShortestTick);
  }
}

SyncService::Connection::Connection(uint64_t id, SyncService& service, ServerStream& stream,
                                    PeerIdentity peer, MonotonicTime now)
    : PacedConnection(service.clock_, service.options_.finish_timeout),
      id_(id),
      service_(service),
      session_(id, std::move(peer),
               {service.options_.session, service.snapshots_, service.deltas_, service.hub_,
                service.places_, service.gate_},
               now) {
  stream_.Open(stream);
}

void SyncService::Connection::OnMessage(const v1::ClientMessage& message) {
  const MonotonicTime now = clock_.Now();
  SessionEffects effects;
  NodeReport report;
  {
    std::lock_guard guard(mutex_);
    if (stream_.closing()) {
      return;
    }
    const absl::Status status = session_.OnMessage(message, now, effects);
    if (!status.ok()) {
      ++service_.protocol_errors_;
      LogClosed(status);
      stream_.Close(status, now);
      return;
    }
    if (effects.fleet_changed) {
      report = session_.report();
    }
  }
  // Others first: a suspension must not wait for this stream's own work.
  if (effects.fleet_changed) {
    if (message.has_ack()) {
      ++service_.acknowledgements_;
      service_.rejections_ += static_cast<uint64_t>(message.ack().rejected_size());
    }
    service_.fleet_.Update(id_, std::move(report));
    if (const PeerHooks hooks = service_.peer_hooks(); hooks.acknowledged) {
      hooks.acknowledged();
    }
  }
  service_.OnEffects(*this, effects);
  Pump();
}

void SyncService::Connection::OnDone() {
  {
    std::lock_guard guard(mutex_);
    stream_.Release();
  }
  service_.Remove(shared_from_this());
}

void SyncService::Connection::AddSuspensions(const std::vector<SharedSuspension>& suspensions) {
  Change([&](MonotonicTime) { session_.AddSuspensions(suspensions); });
}

void SyncService::Connection::Drain(Duration within) {
  Change([&](MonotonicTime) { session_.Drain(within); });
}

std::optional<v1::ServerMessage> SyncService::Connection::NextMessage(MonotonicTime now) {
  std::optional<v1::ServerMessage> message = session_.NextMessage(now);
  if (session_.served_stale() && !std::exchange(is_stale_counted_, true)) {
    ++service_.stale_serves_;
  }
  return message;
}

absl::Status SyncService::Connection::CheckTimeouts(MonotonicTime now) {
  return session_.CheckTimeouts(now);
}

MonotonicTime SyncService::Connection::NextDeadline() const { return session_.NextDeadline(); }

void SyncService::Connection::OnTimeout(const absl::Status& status) {
  ++service_.timeouts_;
  LogClosed(status);
}

void SyncService::Connection::LogClosed(const absl::Status& status) const {
  log::Warn("serve", "a data plane's stream is closed",
            {{"node", session_.report().node}, {"reason", std::string(status.message())}});
}

}  // namespace rota::serve
