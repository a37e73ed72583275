#include "controller/serve/peer_exchange.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "controller/serve/peer_status.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

// The thread never looks more often than this, and at least this often.
constexpr Duration kShortestTick = std::chrono::milliseconds(20);
constexpr Duration kLongestTick = std::chrono::seconds(30);
// Acknowledgements come in bursts: a fleet of a thousand is described once per burst.
constexpr Duration kDescribeInterval = std::chrono::milliseconds(50);

BackoffOptions RetryBackoff(const PeerOptions& options) {
  BackoffOptions backoff;
  backoff.initial = options.first_retry;
  backoff.maximum = options.longest_retry;
  backoff.jitter = -1.0;  // full jitter: uniform in (0, d]
  return backoff;
}

}  // namespace

PeerExchange::PeerExchange(PeerOptions options, SyncService& service, Clock& clock)
    : options_(std::move(options)),
      service_(service),
      clock_(clock),
      update_at_(clock.Now()),
      describe_at_(clock.Now()) {
  service_.SetPeerHooks(
      {.told =
           [this](const std::string& gateway, const std::vector<SharedSuspension>& statements) {
             Tell(gateway, statements, "");
           },
       .connected = [this] { OnConnected(); },
       .acknowledged = [this] { OnAcknowledged(); }});
  OnConnected();  // gateways that are there already
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

PeerExchange::~PeerExchange() { service_.SetPeerHooks({}); }

void PeerExchange::Start(std::unique_ptr<PeerDialler> dialler) {
  std::lock_guard guard(mutex_);
  dialler_ = std::move(dialler);
  wake_.notify_all();
}

void PeerExchange::SetFleetListener(std::function<void()> listener) {
  std::lock_guard guard(mutex_);
  fleet_listener_ = std::move(listener);
}

void PeerExchange::Stop() {
  thread_.request_stop();
  thread_.join();
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  for (const auto& connection : Connections()) {
    connection->Close(absl::UnavailableError("this replica is shutting down"));
  }
  dialler_.reset();
}

std::shared_ptr<PeerExchange::Connection> PeerExchange::MakeConnection(const PeerAddress* address,
                                                                       PeerIdentity peer) {
  const MonotonicTime now = clock_.Now();
  std::lock_guard guard(mutex_);
  if (stopping_ || connections_.size() >= options_.max_links) {
    return nullptr;
  }
  const uint64_t id = next_connection_++;
  auto connection = std::make_shared<Connection>(id, *this, address, std::move(peer), now);
  connections_.emplace(id, connection);
  wake_.notify_all();
  return connection;
}

absl::StatusOr<std::shared_ptr<PeerExchange::Connection>> PeerExchange::Accept(PeerStream& stream,
                                                                               PeerIdentity peer) {
  std::shared_ptr<Connection> connection = MakeConnection(nullptr, std::move(peer));
  if (connection == nullptr) {
    ++streams_failed_;
    return absl::ResourceExhaustedError("this controller has too many peers already");
  }
  connection->Open(stream);
  return connection;
}

std::vector<std::shared_ptr<PeerExchange::Connection>> PeerExchange::Connections() const {
  std::vector<std::shared_ptr<Connection>> connections;
  std::lock_guard guard(mutex_);
  connections.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) {
    connections.push_back(connection);
  }
  return connections;
}

void PeerExchange::Tell(const std::string& gateway, const std::vector<SharedSuspension>& statements,
                        const std::string& except_replica) {
  for (const auto& connection : Connections()) {
    connection->Add(gateway, statements, except_replica);
  }
}

// The number at once: it decides about suspensions. What they have follows.
void PeerExchange::OnConnected() {
  OnAcknowledged();
  bool is_news = false;
  {
    std::lock_guard guard(status_mutex_);
    v1::PeerStatus status = WithCounts(service_.gateways(), status_);
    is_news = !IsSame(status, status_);
    status_ = std::move(status);
  }
  if (is_news) {
    TellStatus();
  }
  CountElsewhere();  // a gateway may be new
}

void PeerExchange::OnAcknowledged() {
  if (!is_description_due_.exchange(true)) {
    std::lock_guard guard(mutex_);
    wake_.notify_all();
  }
}

v1::PeerStatus PeerExchange::status() const {
  std::lock_guard guard(status_mutex_);
  return status_;
}

void PeerExchange::TellStatus() {
  for (const auto& connection : Connections()) {
    connection->UpdateStatus();
  }
}

void PeerExchange::DescribeIfDue(MonotonicTime now) {
  if (!is_description_due_ || now < describe_at_ || Connections().empty()) {
    return;
  }
  describe_at_ = now + kDescribeInterval;
  is_description_due_ = false;
  const v1::PeerStatus described = DescribeGateways(service_.gateways());
  {
    std::lock_guard guard(status_mutex_);
    status_ = WithCounts(service_.gateways(), described);  // who has come meanwhile counts
  }
  TellStatus();
}

