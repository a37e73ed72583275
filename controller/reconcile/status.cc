#include "controller/reconcile/status.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::reconcile {
namespace {

constexpr size_t kMaxListed = 10;
constexpr size_t kMaxMessageBytes = 2048;

// Adds ("; " between) until the message is long enough; false: full.
bool Append(std::string& text, const std::string& sentence) {
  if (text.size() + sentence.size() > kMaxMessageBytes && !text.empty()) {
    return false;
  }
  absl::StrAppend(&text, text.empty() ? "" : "; ", sentence.substr(0, kMaxMessageBytes));
  return true;
}

// "AUTH_NOT_ENFORCED" -> "AuthNotEnforced": a reason of a condition.
std::string ReasonOfCode(const std::string& code) {
  std::string reason;
  bool starts_word = true;
  for (const char c : code) {
    if (c == '_') {
      starts_word = true;
      continue;
    }
    reason.push_back(starts_word || c < 'A' || c > 'Z' ? c : static_cast<char>(c - 'A' + 'a'));
    starts_word = false;
  }
  return reason.empty() ? "RejectedByDataPlane" : reason;
}

// Each distinct finding once: a fleet of a hundred says one thing a hundred times.
std::string JoinFindings(const std::vector<NodeFinding>& findings) {
  std::vector<std::string> sentences;
  for (const NodeFinding& finding : findings) {
    std::string sentence = finding.field.empty()
                               ? finding.message
                               : absl::StrCat(finding.field, ": ", finding.message);
    if (std::find(sentences.begin(), sentences.end(), sentence) == sentences.end()) {
      sentences.push_back(std::move(sentence));
    }
  }
  std::sort(sentences.begin(), sentences.end());
  std::string text;
  for (const std::string& sentence : sentences) {
    if (!Append(text, sentence)) {
      break;
    }
  }
  return text;
}

Condition Make(ConditionStatus status, const std::string& reason, const std::string& message,
               int64_t generation) {
  Condition condition;
  condition.type = "Programmed";
  condition.status = status;
  condition.reason = reason;
  condition.message = message;
  condition.observed_generation = generation;
  return condition;
}

}  // namespace

std::string ToString(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::kTrue:
      return "True";
    case ConditionStatus::kFalse:
      return "False";
    case ConditionStatus::kUnknown:
      return "Unknown";
  }
  return "Unknown";
}

bool SaysTheSame(const Condition& a, const Condition& b) {
  return a.type == b.type && a.status == b.status && a.reason == b.reason &&
         a.message == b.message && a.observed_generation == b.observed_generation;
}

bool SaysTheSame(const ApiAtGateway& a, const ApiAtGateway& b) {
  return a.gateway == b.gateway && SaysTheSame(a.accepted, b.accepted) &&
         SaysTheSame(a.resolved_refs, b.resolved_refs) && SaysTheSame(a.programmed, b.programmed);
}

Condition Aggregate(const std::vector<ApiAtGateway>& gateways, Condition ApiAtGateway::*condition) {
  const auto badness = [](ConditionStatus status) {
    return status == ConditionStatus::kFalse ? 2 : status == ConditionStatus::kUnknown ? 1 : 0;
  };
  const Condition* worst = &(gateways.front().*condition);
  for (const ApiAtGateway& gateway : gateways) {
    if (badness((gateway.*condition).status) > badness(worst->status)) {
      worst = &(gateway.*condition);
    }
  }
  Condition all = *worst;
  const bool all_agree = std::all_of(
      gateways.begin(), gateways.end(),
      [&](const ApiAtGateway& gateway) { return SaysTheSame(gateway.*condition, *worst); });
  if (all_agree) {
    return all;
  }
  all.message.clear();
  for (const ApiAtGateway& gateway : gateways) {
    const Condition& one = gateway.*condition;
    if (one.status == worst->status &&
        !Append(all.message, absl::StrCat("gateway ", gateway.gateway, ": ", one.message))) {
      break;
    }
  }
  return all;
}

bool SaysTheSame(const std::vector<ApiAtGateway>& a, const std::vector<ApiAtGateway>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const ApiAtGateway& x, const ApiAtGateway& y) { return SaysTheSame(x, y); });
}

bool SaysTheSame(const ApiStatus& a, const ApiStatus& b) {
  return a.uid == b.uid && a.generation == b.generation && SaysTheSame(a.accepted, b.accepted) &&
         SaysTheSame(a.resolved_refs, b.resolved_refs) && SaysTheSame(a.programmed, b.programmed) &&
         a.models == b.models && SaysTheSame(a.gateways, b.gateways);
}

