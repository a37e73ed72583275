#pragma once

// All streams of one controller: accepts them, moves every data plane to the newest snapshot of its
// gateway, passes suspensions on within a gateway, keeps time. The transport (gRPC, or in-process
// in tests) sits behind ServerStream. Limits hold for all gateways together.
//
// Thread-safe. One thread of its own for time-outs, heartbeats and the end of suspensions;
// everything else happens on the caller's thread, so that nothing waits for a poll.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/serve/gateway_registry.h"
#include "controller/serve/paced_connection.h"
#include "controller/serve/sync_session.h"

namespace rota::serve {

using ServerStream = OutgoingStream<rota::sync::v1::ServerMessage>;

struct ServiceOptions {
  SessionOptions session;
  SuspensionHubOptions hub;
  // A thousand data planes, and those of them whose old stream has not been noticed to be dead.
  size_t max_streams = 2000;
  // Beyond: RESOURCE_EXHAUSTED, the data plane comes back. A whole fleet that loses a controller
  // may come at once (a stream without its snapshot costs little: see the gate); what this stops is
  // one that comes again and again.
  double new_streams_per_second = 200;
  double new_streams_burst = 1000;
  // Streams that send a transaction of more than SessionOptions::gated_bytes at once.
  size_t transfers = 16;
  Duration transfer_patience = std::chrono::seconds(10);
  Duration finish_timeout = std::chrono::seconds(5);  // for a status to reach a slow reader
};

// Counters since start.
struct ServiceStats {
  uint64_t streams_accepted = 0;
  uint64_t streams_refused = 0;
  uint64_t protocol_errors = 0;
  uint64_t timeouts = 0;
  uint64_t acknowledgements = 0;
  uint64_t rejections = 0;  // resources, over all acknowledgements
  uint64_t suspension_statements_dropped = 0;
  uint64_t stale_serves = 0;  // data planes that were sent what may be older than what they had
};

class SyncService {
 public:
  class Connection;

  // `clock` outlives the service.
  SyncService(ServiceOptions options, Clock& clock);
  // REQUIRES: every connection has seen OnDone (the transport is shut down first).
  ~SyncService();

  // UNAVAILABLE before the first snapshot and while draining, RESOURCE_EXHAUSTED above the limits.
  // `stream` stays valid until Connection::OnDone.
  absl::StatusOr<std::shared_ptr<Connection>> Accept(ServerStream& stream, PeerIdentity peer);

  // From now on `gateway` is served with that snapshot. False: there are too many gateways.
  bool Publish(const std::string& gateway, SnapshotPtr snapshot);
  // The gateway is no longer served: its streams end and say so. Data planes keep what they have.
  void RemoveGateway(const std::string& gateway);
  // "Reconnect elsewhere within that time"; new streams are refused from now on.
  void Drain(Duration within);
  // A person ends every suspension of a target, on all data planes.
  void LiftSuspensions(const std::string& target);

  GatewayRegistry& gateways() { return gateways_; }
  const GatewayRegistry& gateways() const { return gateways_; }
  // Called (from any thread, without a lock) when the set of active suspensions may have changed.
  void SetSuspensionListener(std::function<void()> listener);

  // For the exchange with other replicas; called from any thread, without a lock.
  struct PeerHooks {
    // What data planes of this replica, or a person, have said.
    std::function<void(const std::string& gateway, const std::vector<SharedSuspension>&)> told;
    // Gateways, or the number of data planes that are connected here, may have changed.
    std::function<void()> connected;
    // What the data planes of this replica have may have changed.
    std::function<void()> acknowledged;
  };
  // REQUIRES: no stream is open, or the hooks are the first ones.
  void SetPeerHooks(PeerHooks hooks);
  // Tells this replica's data planes what another one knows; returns what was new here. A gateway
  // that is not served here has no news.
  std::vector<SharedSuspension> MergeFromPeer(const std::string& gateway,
                                              const SuspensionHub::Items& items,
                                              MonotonicTime sent);
  ServiceStats stats() const;

 private:
  void Tell(const ServedGateway& gateway, const HubChanges& changes, const Connection* from);
  void Broadcast(const ServedGateway& gateway, const std::vector<SharedSuspension>& suspensions,
                 const Connection* from);
  void NotifyListener();
  bool HasSnapshot() const;
  PeerHooks peer_hooks() const;
  void OnConnected(ServedGateway& gateway);
  void OnEffects(Connection& from, const GatewayPtr& gateway, const SessionEffects& effects);
  void Remove(const std::shared_ptr<Connection>& connection);
  std::vector<std::shared_ptr<Connection>> Connections() const;
  bool TakeToken(MonotonicTime now);
  void PumpGranted();
  void RunTimer(std::stop_token stop);

  const ServiceOptions options_;
  Clock& clock_;
  GatewayRegistry gateways_;
  TransferGate gate_;

  std::atomic<uint64_t> streams_accepted_{0};
  std::atomic<uint64_t> streams_refused_{0};
  std::atomic<uint64_t> protocol_errors_{0};
  std::atomic<uint64_t> timeouts_{0};
  std::atomic<uint64_t> acknowledgements_{0};
  std::atomic<uint64_t> rejections_{0};
  std::atomic<uint64_t> stale_serves_{0};

  // Held from counting a gateway's data planes to telling its hub: of two counts the newer one
  // stays. Before all others.
  std::mutex counting_mutex_;

  mutable std::mutex mutex_;
  std::condition_variable_any timer_wake_;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
  uint64_t next_stream_ = 1;
  std::vector<uint64_t> granted_;  // streams that may pass the gate now
  bool look_again_ = false;        // something came that may be due before the timer's next look
  bool draining_ = false;
  double tokens_;
  MonotonicTime tokens_at_;
  std::function<void()> suspension_listener_;
  PeerHooks peer_hooks_;

  std::jthread timer_;  // last: stops before the rest goes
};

// One data plane's stream; made by SyncService::Accept. Thread-safe.
class SyncService::Connection : public PacedConnection<rota::sync::v1::ServerMessage>,
                                public std::enable_shared_from_this<Connection> {
 public:
  Connection(uint64_t id, SyncService& service, ServerStream& stream, PeerIdentity peer,
             MonotonicTime now);

  // From the transport, beside those of PacedConnection.
  void OnMessage(const rota::sync::v1::ClientMessage& message);
  // The stream is over and will not be touched again. Exactly once, last.
  void OnDone();

 private:
  friend class SyncService;
  void AddSuspensions(const ServedGateway& gateway,
                      const std::vector<SharedSuspension>& suspensions);
  void PumpFor(const ServedGateway& gateway);
  void CloseFor(const ServedGateway& gateway, const absl::Status& status);
  GatewayPtr Gateway() const;
  void Drain(Duration within);

  std::optional<rota::sync::v1::ServerMessage> NextMessage(MonotonicTime now) override;
  absl::Status CheckTimeouts(MonotonicTime now) override;
  MonotonicTime NextDeadline() const override;
  void OnTimeout(const absl::Status& status) override;
  void LogClosed(const absl::Status& status) const;

  const uint64_t id_;
  SyncService& service_;
  SyncSession session_;
  bool is_stale_counted_ = false;
};

}  // namespace rota::serve
