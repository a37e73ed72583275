#pragma once

// `rotactl get suspensions`: who is off the rota, why, and until when. Single-thread.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/peer.h"

namespace rota::cli {

// A suspended target of a data plane's /debug/rotations, with the API and the environment that it
// belongs to: {id, api, environment, model, target, reason, remaining_seconds, seen_by}.
std::vector<Json> SuspendedTargets(const Json& rotations);

// {"suspensions": [...], "data_planes": N, "problems": [...]}; each target once, with its latest
// end and the number of data planes (`known_to`) that keep it off the rota. By API, environment,
// model.
absl::StatusOr<Json> CollectSuspensions(const std::vector<Peer>& data_planes,
                                        std::vector<std::string> problems);
std::string PrintSuspensions(const Json& report, Style style);

// A line per problem, in the report's own "problems".
std::string PrintProblems(const Json& report, Style style);

}  // namespace rota::cli
