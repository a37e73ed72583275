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

absl::Status GatewayIsGone(const std::string& name) {
  return absl::NotFoundError(absl::StrCat(
      "gateway '", name,
      "' is no longer served by this controller; its data planes keep what they have"));
}

}  // namespace

SyncService::SyncService(ServiceOptions options, Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      gateways_(options_.hub),
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
  } else if (!HasSnapshot()) {
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

bool SyncService::HasSnapshot() const {
  const std::vector<GatewayPtr> all = gateways_.All();
  return std::any_of(all.begin(), all.end(),
                     [](const GatewayPtr& gateway) { return gateway->snapshots.Get() != nullptr; });
}

bool SyncService::Publish(const std::string& gateway, SnapshotPtr snapshot) {
  const GatewayPtr served = gateways_.Obtain(gateway);
  if (served == nullptr) {
    return false;
  }
  const bool is_new = served->snapshots.Get() == nullptr;
  served->snapshots.Publish(std::move(snapshot));
  for (const auto& connection : Connections()) {
    connection->PumpFor(*served);
  }
  if (is_new) {
    OnConnected(*served);
  }
  return true;
}

void SyncService::RemoveGateway(const std::string& gateway) {
  const GatewayPtr gone = gateways_.Remove(gateway);
  if (gone == nullptr) {
    return;
  }
  for (const auto& connection : Connections()) {
    connection->CloseFor(*gone, GatewayIsGone(gateway));
  }
  OnConnected(*gone);
  NotifyListener();
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
  for (const GatewayPtr& gateway : gateways_.All()) {
    Tell(*gateway, gateway->hub.Lift(target, clock_.Now()), nullptr);
  }
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

void SyncService::OnConnected(ServedGateway& gateway) {
  {
    std::lock_guard guard(counting_mutex_);
    gateway.hub.set_connected(gateway.fleet.connected());
  }
  if (const PeerHooks hooks = peer_hooks(); hooks.connected) {
    hooks.connected();
  }
}

std::vector<SharedSuspension> SyncService::MergeFromPeer(const std::string& gateway,
                                                         const SuspensionHub::Items& items,
                                                         MonotonicTime sent) {
  const GatewayPtr served = gateways_.Find(gateway);
  if (served == nullptr) {
    return {};
  }
  HubChanges changes = served->hub.MergeFromPeer(items, sent, clock_.Now());
  if (!changes.shared.empty()) {
    Broadcast(*served, changes.shared, nullptr);
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
  for (const GatewayPtr& gateway : gateways_.All()) {
    stats.suspension_statements_dropped += gateway->hub.dropped();
  }
  return stats;
}

void SyncService::Tell(const ServedGateway& gateway, const HubChanges& changes,
                       const Connection* from) {
  // Other replicas first: it is further to their data planes.
  if (!changes.news.empty()) {
    if (const PeerHooks hooks = peer_hooks(); hooks.told) {
      hooks.told(gateway.name, changes.news);
    }
  }
  if (!changes.shared.empty()) {
    Broadcast(gateway, changes.shared, from);
  }
}

void SyncService::Broadcast(const ServedGateway& gateway,
                            const std::vector<SharedSuspension>& suspensions,
                            const Connection* from) {
  for (const auto& connection : Connections()) {
    // Who has said one thing knows it; who has said more may have made something known that it has
    // not heard of: the second witness of AUTH the first one.
    if (connection.get() != from || suspensions.size() > 1) {
      connection->AddSuspensions(gateway, suspensions);
    }
  }
  NotifyListener();
}

void SyncService::NotifyListener() {
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

void SyncService::OnEffects(Connection& from, const GatewayPtr& gateway,
                            const SessionEffects& effects) {
  if (effects.registered) {
    OnConnected(*gateway);
    if (gateways_.Find(gateway->name) != gateway) {
      from.Close(GatewayIsGone(gateway->name));  // it went while Hello was looked at
    }
  }
  Tell(*gateway, effects.suspensions, &from);
}

void SyncService::Remove(const std::shared_ptr<Connection>& connection) {
  {
    std::lock_guard guard(mutex_);
    connections_.erase(connection->id_);
  }
  gate_.Leave(connection->id_, clock_.Now());
  if (const GatewayPtr gateway = connection->Gateway()) {
    gateway->fleet.Remove(connection->id_);
    OnConnected(*gateway);
  }
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
      NotifyListener();  // a suspension has ended: whoever shows them looks again
    }
    next_end = MonotonicTime::max();
    for (const GatewayPtr& gateway : gateways_.All()) {
      next_end = std::min(next_end, gateway->hub.NextEnd(now));
    }
    next_tick = std::max(std::min(wake, next_end), now + kShortestTick);
  }
}

SyncService::Connection::Connection(uint64_t id, SyncService& service, ServerStream& stream,
                                    PeerIdentity peer, MonotonicTime now)
    : PacedConnection(service.clock_, service.options_.finish_timeout),
      id_(id),
      service_(service),
      session_(id, std::move(peer), {service.options_.session, service.gateways_, service.gate_},
               now) {
  stream_.Open(stream);
}

void SyncService::Connection::OnMessage(const v1::ClientMessage& message) {
  const MonotonicTime now = clock_.Now();
  SessionEffects effects;
  NodeReport report;
  GatewayPtr gateway;
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
    gateway = session_.gateway();
  }
  // Others first: a suspension must not wait for this stream's own work.
  if (effects.fleet_changed) {
    if (message.has_ack()) {
      ++service_.acknowledgements_;
      service_.rejections_ += static_cast<uint64_t>(message.ack().rejected_size());
    }
    gateway->fleet.Update(id_, std::move(report));
    if (const PeerHooks hooks = service_.peer_hooks(); hooks.acknowledged) {
      hooks.acknowledged();
    }
  }
  service_.OnEffects(*this, gateway, effects);
  Pump();
}

void SyncService::Connection::OnDone() {
  {
    std::lock_guard guard(mutex_);
    stream_.Release();
  }
  service_.Remove(shared_from_this());
}

void SyncService::Connection::AddSuspensions(const ServedGateway& gateway,
                                             const std::vector<SharedSuspension>& suspensions) {
  Change([&](MonotonicTime) {
    if (session_.gateway().get() == &gateway) {
      session_.AddSuspensions(suspensions);
    }
  });
}

void SyncService::Connection::PumpFor(const ServedGateway& gateway) {
  if (Gateway().get() == &gateway) {
    Pump();
  }
}

void SyncService::Connection::CloseFor(const ServedGateway& gateway, const absl::Status& status) {
  if (Gateway().get() == &gateway) {
    Close(status);
  }
}

GatewayPtr SyncService::Connection::Gateway() const {
  std::lock_guard guard(mutex_);
  return session_.gateway();
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
