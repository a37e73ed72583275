#pragma once

// What is told about an API: the conditions of its .status, as plain values. Accepted and
// ResolvedRefs come from the world (what the user wrote, what Secrets there are), Programmed from
// the fleet (what the data planes say). Pure and thread-safe. Messages name the field and the fix,
// and are never empty.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"

namespace rota::reconcile {

enum class ConditionStatus { kUnknown, kTrue, kFalse };
// "True", "False", "Unknown".
std::string ToString(ConditionStatus status);

struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason = "Pending";  // CamelCase
  std::string message;
  int64_t observed_generation = 0;
  std::string last_transition_time;  // RFC 3339; when `status` changed last. Set by the reconciler
};

// True when both say the same; the time of the last transition does not count.
bool SaysTheSame(const Condition& a, const Condition& b);

// An API at one of its gateways.
struct ApiAtGateway {
  std::string gateway;  // "<namespace>/<name>"
  Condition accepted;
  Condition resolved_refs;
  Condition programmed;
  uint64_t served_hash = 0;       // of the version that is served; 0: nothing is
  int64_t served_generation = 0;  // 0: nothing is served
};
bool SaysTheSame(const ApiAtGateway& a, const ApiAtGateway& b);
bool SaysTheSame(const std::vector<ApiAtGateway>& a, const std::vector<ApiAtGateway>& b);

// What all gateways say together: the worst, False before Unknown before True. The message says
// which gateways when they differ. REQUIRES: there is one.
Condition Aggregate(const std::vector<ApiAtGateway>& gateways, Condition ApiAtGateway::*condition);

// The status of one API. The conditions are the aggregate over its gateways.
struct ApiStatus {
  resource::ObjectName name;
  std::string uid;
  int64_t generation = 0;         // of the newest version
  int64_t served_generation = 0;  // 0: nothing is served
  Condition accepted;
  Condition resolved_refs;
  Condition programmed;
  std::vector<ApiAtGateway> gateways;  // sorted by name
  std::vector<std::string> models;     // of the served version
  resource::Diagnostics warnings;      // of the newest version
  std::string file;                    // "" for objects of the Kubernetes API
  // Whether the condition says something else than what was told, or stood in the resource, before.
  // Set when it is told; not part of SaysTheSame().
  bool accepted_is_news = true;
  bool resolved_refs_is_news = true;
};
bool SaysTheSame(const ApiStatus& a, const ApiStatus& b);

// One finding of one data plane about one API, or about its gateway.
struct NodeFinding {
  std::string api;    // "<namespace>/<name>"; of the gateway where it is about that
  uint64_t hash = 0;  // of the version that it is about
  std::string code;   // name of Rejection.Code: "INVALID", "AUTH_NOT_ENFORCED", ...
  std::string field;  // "" when it is about the API as a whole
  std::string message;
  bool is_about_gateway = false;
  friend auto operator<=>(const NodeFinding&, const NodeFinding&) = default;
};

// What one data plane says.
struct NodeReport {
  std::string node;
  bool connected = false;
  std::string snapshot;  // hash of the one that it has acknowledged last; "": none yet
  // "<namespace>/<name>" of an API -> hash of the version in use; 0: none.
  std::function<uint64_t(const std::string&)> applied_hash;
  std::vector<NodeFinding> rejected;  // not in use
  std::vector<NodeFinding> refused;   // in use, but not served as asked
  // Data planes of another replica that have the same snapshot: how many, and no names.
  bool is_group = false;
  size_t data_planes = 1;
};

struct FleetView {
  std::vector<NodeReport> nodes;
};
using FleetViews = std::map<std::string, FleetView>;  // by gateway

// What is new in a view besides acknowledgements.
struct FleetDifference {
  bool nodes = false;          // a data plane has come or gone: it concerns every API
  std::set<std::string> apis;  // with findings that have come or gone; not those about gateways
};
FleetDifference Compare(const FleetViews& before, const FleetViews& after);

// What the fleet says about one version of one API.
struct FleetSummary {
  size_t connected = 0;
  size_t applied = 0;  // of the connected ones
  std::vector<NodeFinding> rejected;
  std::vector<NodeFinding> refused;
};
FleetSummary Summarise(const FleetView& fleet, const std::string& api, uint64_t hash);

// Programmed of an API that is served. True: at least one data plane has applied it, and none
// objects. Unknown: on its way. Counts of data planes are not in the message: it changes when
// something is wrong, not when pods come and go. `refs_are_resolved` false: that a data plane lacks
// a Secret is no news.
Condition ComputeProgrammed(const FleetSummary& summary, int64_t generation,
                            bool refs_are_resolved);
// Programmed of something that data planes object to; nullopt: they do not. `refs_are_resolved` as
// above.
std::optional<Condition> Objections(const std::vector<NodeFinding>& rejected,
                                    const std::vector<NodeFinding>& refused, int64_t generation,
                                    bool refs_are_resolved);
// Programmed of an API of which nothing is served.
Condition NotProgrammed(int64_t generation);

// "field: message; field: message; and 3 more", at most about 2 KiB.
std::string Join(const resource::Diagnostics& diagnostics);

}  // namespace rota::reconcile
