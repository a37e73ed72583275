#pragma once

// One stream between two controller replicas, without a transport: messages go in, the next message
// to write comes out. Both ends do the same, but for who says Hello first: the one that has opened
// the stream. Nothing else is said before the other's Hello is found good. One stream carries the
// suspensions of every gateway that both ends serve.
//
// Thread-compatible (owner: PeerExchange::Connection, under its mutex).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/remote_clock.h"
#include "controller/serve/access.h"
#include "controller/serve/gateway_registry.h"
#include "controller/serve/suspension_hub.h"
#include "controller/serve/suspension_lane.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

struct PeerOptions {
  std::string replica;                     // another one for every process
  std::string server = "rota-controller";  // for people
  Duration heartbeat_interval = std::chrono::seconds(5);
  Duration silence_timeout = std::chrono::seconds(15);
  Duration hello_timeout = std::chrono::seconds(5);
  Duration finish_timeout = std::chrono::seconds(5);          // for a status to reach a slow reader
  Duration update_interval = std::chrono::milliseconds(500);  // of the addresses to dial
  Duration first_retry = std::chrono::milliseconds(100);      // doubling, full jitter
  Duration longest_retry = std::chrono::seconds(5);
  size_t max_links = 64;      // streams at once, both ways
  size_t max_addresses = 16;  // that are dialled; a fleet of replicas is 2 to 5
  size_t max_items = 4096;    // statements in one message
  AccessRules access;
  Backoff::Random random = Backoff::SystemRandom();
};

// What a message means for others.
struct PeerEffects {
  bool introduced = false;  // Hello was accepted
  bool status_changed = false;
  bool is_self = false;  // the other end is this process
  // Statements, and when they were sent by the local clock: those of the message, and earlier ones
  // that turn out to have been sent before what was thought.
  struct Dated {
    std::string gateway;
    SuspensionHub::Items statements;
    MonotonicTime sent;
  };
  std::vector<Dated> dated;
};

// Data planes that are connected, by gateway.
using DataPlaneCounts = std::map<std::string, size_t>;

class PeerSession {
 public:
  // `opened_here`: this end has opened the stream. `options` outlives the session. `status`: of the
  // data planes of this replica.
  PeerSession(const PeerOptions& options, bool opened_here, PeerIdentity peer,
              rota::sync::v1::PeerStatus status, MonotonicTime now);

  // An error ends the stream with that status.
  absl::Status OnMessage(const rota::sync::v1::PeerMessage& message, MonotonicTime now,
                         PeerEffects& effects);
  // What to write now; nothing when there is nothing to say. The hub of a gateway is asked for
  // everything at first.
  std::optional<rota::sync::v1::PeerMessage> NextMessage(const GatewayRegistry& gateways,
                                                         MonotonicTime now);
  void Add(const std::string& gateway, const std::vector<SharedSuspension>& statements);
  // The gateways of this replica, and what their data planes have, from now on.
  void SetStatus(rota::sync::v1::PeerStatus status);

  // DEADLINE_EXCEEDED when the peer is silent.
  absl::Status CheckTimeouts(MonotonicTime now) const;
  // When CheckTimeouts or NextMessage have something to do although nothing happens.
  MonotonicTime NextDeadline() const;

  bool opened_here() const { return opened_here_; }
  bool introduced() const { return !replica_.empty(); }
  const std::string& replica() const { return replica_; }  // of the other end; "" before its Hello
  const std::string& server() const { return server_; }
  // Of the data planes of the other end, bounded; never null.
  const std::shared_ptr<const rota::sync::v1::PeerStatus>& peer_status() const {
    return peer_status_;
  }
  const DataPlaneCounts& data_planes() const { return peer_data_planes_; }  // of the other end

 private:
  absl::Status OnHello(const rota::sync::v1::PeerHello& hello, PeerEffects& effects);
  void TakeStatus(const rota::sync::v1::PeerStatus& status, PeerEffects& effects);
  absl::Status OnSuspensions(const rota::sync::v1::PeerMessage& message, MonotonicTime sent,
                             PeerEffects& effects);
  bool SaySuspensions(const GatewayRegistry& gateways, MonotonicTime now,
                      rota::sync::v1::PeerMessage& message);

  const PeerOptions& options_;
  const bool opened_here_;
  const PeerIdentity peer_;
  std::string replica_;
  std::string server_;
  std::shared_ptr<const rota::sync::v1::PeerStatus> peer_status_ =
      std::make_shared<const rota::sync::v1::PeerStatus>();
  DataPlaneCounts peer_data_planes_;
  rota::sync::v1::PeerStatus status_;

  bool hello_said_ = false;
  bool status_said_ = true;                      // Hello says it
  std::map<std::string, SuspensionLane> lanes_;  // of the gateways that both ends serve
  RemoteClock peer_clock_;
  EarlyMessages<rota::sync::v1::SuspensionUpdate> early_statements_;
  MonotonicTime opened_;
  MonotonicTime last_received_;
  MonotonicTime last_written_;
};

}  // namespace rota::serve
