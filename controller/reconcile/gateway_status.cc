#include "controller/reconcile/gateway_status.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::reconcile {
namespace {

Condition AcceptedOf(const GatewayBook::Entry& entry) {
  Condition accepted;
  accepted.type = "Accepted";
  accepted.observed_generation = entry.metadata.generation;
  resource::Diagnostics errors;
  for (const resource::Diagnostic& diagnostic : entry.diagnostics) {
    if (diagnostic.severity == resource::Severity::kError) {
      errors.push_back(diagnostic);
    }
  }
  if (errors.empty()) {
    accepted.status = ConditionStatus::kTrue;
    accepted.reason = "Accepted";
    accepted.message = entry.is_object ? "the gateway is valid" : "as the command line says";
    return accepted;
  }
  accepted.status = ConditionStatus::kFalse;
  accepted.reason = errors.front().reason;
  accepted.message =
      absl::StrCat(Join(errors), "; ",
                   entry.in_force.has_value() ? "its data planes are served with what held before"
                                              : "its data planes are not served");
  return accepted;
}

Condition ResolvedRefsOf(const GatewayBook::Entry& entry, const GatewayReferences& references) {
  const resource::Diagnostics& unresolved = references.unresolved;
  Condition resolved;
  resolved.type = "ResolvedRefs";
  resolved.observed_generation = entry.metadata.generation;
  if (!entry.in_force.has_value()) {
    resolved.message = "it is not served; see the condition Accepted";
  } else if (unresolved.empty() && !references.unread.empty()) {
    resolved.message = absl::StrCat("Secret ", references.unread,
                                    " is being read; if this stays, see whether the controller may "
                                    "read it, and its log");
  } else if (unresolved.empty()) {
    resolved.status = ConditionStatus::kTrue;
    resolved.reason = "ResolvedRefs";
    resolved.message = "everything that it refers to is there";
  } else {
    resolved.status = ConditionStatus::kFalse;
    resolved.reason = unresolved.front().reason;
    resolved.message =
        absl::StrCat(Join(unresolved), "; data planes go on with the certificate that they have");
  }
  return resolved;
}

// What the connected data planes say about the gateway itself.
struct GatewayFindings {
  std::vector<NodeFinding> rejected;
  std::vector<NodeFinding> refused;
};

void Collect(const NodeReport& node, GatewayFindings& findings) {
  const auto take = [](const std::vector<NodeFinding>& from, std::vector<NodeFinding>& to) {
    std::copy_if(from.begin(), from.end(), std::back_inserter(to),
                 [](const NodeFinding& finding) { return finding.is_about_gateway; });
  };
  take(node.rejected, findings.rejected);
  take(node.refused, findings.refused);
}

Condition ProgrammedOf(const GatewayStatus& status, bool has_applied,
                       const GatewayFindings& findings) {
  const std::optional<Condition> objections =
      Objections(findings.rejected, findings.refused, status.generation,
                 status.resolved_refs.status != ConditionStatus::kFalse);
  Condition programmed;
  programmed.type = "Programmed";
  programmed.observed_generation = status.generation;
  if (status.snapshot.empty()) {
    programmed.status = ConditionStatus::kFalse;
    programmed.reason = "NotAccepted";
    programmed.message = "it is not served; see the condition Accepted";
  } else if (status.connected == 0) {
    programmed.status = ConditionStatus::kFalse;
    programmed.reason = "NoDataPlane";
    programmed.message =
        absl::StrCat("no data plane is connected; start rota-dataplane with --gateway ",
                     status.gateway, " and --controller, or look into its log");
  } else if (objections.has_value()) {
    programmed = *objections;
  } else if (!has_applied) {
    programmed.message = "the data planes have not confirmed anything yet";
  } else {
    programmed.status = ConditionStatus::kTrue;
    programmed.reason = "Programmed";
    programmed.message = "served by the connected data planes";
  }
  return programmed;
}

bool HasSameConditions(const GatewayStatus& a, const GatewayStatus& b) {
  return a.uid == b.uid && a.generation == b.generation && SaysTheSame(a.accepted, b.accepted) &&
         SaysTheSame(a.resolved_refs, b.resolved_refs) && SaysTheSame(a.programmed, b.programmed) &&
         a.is_default == b.is_default;
}

bool HasSameCounts(const GatewayStatus& a, const GatewayStatus& b) {
  return a.attached_apis == b.attached_apis && a.snapshot == b.snapshot &&
         a.connected == b.connected && a.current == b.current && a.nodes == b.nodes;
}

// `before`: what was told, or stood in the resource.
template <typename Conditions>
void SetNews(const Conditions& before, GatewayStatus& status) {
  status.accepted_is_news = !SaysTheSame(before.accepted, status.accepted);
  status.resolved_refs_is_news = !SaysTheSame(before.resolved_refs, status.resolved_refs);
}

}  // namespace

