#pragma once

// `rotactl explain`: what would become of a request, asked of a data plane's /debug/explain.
// Single-thread.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/peer.h"

namespace rota::cli {

struct ExplainQuery {
  std::string api{};
  std::string environment{};
  std::string model{};
  std::string host{};
  std::string verb{};
  std::string path{};
};

// The page of the first data plane that answers.
absl::StatusOr<Json> CollectExplanation(const std::vector<Peer>& data_planes,
                                        const ExplainQuery& query);
std::string PrintExplanation(const Json& report, Style style);
// kExitFindings: the gateway would answer by itself, or the model that was named is not picked.
int ExplanationVerdict(const Json& report);

}  // namespace rota::cli
