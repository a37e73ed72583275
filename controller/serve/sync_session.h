#pragma once

// The server's side of one data plane's stream, without a transport: messages go in, the next
// message to write comes out. Nothing is queued: what to send is decided when the transport can
// take it, so that whatever happens meanwhile coalesces, and a slow reader costs one chunk.
//
// One transaction at most waits for its acknowledgement; suspensions have a lane of their own and
// go before chunks. A data plane that breaks the protocol gets a status that says how: the stream
// ends.
//
// Thread-compatible (owner: Connection, under its mutex).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/remote_clock.h"
#include "controller/serve/access.h"
#include "controller/serve/gateway_registry.h"
#include "controller/serve/suspension_lane.h"
#include "controller/serve/transaction_plan.h"
#include "controller/serve/transfer_gate.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

struct SessionOptions {
  std::string server = "rota-controller";
  Duration heartbeat_interval = std::chrono::seconds(15);
  Duration silence_timeout = std::chrono::seconds(45);  // without any message: the peer is gone
  Duration hello_timeout = std::chrono::seconds(10);
  Duration acknowledgement_warning = std::chrono::seconds(30);
  Duration acknowledgement_timeout = std::chrono::minutes(5);
  // How long a data plane whose configuration is newer than what this replica has seen is left
  // alone.
  Duration lag_patience = std::chrono::seconds(5);
  size_t chunk_bytes = 256 << 10;  // small enough for a suspension not to wait long behind one
  size_t gated_bytes = 32 << 10;   // a transaction of more has to pass the gate
  size_t max_inventory = 200'000;
  size_t max_report_items = 4096;
  size_t max_problems = 10'000;  // rejections kept per data plane
  AccessRules access;
};

// What a message means for others.
struct SessionEffects {
  bool registered = false;     // Hello was accepted
  bool fleet_changed = false;  // report() is new
  HubChanges suspensions;      // to be told to the other data planes and to other replicas
};

class SyncSession {
 public:
  // What the sessions of one server share; outlives them.
  struct Shared {
    const SessionOptions& options;
    const GatewayRegistry& gateways;
    TransferGate& gate;
  };

  // `stream` names it at the gate.
  SyncSession(uint64_t stream, PeerIdentity peer, Shared shared, MonotonicTime now);

  // An error ends the stream with that status.
  absl::Status OnMessage(const rota::sync::v1::ClientMessage& message, MonotonicTime now,
                         SessionEffects& effects);
  // What to write now; nothing when there is nothing to say.
  std::optional<rota::sync::v1::ServerMessage> NextMessage(MonotonicTime now);
  // What the hub says.
  void AddSuspensions(const std::vector<SharedSuspension>& suspensions) { lane_.Add(suspensions); }
  void Drain(Duration within) { drain_ = within; }

  // DEADLINE_EXCEEDED when the peer is silent or does not acknowledge.
  absl::Status CheckTimeouts(MonotonicTime now);
  // When CheckTimeouts or NextMessage have something to do although nothing happens.
  MonotonicTime NextDeadline() const;

  bool registered() const { return registered_; }
  // The gateway that the data plane belongs to; null before Hello.
  const GatewayPtr& gateway() const { return gateway_; }
  const NodeReport& report() const { return report_; }
  // Acknowledgements that took longer than the warning; for metrics.
  uint64_t slow_acknowledgements() const { return slow_acknowledgements_; }
  // The data plane was sent what may be older than what it had, after lag_patience.
  bool served_stale() const { return served_stale_; }

 private:
  absl::Status OnHello(const rota::sync::v1::Hello& hello, MonotonicTime now);
  absl::Status NoSuchGateway(const std::string& name) const;
  absl::Status OnAck(const rota::sync::v1::Ack& ack, MonotonicTime now);
  absl::Status OnReport(const rota::sync::v1::SuspensionReport& report, MonotonicTime sent,
                        MonotonicTime now, SessionEffects& effects);
  void StartTransaction(MonotonicTime now);
  bool LagsBehind(const compile::Snapshot& target, MonotonicTime now);
  void ForgetResent(const SnapshotDelta& delta);
  rota::sync::v1::ServerMessage MakeWelcome();

  const uint64_t stream_;
  const PeerIdentity peer_;
  const Shared shared_;
  GatewayPtr gateway_;
  NodeReport report_;
  std::optional<PlaceBook::Place> place_;  // from Welcome on

  bool registered_ = false;
  bool welcomed_ = false;
  SuspensionLane lane_;
  RemoteClock data_plane_clock_;
  EarlyMessages<rota::sync::v1::SuspensionReport> early_reports_;
  std::optional<Duration> drain_;

  // What the data plane said that it holds, until its first acknowledgement; from then on it holds
  // report_.acknowledged (what it rejected included: those bytes are not sent again).
  std::map<compile::ResourceKey, uint64_t> inventory_;
  std::string hello_hash_;
  compile::Watermarks seen_;                   // what that was built from
  std::optional<MonotonicTime> lag_deadline_;  // while this replica lags behind it
  bool served_stale_ = false;
  std::optional<TransactionPlan> transaction_;  // in flight: being written or not yet acknowledged
  uint64_t transactions_ = 0;
  std::optional<MonotonicTime> waits_at_gate_;  // since when
  bool sends_much_ = false;                     // holds a place at the gate
  std::optional<MonotonicTime> commit_written_;
  bool warned_ = false;
  uint64_t slow_acknowledgements_ = 0;

  MonotonicTime opened_;
  MonotonicTime last_received_;
  MonotonicTime last_written_;
  uint64_t heartbeats_ = 0;
};

}  // namespace rota::serve
