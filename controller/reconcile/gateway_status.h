#pragma once

// What is told about a gateway: the .status of its RotaGateway. Counts of data planes are told here
// and nowhere else, so that pods that come and go rewrite no API. Pure and thread-safe, but for
// GatewayTracker (single-thread; time is an argument).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/reconcile/gateway_book.h"
#include "controller/reconcile/status.h"

namespace rota::reconcile {

// Data planes that are listed by name; the others are counted.
inline constexpr size_t kMaxListedNodes = 50;
// Mere counts are told this often at most.
inline constexpr Duration kGatewayStatusInterval = std::chrono::seconds(5);

struct GatewayNode {
  std::string name;
  std::string snapshot;     // hash of what it has applied; "": nothing yet
  bool is_current = false;  // that is the gateway's newest snapshot
  friend bool operator==(const GatewayNode&, const GatewayNode&) = default;
};

struct GatewayStatus {
  std::string gateway;     // "<namespace>/<name>"
  bool is_object = false;  // false: of the command line, there is no RotaGateway of the name
  std::string uid;
  std::string file;  // "" for objects of the Kubernetes API
  int64_t generation = 0;
  Condition accepted;
  Condition resolved_refs;
  Condition programmed;
  bool is_default = false;
  size_t attached_apis = 0;        // that it takes, whether or not they are valid
  std::string snapshot;            // hash of the newest one
  size_t connected = 0;            // data planes, of all replicas
  size_t current = 0;              // of those: at the newest snapshot
  std::vector<GatewayNode> nodes;  // of this replica
  // As in ApiStatus.
  bool accepted_is_news = true;
  bool resolved_refs_is_news = true;
};

// "<namespace>/<name>" of a gateway.
resource::ObjectName ObjectNameOf(const std::string& gateway);

// The conditions in the .status of a RotaGateway.
struct GatewayConditions {
  Condition accepted;
  Condition resolved_refs;
  Condition programmed;
};

// What the listeners of a gateway refer to.
struct GatewayReferences {
  resource::Diagnostics unresolved;  // what cannot be used
  std::string unread;                // a Secret that has not been read yet; "": there is none
};

// Without what the fleet says.
GatewayStatus DescribeGateway(const std::string& name, const GatewayBook::Entry& entry,
                              const GatewayReferences& references);
// Adds what the fleet says.
void AddFleet(const FleetView& fleet, GatewayStatus& status);

// Decides when a gateway's status is worth telling: conditions at once, counts now and then.
// Bounded by the gateways that exist.
class GatewayTracker {
 public:
  // What the resource's .status says already, for a gateway that is seen for the first time.
  void Seed(const std::string& gateway, GatewayConditions said);
  // Returns the status, with what of it is news, when it is to be told now.
  std::optional<GatewayStatus> Offer(GatewayStatus status, MonotonicTime now);
  // When a status that was held back may be told; nothing: none was.
  std::optional<MonotonicTime> NextDue() const;
  // Forgets every gateway that is not among `statuses` and returns their names.
  std::vector<std::string> KeepOnly(const std::vector<GatewayStatus>& statuses);

 private:
  struct Told {
    GatewayStatus status;
    MonotonicTime at;
    bool is_behind = false;  // something newer was held back
  };
  std::map<std::string, Told> told_;
  std::map<std::string, GatewayConditions> said_;  // of gateways that nothing was told of
};

}  // namespace rota::reconcile
