#pragma once

// `rotactl status`: gateways, controllers, data planes and the revision that each serves, and the
// APIs that are not as they should be. Single-thread.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/peer.h"

namespace rota::cli {

// {"gateways": [...], "controllers": [...], "data_planes": [...], "apis": N,
//  "not_programmed": [...], "problems": [...]}. Data planes are those that the controllers name,
//  and
// those that were asked themselves.
absl::StatusOr<Json> CollectStatus(const std::vector<Peer>& controllers,
                                   const std::vector<Peer>& data_planes,
                                   std::vector<std::string> problems);
std::string PrintStatus(const Json& report, Style style);
// kExitFindings: somebody is not ready, serves another revision or objects, an API is not served as
// it is written, or somebody does not answer.
int StatusVerdict(const Json& report);

}  // namespace rota::cli
