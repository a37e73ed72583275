#include "controller/reconcile/world_status.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::reconcile {
namespace {

using resource::Diagnostic;
using resource::Diagnostics;
using resource::Severity;

Diagnostics OfSeverity(const Diagnostics& diagnostics, Severity severity) {
  Diagnostics chosen;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == severity) {
      chosen.push_back(diagnostic);
    }
  }
  return chosen;
}

// What becomes of requests while the newest version is not served.
std::string Consequence(const WorldFacts& facts) {
  if (facts.outcome->served == nullptr) {
    return "nothing of this API is served";
  }
  return absl::StrCat("the last good version (generation ", facts.last_good_generation,
                      ") is still served");
}

Condition DescribeAccepted(const WorldFacts& facts, const Diagnostics& warnings) {
  Condition condition;
  condition.type = "Accepted";
  condition.observed_generation = facts.generation;
  Diagnostics errors = OfSeverity(*facts.diagnostics, Severity::kError);
  errors.insert(errors.end(), facts.outcome->accepted.begin(), facts.outcome->accepted.end());
  if (!errors.empty()) {
    condition.status = ConditionStatus::kFalse;
    condition.reason = errors.front().reason.empty() ? "Invalid" : errors.front().reason;
    condition.message = absl::StrCat(Join(errors), "; ", Consequence(facts));
    return condition;
  }
  condition.status = ConditionStatus::kTrue;
  condition.reason = "Accepted";
  condition.message =
      warnings.empty()
          ? "the API is valid"
          : absl::StrCat("the API is valid; ", warnings.size(),
                         warnings.size() == 1 ? " warning: " : " warnings: ", Join(warnings));
  return condition;
}

Condition DescribeRefs(const WorldFacts& facts) {
  Condition condition;
  condition.type = "ResolvedRefs";
  condition.observed_generation = facts.generation;
  if (facts.is_held) {
    condition.status = ConditionStatus::kUnknown;
    condition.reason = "Pending";
    condition.message =
        absl::StrCat("its Secrets and grants are being read; meanwhile ", Consequence(facts));
  } else if (!facts.outcome->unresolved.empty()) {
    condition.status = ConditionStatus::kFalse;
    condition.reason = facts.outcome->unresolved.front().reason;
    condition.message = absl::StrCat(Join(facts.outcome->unresolved),
                                     "; targets that need what is missing get no requests");
  } else if (facts.outcome->served == nullptr) {
    condition.status = ConditionStatus::kUnknown;
    condition.reason = "NotAccepted";
    condition.message = "not looked at; see the condition Accepted";
  } else {
    condition.status = ConditionStatus::kTrue;
    condition.reason = "ResolvedRefs";
    condition.message = "every Secret and key that it names exists";
  }
  return condition;
}

}  // namespace

ApiStatus DescribeWorld(const WorldFacts& facts) {
  ApiStatus status;
  status.generation = facts.generation;
  status.warnings = OfSeverity(*facts.diagnostics, Severity::kWarning);
  status.accepted = DescribeAccepted(facts, status.warnings);
  status.resolved_refs = DescribeRefs(facts);
  status.programmed.type = "Programmed";
  status.programmed.observed_generation = facts.generation;
  status.programmed.message = "the data planes have not confirmed it yet";
  if (facts.outcome->served != nullptr) {
    status.served_generation =
        facts.is_current_served ? facts.generation : facts.last_good_generation;
    status.models = facts.outcome->served->models;
  }
  return status;
}

void AddGateway(const std::string& gateway, ApiStatus at_gateway, uint64_t served_hash,
                ApiStatus& all) {
  all.generation = at_gateway.generation;
  all.warnings = std::move(at_gateway.warnings);
  if (at_gateway.served_generation >= all.served_generation && !at_gateway.models.empty()) {
    all.models = std::move(at_gateway.models);
  }
  all.served_generation = std::max(all.served_generation, at_gateway.served_generation);
  all.gateways.push_back({.gateway = gateway,
                          .accepted = std::move(at_gateway.accepted),
                          .resolved_refs = std::move(at_gateway.resolved_refs),
                          .programmed = std::move(at_gateway.programmed),
                          .served_hash = served_hash,
                          .served_generation = at_gateway.served_generation});
}

}  // namespace rota::reconcile
