#include "controller/kube/lease.h"

#include <utility>

#include "absl/time/time.h"
#include "controller/kube/error.h"

namespace rota::kube {
namespace {

using nlohmann::json;

// Beyond the end of the lease; as client-go's watchdog.
constexpr Duration kStuckAfter = std::chrono::seconds(20);

std::string TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t NumberOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

json SpecOf(const json& lease) {
  const auto spec = lease.find("spec");
  return spec != lease.end() && spec->is_object() ? *spec : json::object();
}

}  // namespace

Resource LeaseResource() { return {"coordination.k8s.io", "v1", "leases", "Lease"}; }

std::string MicroTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

LeaseState::LeaseState(std::string ns, std::string name, std::string identity, LeaseTimings timings)
    : ns_(std::move(ns)),
      name_(std::move(name)),
      identity_(std::move(identity)),
      timings_(timings) {}

LeaseRequest LeaseState::Begin(WallTime wall_now) {
  has_looked_ = false;
  LeaseRequest request;
  if (held_) {
    request = Claim(wall_now);
  }
  OnSend(request);
  return request;
}

std::optional<LeaseRequest> LeaseState::OnAnswer(const absl::StatusOr<json>& answer,
                                                 MonotonicTime sent, MonotonicTime now,
                                                 WallTime wall_now) {
  std::optional<LeaseRequest> next;
  if (sent_ != LeaseRequest::Kind::kRead) {
    if (answer.ok()) {
      Observe(*answer, now);
      held_ = holder_ == identity_;
      renewed_ = sent;
      return std::nullopt;
    }
    if (has_looked_ || ErrorOf(answer.status()).http_code == 0) {
      return std::nullopt;  // the next turn looks again
    }
    next = LeaseRequest();  // what we know is out of date
  } else {
    has_looked_ = true;
    if (answer.ok()) {
      Observe(*answer, now);
      const Duration duration =
          std::chrono::seconds(NumberOf(SpecOf(lease_), "leaseDurationSeconds"));
      const bool is_free = holder_.empty() || holder_ == identity_ || observed_ + duration < now;
      held_ = held_ && holder_ == identity_;
      if (is_free) {
        next = Claim(wall_now);
      }
    } else if (ErrorOf(answer.status()).http_code == 404) {
      lease_ = json();
      holder_.clear();
      held_ = false;
      next = Claim(wall_now);
    }
  }
  if (next.has_value()) {
    OnSend(*next);
  }
  return next;
}

Duration LeaseState::NextTurn(double uniform) const {
  const double factor = held_ ? 1.0 : 1.0 + timings_.retry_jitter * uniform;
  return Duration(
      static_cast<int64_t>(static_cast<double>(timings_.retry_period.count()) * factor));
}

MonotonicTime LeaseState::leads_until() const { return renewed_ + timings_.renew_deadline; }

std::optional<LeaseRequest> LeaseState::Release(WallTime wall_now) {
  if (is_in_doubt_) {
    return LeaseRequest();
  }
  if (lease_.is_null() || holder_ != identity_) {
    return std::nullopt;
  }
  LeaseRequest request = Claim(wall_now);
  request.body["spec"]["holderIdentity"] = "";
  request.body["spec"]["leaseDurationSeconds"] = 1;  // 0 is refused
  OnSend(request);
  return request;
}

bool LeaseState::IsStuck(MonotonicTime now) const {
  return held_ && now > renewed_ + timings_.lease_duration + kStuckAfter;
}

void LeaseState::OnSend(const LeaseRequest& request) {
  sent_ = request.kind;
  is_in_doubt_ = is_in_doubt_ || request.kind != LeaseRequest::Kind::kRead;
}

void LeaseState::Observe(json lease, MonotonicTime now) {
  is_in_doubt_ = false;
  if (lease_.is_null() || SpecOf(lease_) != SpecOf(lease)) {
    observed_ = now;
  }
  holder_ = TextOf(SpecOf(lease), "holderIdentity");
  lease_ = std::move(lease);
}

// Creates the lease when there is none, else replaces the one that was seen, and only that one: its
// resourceVersion goes along.
LeaseRequest LeaseState::Claim(WallTime wall_now) const {
  LeaseRequest request;
  request.kind = lease_.is_null() ? LeaseRequest::Kind::kCreate : LeaseRequest::Kind::kReplace;
  json metadata = {{"name", name_}, {"namespace", ns_}};
  if (!lease_.is_null()) {
    metadata = lease_.value("metadata", metadata);
    metadata.erase("managedFields");
  }
  request.body = {{"apiVersion", "coordination.k8s.io/v1"},
                  {"kind", "Lease"},
                  {"metadata", std::move(metadata)},
                  {"spec", NewSpec(wall_now)}};
  return request;
}

json LeaseState::NewSpec(WallTime wall_now) const {
  const json before = lease_.is_null() ? json::object() : SpecOf(lease_);
  const std::string now = MicroTime(wall_now);
  const bool is_ours = TextOf(before, "holderIdentity") == identity_;
  const std::string acquired = is_ours ? TextOf(before, "acquireTime") : std::string();
  const int64_t transitions = NumberOf(before, "leaseTransitions");
  json spec = before;  // members that newer servers know stay
  spec["holderIdentity"] = identity_;
  spec["leaseDurationSeconds"] =
      std::chrono::duration_cast<std::chrono::seconds>(timings_.lease_duration).count();
  spec["acquireTime"] = acquired.empty() ? now : acquired;
  spec["renewTime"] = now;
  spec["leaseTransitions"] = is_ours || lease_.is_null() ? transitions : transitions + 1;
  return spec;
}

}  // namespace rota::kube
