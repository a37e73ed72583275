#include "controller/fleet_view.h"

#include <utility>

namespace rota::controller {
namespace {

std::vector<reconcile::NodeFinding> ApiFindings(const serve::ResourceProblems& problems) {
  std::vector<reconcile::NodeFinding> findings;
  for (const auto& [key, problem] : problems) {
    if (key.first == compile::ResourceKind::kApi) {
      findings.push_back({.api = key.second,
                          .hash = problem.rejected_hash,
                          .code = rota::sync::v1::Rejection::Code_Name(problem.code),
                          .field = problem.field,
                          .message = problem.message});
    }
  }
  return findings;
}

}  // namespace

reconcile::FleetView ToFleetView(const std::vector<serve::NodeReport>& nodes) {
  reconcile::FleetView view;
  for (const serve::NodeReport& node : nodes) {
    view.nodes.push_back({.node = node.node,
                          .connected = true,
                          .applied_hash =
                              [node](const std::string& api) {
                                return node.AppliedHash({compile::ResourceKind::kApi, api});
                              },
                          .rejected = ApiFindings(node.rejected),
                          .refused = ApiFindings(node.refused)});
  }
  return view;
}

}  // namespace rota::controller