void PeerExchange::OnEffects(Connection& from, const PeerEffects& effects) {
  if (effects.introduced) {
    ++streams_opened_;
    OnIntroduced(from);
  }
  if (effects.status_changed) {
    OnPeerStatus();
  }
  for (const PeerEffects::Dated& dated : effects.dated) {
    statements_received_ += static_cast<uint64_t>(dated.statements.size());
    const std::vector<SharedSuspension> news =
        service_.MergeFromPeer(dated.gateway, dated.statements, dated.sent);
    statements_new_ += news.size();
    if (!news.empty()) {
      Tell(dated.gateway, news, from.Report().replica);
    }
  }
}

void PeerExchange::CountElsewhere() {
  std::lock_guard guard(counting_mutex_);
  DataPlaneCounts elsewhere;
  for (const PeerReport& peer : Peers()) {
    for (const auto& [gateway, data_planes] : peer.data_planes) {
      elsewhere[gateway] += data_planes;
    }
  }
  for (const GatewayPtr& gateway : service_.gateways().All()) {
    gateway->hub.set_connected_elsewhere(elsewhere[gateway->name]);
  }
}

void PeerExchange::OnPeerStatus() {
  CountElsewhere();
  std::function<void()> listener;
  {
    std::lock_guard guard(mutex_);
    listener = fleet_listener_;
  }
  if (listener) {
    listener();
  }
}

// A name that stands for two addresses of one replica needs one stream only.
bool PeerExchange::IsTwin(const Connection& connection, const std::string& replica) const {
  const auto all = Connections();
  return connection.opened_here_ && std::any_of(all.begin(), all.end(), [&](const auto& other) {
           return other->opened_here_ && other->id_ < connection.id_ &&
                  other->Report().replica == replica;
         });
}

void PeerExchange::OnIntroduced(const Connection& connection) {
  const PeerReport report = connection.Report();
  log::Info("peers", "exchanging suspensions with another replica",
            {{"replica", report.replica}, {"server", report.server}, {"address", report.address}});
  if (connection.opened_here_) {
    std::lock_guard guard(mutex_);
    if (const auto contact = contacts_.find(connection.address_); contact != contacts_.end()) {
      contact->second.backoff.Reset();
    }
  }
}

void PeerExchange::Remove(Connection& connection, bool is_self) {
  {
    std::lock_guard guard(mutex_);
    connections_.erase(connection.id_);
    const auto contact = contacts_.find(connection.address_);
    if (connection.opened_here_ && contact != contacts_.end()) {
      contact->second.connected = false;
      contact->second.is_self = is_self;
      contact->second.retry_at = clock_.Now() + contact->second.backoff.Next();
    }
    wake_.notify_all();
  }
  OnPeerStatus();
}

std::vector<PeerReport> PeerExchange::Peers() const {
  std::map<std::string, PeerReport> peers;
  for (const auto& connection : Connections()) {
    PeerReport report = connection->Report();
    if (report.replica.empty()) {
      continue;
    }
    PeerReport& known = peers[report.replica];
    report.streams = known.streams + 1;
    known = std::move(report);  // the newest stream's word counts
  }
  std::vector<PeerReport> list;
  list.reserve(peers.size());
  for (auto& [replica, report] : peers) {
    list.push_back(std::move(report));
  }
  return list;
}

PeerStats PeerExchange::stats() const {
  return {.statements_sent = statements_sent_,
          .statements_received = statements_received_,
          .statements_new = statements_new_,
          .streams_opened = streams_opened_,
          .streams_failed = streams_failed_};
}

void PeerExchange::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const MonotonicTime now = clock_.Now();
    MonotonicTime next = now + kLongestTick;
    for (const auto& connection : Connections()) {
      next = std::min(next, connection->Tick(now));
    }
    DescribeIfDue(now);
    bool dials = false;
    {
      std::lock_guard guard(mutex_);
      dials = dialler_ != nullptr;
    }
    if (dials) {
      if (now >= update_at_) {
        UpdateContacts(now);
      }
      next = std::min({next, update_at_, DialDue(now)});
    }
    std::unique_lock lock(mutex_);
    if (is_description_due_ && !connections_.empty()) {
      next = std::min(next, describe_at_);
    }
    clock_.WaitUntil(lock, wake_, std::max(next, now + kShortestTick), stop);
  }
}

void PeerExchange::UpdateContacts(MonotonicTime now) {
  const std::vector<PeerAddress> addresses = dialler_->Addresses();
  update_at_ = now + options_.update_interval;
  std::lock_guard guard(mutex_);
  for (auto& [address, contact] : contacts_) {
    contact.listed = false;
  }
  for (const PeerAddress& address : addresses) {
    if (contacts_.contains(address) || contacts_.size() < options_.max_addresses) {
      contacts_.try_emplace(address, Backoff(RetryBackoff(options_), options_.random))
          .first->second.listed = true;
    }
  }
  // Who is not listed any more keeps its stream, but is not dialled again.
  std::erase_if(contacts_,
                [](const auto& entry) { return !entry.second.listed && !entry.second.connected; });
}