FleetDifference Compare(const FleetViews& before, const FleetViews& after) {
  using Key = std::pair<std::string, NodeFinding>;  // of a data plane
  FleetDifference difference;
  const auto take = [](const FleetViews& views, std::set<std::string>& nodes,
                       std::set<Key>& findings) {
    for (const auto& [gateway, view] : views) {
      for (const NodeReport& node : view.nodes) {
        if (!node.connected) {
          continue;
        }
        const std::string name = absl::StrCat(gateway, " ", node.node);
        nodes.insert(name);
        for (const NodeFinding& finding : node.rejected) {
          findings.emplace("rejected " + name, finding);
        }
        for (const NodeFinding& finding : node.refused) {
          findings.emplace("refused " + name, finding);
        }
      }
    }
  };
  std::set<std::string> old_nodes;
  std::set<std::string> new_nodes;
  std::set<Key> old_findings;
  std::set<Key> new_findings;
  take(before, old_nodes, old_findings);
  take(after, new_nodes, new_findings);
  difference.nodes = old_nodes != new_nodes;
  std::vector<Key> changed;
  std::set_symmetric_difference(old_findings.begin(), old_findings.end(), new_findings.begin(),
                                new_findings.end(), std::back_inserter(changed));
  for (const Key& key : changed) {
    if (!key.second.is_about_gateway) {
      difference.apis.insert(key.second.api);
    }
  }
  return difference;
}

FleetSummary Summarise(const FleetView& fleet, const std::string& api, uint64_t hash) {
  FleetSummary summary;
  const auto is_about = [&](const NodeFinding& f) {
    return !f.is_about_gateway && f.api == api && f.hash == hash;
  };
  for (const NodeReport& node : fleet.nodes) {
    if (!node.connected) {
      continue;
    }
    ++summary.connected;
    if (node.applied_hash && node.applied_hash(api) == hash) {
      ++summary.applied;
    }
    std::copy_if(node.rejected.begin(), node.rejected.end(), std::back_inserter(summary.rejected),
                 is_about);
    std::copy_if(node.refused.begin(), node.refused.end(), std::back_inserter(summary.refused),
                 is_about);
  }
  return summary;
}

std::optional<Condition> Objections(const std::vector<NodeFinding>& rejected,
                                    const std::vector<NodeFinding>& refused, int64_t generation,
                                    bool refs_are_resolved) {
  if (!rejected.empty()) {
    return Make(
        ConditionStatus::kFalse, "RejectedByDataPlane",
        absl::StrCat("a data plane refuses this version and keeps the one before: ",
                     JoinFindings(rejected), ". Correct the field, or upgrade the data planes"),
        generation);
  }
  std::vector<NodeFinding> counted = refused;
  if (!refs_are_resolved) {
    std::erase_if(counted, [](const NodeFinding& f) { return f.code == "SECRET_MISSING"; });
  }
  if (counted.empty()) {
    return std::nullopt;
  }
  return Make(ConditionStatus::kFalse, ReasonOfCode(counted.front().code), JoinFindings(counted),
              generation);
}

Condition ComputeProgrammed(const FleetSummary& summary, int64_t generation,
                            bool refs_are_resolved) {
  std::optional<Condition> objections =
      Objections(summary.rejected, summary.refused, generation, refs_are_resolved);
  if (objections.has_value()) {
    return *std::move(objections);
  }
  if (summary.connected == 0) {
    return Make(ConditionStatus::kFalse, "NoDataPlane",
                "no data plane is connected to this controller; start rota-dataplane with "
                "--controller, or look into its log",
                generation);
  }
  if (summary.applied == 0) {
    return Make(ConditionStatus::kUnknown, "Pending", "the data planes have not confirmed it yet",
                generation);
  }
  return Make(ConditionStatus::kTrue, "Programmed", "served by the connected data planes",
              generation);
}

Condition NotProgrammed(int64_t generation) {
  return Make(ConditionStatus::kFalse, "NotAccepted",
              "nothing of it is served; see the condition Accepted", generation);
}

std::string Join(const resource::Diagnostics& diagnostics) {
  std::string text;
  size_t listed = 0;
  for (const resource::Diagnostic& diagnostic : diagnostics) {
    const std::string sentence = diagnostic.field.empty()
                                     ? diagnostic.message
                                     : absl::StrCat(diagnostic.field, ": ", diagnostic.message);
    if (listed == kMaxListed || !Append(text, sentence)) {
      break;
    }
    ++listed;
  }
  if (listed < diagnostics.size()) {
    absl::StrAppend(&text, "; and ", diagnostics.size() - listed, " more");
  }
  return text;
}

}  // namespace rota::reconcile