resource::ObjectName ObjectNameOf(const std::string& gateway) {
  const size_t slash = gateway.find('/');
  return {gateway.substr(0, slash), gateway.substr(slash + 1)};
}

GatewayStatus DescribeGateway(const std::string& name, const GatewayBook::Entry& entry,
                              const GatewayReferences& references) {
  GatewayStatus status;
  status.gateway = name;
  status.is_object = entry.is_object;
  status.uid = entry.metadata.uid;
  status.file = entry.file;
  status.generation = entry.metadata.generation;
  status.accepted = AcceptedOf(entry);
  status.resolved_refs = ResolvedRefsOf(entry, references);
  return status;
}

void AddFleet(const FleetView& fleet, GatewayStatus& status) {
  bool has_applied = false;
  GatewayFindings findings;
  for (const NodeReport& node : fleet.nodes) {
    if (!node.connected) {
      continue;
    }
    Collect(node, findings);
    const bool is_current = !node.snapshot.empty() && node.snapshot == status.snapshot;
    has_applied = has_applied || (!node.snapshot.empty() && node.data_planes > 0);
    status.connected += node.data_planes;
    status.current += is_current ? node.data_planes : 0;
    if (!node.is_group && status.nodes.size() < kMaxListedNodes) {
      status.nodes.push_back({node.node, node.snapshot, is_current});
    }
  }
  status.programmed = ProgrammedOf(status, has_applied, findings);
}

void GatewayTracker::Seed(const std::string& gateway, GatewayConditions said) {
  if (!told_.contains(gateway)) {
    said_[gateway] = std::move(said);
  }
}

std::optional<GatewayStatus> GatewayTracker::Offer(GatewayStatus status, MonotonicTime now) {
  const auto known = told_.find(status.gateway);
  if (known == told_.end()) {
    if (const auto said = said_.extract(status.gateway)) {
      SetNews(said.mapped(), status);
    }
    told_.emplace(status.gateway, Told{status, now});
    return status;
  }
  Told& told = known->second;
  const bool is_same = HasSameConditions(told.status, status);
  if (is_same && HasSameCounts(told.status, status)) {
    told.is_behind = false;
    return std::nullopt;
  }
  if (is_same && now - told.at < kGatewayStatusInterval) {
    told.is_behind = true;
    return std::nullopt;
  }
  if (told.status.uid == status.uid) {  // else another object of the name
    SetNews(told.status, status);
  }
  told = Told{status, now};
  return status;
}

std::optional<MonotonicTime> GatewayTracker::NextDue() const {
  std::optional<MonotonicTime> next;
  for (const auto& [name, told] : told_) {
    if (told.is_behind) {
      const MonotonicTime due = told.at + kGatewayStatusInterval;
      next = std::min(next.value_or(due), due);
    }
  }
  return next;
}

std::vector<std::string> GatewayTracker::KeepOnly(const std::vector<GatewayStatus>& statuses) {
  std::vector<std::string> gone;
  const auto is_there = [&](const std::string& gateway) {
    return std::any_of(statuses.begin(), statuses.end(),
                       [&](const GatewayStatus& status) { return status.gateway == gateway; });
  };
  std::erase_if(said_, [&](const auto& said) { return !is_there(said.first); });
  for (auto told = told_.begin(); told != told_.end();) {
    if (is_there(told->first)) {
      ++told;
      continue;
    }
    gone.push_back(told->first);
    told = told_.erase(told);
  }
  return gone;
}

}  // namespace rota::reconcile