MonotonicTime PeerExchange::DialDue(MonotonicTime now) {
  MonotonicTime next = MonotonicTime::max();
  std::vector<PeerAddress> due;
  {
    std::lock_guard guard(mutex_);
    for (auto& [address, contact] : contacts_) {
      if (contact.connected || contact.is_self || !contact.listed) {
        continue;
      }
      if (contact.retry_at <= now) {
        due.push_back(address);
        contact.connected = true;
      } else {
        next = std::min(next, contact.retry_at);
      }
    }
  }
  for (const PeerAddress& address : due) {
    PeerIdentity peer;
    peer.address = address.address;
    const std::shared_ptr<Connection> connection = MakeConnection(&address, std::move(peer));
    if (connection != nullptr) {
      dialler_->Dial(address, connection);
      continue;
    }
    std::lock_guard guard(mutex_);
    if (const auto contact = contacts_.find(address); contact != contacts_.end()) {
      contact->second.connected = false;
      contact->second.retry_at = now + contact->second.backoff.Next();
    }
  }
  return next;
}

PeerExchange::Connection::Connection(uint64_t id, PeerExchange& exchange,
                                     const PeerAddress* address, PeerIdentity peer,
                                     MonotonicTime now)
    : PacedConnection(exchange.clock_, exchange.options_.finish_timeout),
      id_(id),
      exchange_(exchange),
      opened_here_(address != nullptr),
      address_(opened_here_ ? *address : PeerAddress{}),
      peer_address_(peer.address),
      session_(exchange.options_, opened_here_, std::move(peer), exchange.status(), now) {}

void PeerExchange::Connection::Open(PeerStream& stream) {
  Change([&](MonotonicTime) { stream_.Open(stream); });
}

void PeerExchange::Connection::OnMessage(const v1::PeerMessage& message) {
  const MonotonicTime now = clock_.Now();
  // Not under this mutex: it looks at all connections.
  const bool twin = message.has_hello() && exchange_.IsTwin(*this, message.hello().replica());
  PeerEffects effects;
  {
    std::lock_guard guard(mutex_);
    if (stream_.closing()) {
      return;
    }
    const absl::Status status =
        twin ? absl::AlreadyExistsError("there is a stream to this replica already")
             : session_.OnMessage(message, now, effects);
    if (!status.ok()) {
      is_self_ = effects.is_self;
      is_twin_ = twin;
      if (!is_self_ && !is_twin_) {
        LogClosed(status);
      }
      stream_.Close(status, now);
      return;
    }
    // One that came into being meanwhile may have missed a change.
    session_.SetStatus(exchange_.status());
    PumpLocked(now);
  }
  exchange_.OnEffects(*this, effects);
}

void PeerExchange::Connection::OnDone(const absl::Status& status) {
  bool is_self = false;
  {
    std::lock_guard guard(mutex_);
    stream_.Release();
    // Whoever accepts a stream is the one that sees that it comes from itself.
    is_self_ = is_self_ || (opened_here_ && absl::IsAlreadyExists(status));
    is_self = is_self_;
    if (!is_self_ && !is_twin_) {
      ++exchange_.streams_failed_;
    }
  }
  exchange_.Remove(*this, is_self);
}

void PeerExchange::Connection::Add(const std::string& gateway,
                                   const std::vector<SharedSuspension>& statements,
                                   const std::string& except_replica) {
  Change([&](MonotonicTime) {
    if (session_.replica() != except_replica) {
      session_.Add(gateway, statements);
    }
  });
}

void PeerExchange::Connection::UpdateStatus() {
  // Asked for under this connection's lock: of two that come at once the newer one counts.
  Change([&](MonotonicTime) { session_.SetStatus(exchange_.status()); });
}

PeerReport PeerExchange::Connection::Report() const {
  std::lock_guard guard(mutex_);
  if (stream_.closing()) {
    return {};
  }
  return {.replica = session_.replica(),
          .server = session_.server(),
          .address = peer_address_,
          .data_planes = session_.data_planes(),
          .streams = 1,
          .status = session_.peer_status()};
}

std::optional<v1::PeerMessage> PeerExchange::Connection::NextMessage(MonotonicTime now) {
  std::optional<v1::PeerMessage> message = session_.NextMessage(exchange_.service_.gateways(), now);
  if (message.has_value()) {
    exchange_.statements_sent_ += static_cast<uint64_t>(message->suspensions().items_size());
  }
  return message;
}

absl::Status PeerExchange::Connection::CheckTimeouts(MonotonicTime now) {
  return session_.CheckTimeouts(now);
}

MonotonicTime PeerExchange::Connection::NextDeadline() const { return session_.NextDeadline(); }

void PeerExchange::Connection::OnTimeout(const absl::Status& status) { LogClosed(status); }

void PeerExchange::Connection::LogClosed(const absl::Status& status) const {
  log::Warn("peers", "the stream to another replica is closed",
            {{"peer", peer_address_}, {"reason", std::string(status.message())}});
}

}  // namespace rota::serve
