#pragma once

// The replicas of one controller tell each other what their data planes say about suspensions and
// what these have applied, so that it does not matter which replica a data plane has chosen. Every
// replica opens a stream to every other one whose address it is given; a stream carries both ways,
// whoever opened it, and the suspensions of all gateways that both replicas serve.
//
// No loops and no storms: what was news here is passed on once, to everybody but the replica that
// told it, and what is known already goes no further. On a new stream both ends tell everything.
//
// The transport (gRPC, or in-process in tests) sits behind PeerStream and PeerDialler.
// Thread-safe. One thread of its own: opens streams, keeps time. What has to be told is told on the
// thread that brings it.

#include <atomic>
#include <compare>
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
#include "common/backoff.h"
#include "common/clock.h"
#include "controller/serve/paced_connection.h"
#include "controller/serve/peer_session.h"
#include "controller/serve/sync_service.h"

namespace rota::serve {

using PeerStream = OutgoingStream<rota::sync::v1::PeerMessage>;

// Where a replica may be found.
struct PeerAddress {
  std::string name;     // HOST:PORT as it was given
  std::string address;  // IP:PORT, one of those that HOST stands for
  friend auto operator<=>(const PeerAddress&, const PeerAddress&) = default;
};

class PeerDialler;

// For people and metrics: one replica that this one is connected to.
struct PeerReport {
  std::string replica;
  std::string server;
  std::string address;
  DataPlaneCounts data_planes;
  size_t streams = 0;
  // What its data planes have; null for a stream that has not been introduced.
  std::shared_ptr<const rota::sync::v1::PeerStatus> status;
};

// Counters since start.
struct PeerStats {
  uint64_t statements_sent = 0;
  uint64_t statements_received = 0;
  uint64_t statements_new = 0;  // of those received: not known before
  uint64_t streams_opened = 0;  // Hello accepted, whoever dialled
  uint64_t streams_failed = 0;  // refused, broken, timed out
};

class PeerExchange {
 public:
  class Connection;

  // `service` and `clock` outlive the exchange.
  PeerExchange(PeerOptions options, SyncService& service, Clock& clock);
  // REQUIRES: Stop() was called or Start() was not, and every connection has seen OnDone.
  ~PeerExchange();

  // Begins to keep streams to whatever the dialler finds. Without a dialler streams are accepted
  // only.
  void Start(std::unique_ptr<PeerDialler> dialler);
  // Opens and accepts no more streams and ends those that are open.
  void Stop();

  // Called (from any thread, without a lock) when what Peers() says of data planes may have
  // changed; no more once every connection has seen OnDone.
  void SetFleetListener(std::function<void()> listener);

  // A stream that another replica has opened. RESOURCE_EXHAUSTED above the limit. `stream` stays
  // valid until Connection::OnDone.
  absl::StatusOr<std::shared_ptr<Connection>> Accept(PeerStream& stream, PeerIdentity peer);

  // Sorted by replica.
  std::vector<PeerReport> Peers() const;
  PeerStats stats() const;

 private:
  // One address that is dialled.
  struct Contact {
    explicit Contact(Backoff new_backoff) : backoff(std::move(new_backoff)) {}
    Backoff backoff;
    MonotonicTime retry_at = MonotonicTime::min();
    bool connected = false;  // or being tried
    bool is_self = false;    // never dialled again
    bool listed = true;      // in the newest answer of the dialler
  };

  std::shared_ptr<Connection> MakeConnection(const PeerAddress* address, PeerIdentity peer);
  void Tell(const std::string& gateway, const std::vector<SharedSuspension>& statements,
            const std::string& except_replica);
  void OnConnected();
  void OnAcknowledged();
  // What is told about this replica's own data planes.
  rota::sync::v1::PeerStatus status() const;
  void TellStatus();
  void DescribeIfDue(MonotonicTime now);
  void CountElsewhere();
  void OnEffects(Connection& from, const PeerEffects& effects);
  void OnPeerStatus();
  bool IsTwin(const Connection& connection, const std::string& replica) const;
  void OnIntroduced(const Connection& connection);
  void Remove(Connection& connection, bool is_self);
  std::vector<std::shared_ptr<Connection>> Connections() const;
  void Run(std::stop_token stop);
  void UpdateContacts(MonotonicTime now);
  MonotonicTime DialDue(MonotonicTime now);

  const PeerOptions options_;
  SyncService& service_;
  Clock& clock_;
  std::atomic<uint64_t> statements_sent_{0};
  std::atomic<uint64_t> statements_received_{0};
  std::atomic<uint64_t> statements_new_{0};
  std::atomic<uint64_t> streams_opened_{0};
  std::atomic<uint64_t> streams_failed_{0};
  std::atomic<bool> is_description_due_{false};  // of this replica's data planes
  mutable std::mutex status_mutex_;              // after all others but those of the gateways
  rota::sync::v1::PeerStatus status_;            // guarded by status_mutex_
  std::mutex counting_mutex_;  // as in SyncService, for data planes elsewhere; before all others

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
  uint64_t next_connection_ = 1;
  std::map<PeerAddress, Contact> contacts_;
  bool stopping_ = false;
  std::function<void()> fleet_listener_;

  std::unique_ptr<PeerDialler> dialler_;  // touched by the thread only, once it runs
  MonotonicTime update_at_;               // so is this one
  MonotonicTime describe_at_;             // and this one
  std::jthread thread_;                   // last: stops before the rest goes
};

// Finds replicas and opens streams to them.
class PeerDialler {
 public:
  // The destructor waits for its streams to end.
  virtual ~PeerDialler() = default;
  // Every address of every replica that was given, as of the last look-up. Never blocks.
  virtual std::vector<PeerAddress> Addresses() = 0;
  // Never blocks: opens the connection's stream (Connection::Open) and tells it what happens there.
  virtual void Dial(const PeerAddress& address,
                    std::shared_ptr<PeerExchange::Connection> connection) = 0;
};

// One stream, either way. Thread-safe.
class PeerExchange::Connection : public PacedConnection<rota::sync::v1::PeerMessage>,
                                 public std::enable_shared_from_this<Connection> {
 public:
  // `address` is null for a stream that the other end has opened.
  Connection(uint64_t id, PeerExchange& exchange, const PeerAddress* address, PeerIdentity peer,
             MonotonicTime now);

  // From the transport, beside those of PacedConnection. `stream` stays valid until OnDone.
  void Open(PeerStream& stream);
  void OnMessage(const rota::sync::v1::PeerMessage& message);
  // The stream is over and will not be touched again. Exactly once, last. `status`: what the other
  // end has said about it, if anything.
  void OnDone(const absl::Status& status = absl::OkStatus());

 private:
  friend class PeerExchange;
  void Add(const std::string& gateway, const std::vector<SharedSuspension>& statements,
           const std::string& except_replica);
  void UpdateStatus();
  PeerReport Report() const;

  std::optional<rota::sync::v1::PeerMessage> NextMessage(MonotonicTime now) override;
  absl::Status CheckTimeouts(MonotonicTime now) override;
  MonotonicTime NextDeadline() const override;
  void OnTimeout(const absl::Status& status) override;
  void LogClosed(const absl::Status& status) const;

  const uint64_t id_;
  PeerExchange& exchange_;
  const bool opened_here_;
  const PeerAddress address_;  // meaningful when opened here
  const std::string peer_address_;
  PeerSession session_;
  bool is_self_ = false;
  bool is_twin_ = false;  // of another stream to the same replica
};

}  // namespace rota::serve
