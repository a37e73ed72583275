#pragma once

// Who holds a Lease (coordination.k8s.io/v1), as a state machine without a wire, a clock or a
// thread: what the server has answered in, the next request out. LeaseElector runs it.
//
// Clocks of two hosts are never compared. A lease of somebody else is over when its record has not
// changed for as long as it says, by our monotonic clock, since we saw it; our own counts until
// `renew_deadline` after the renewal that succeeded last was *sent*. So the holder ends at least
// (lease_duration - renew_deadline) before anybody else may begin, whatever the clocks show.
// Timings and rules: those of client-go's leaderelection. Thread-compatible.

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/kube/api.h"
#include "nlohmann/json.hpp"

namespace rota::kube {

// leases.coordination.k8s.io/v1.
Resource LeaseResource();

// lease_duration > renew_deadline > retry_period * (1 + retry_jitter).
struct LeaseTimings {
  Duration lease_duration = std::chrono::seconds(15);  // whole seconds: they stand in the record
  Duration renew_deadline = std::chrono::seconds(10);
  Duration retry_period = std::chrono::seconds(2);
  double retry_jitter = 1.2;  // added while somebody else holds it: retry_period * [1, 2.2)
};

struct LeaseRequest {
  enum class Kind { kRead, kCreate, kReplace };
  Kind kind = Kind::kRead;
  nlohmann::json body;  // null for kRead
};

class LeaseState {
 public:
  // `identity` is unique per process.
  LeaseState(std::string ns, std::string name, std::string identity, LeaseTimings timings);

  // The first request of a turn: the holder replaces what it knows, everybody else looks.
  LeaseRequest Begin(WallTime wall_now);
  // The answer to the newest request, which was sent at `sent`. nullopt: the turn is over.
  std::optional<LeaseRequest> OnAnswer(const absl::StatusOr<nlohmann::json>& answer,
                                       MonotonicTime sent, MonotonicTime now, WallTime wall_now);
  // When the next turn is due; `uniform` is in [0, 1).
  Duration NextTurn(double uniform) const;

  // We hold it and may act on that at `now`.
  bool Leads(MonotonicTime now) const { return held_ && now < leads_until(); }
  // Since when Leads() is false at the latest, if no further renewal succeeds. REQUIRES: held().
  MonotonicTime leads_until() const;
  // As of the last answer, whatever time it is.
  bool held() const { return held_; }
  // The renewals have failed for too long: not held any more.
  void GiveUp() { held_ = false; }
  // The next request that hands the lease on before it is over: a look first where a claim was sent
  // and the lease has not been seen since. nullopt: it is not ours. REQUIRES: the turn has ended.
  std::optional<LeaseRequest> Release(WallTime wall_now);
  // What the server shows, outside of a turn.
  void Look(nlohmann::json lease, MonotonicTime now) { Observe(std::move(lease), now); }

  // Held and not renewed for longer than anything explains: whoever should have given it up does
  // not run any more.
  bool IsStuck(MonotonicTime now) const;

  const std::string& holder() const { return holder_; }  // "" unknown or nobody
  const std::string& identity() const { return identity_; }

 private:
  void OnSend(const LeaseRequest& request);
  void Observe(nlohmann::json lease, MonotonicTime now);
  LeaseRequest Claim(WallTime wall_now) const;
  nlohmann::json NewSpec(WallTime wall_now) const;

  const std::string ns_;
  const std::string name_;
  const std::string identity_;
  const LeaseTimings timings_;

  LeaseRequest::Kind sent_ = LeaseRequest::Kind::kRead;
  bool has_looked_ = false;   // in this turn
  nlohmann::json lease_;      // as the server showed it last; null: never
  MonotonicTime observed_{};  // when its record had changed last
  std::string holder_;
  bool held_ = false;
  bool is_in_doubt_ = false;  // a claim was sent, and the lease has not been seen since
  MonotonicTime renewed_{};   // when the renewal that succeeded last was sent
};

// The wire's MicroTime: exactly six digits of fraction, or the server answers 400.
std::string MicroTime(WallTime time);

}  // namespace rota::kube
