#pragma once

// `rotactl lift`: ends suspensions on every data plane. Single-thread.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/peer.h"

namespace rota::cli {

// What is to be lifted: everything that is suspended and fits all of these ("" fits all).
struct LiftQuery {
  std::string api{};  // "team/chat", or "chat"
  std::string environment{};
  std::string model{};
  std::string id{};  // of a target
};

bool Fits(const Json& suspension, const LiftQuery& query);

// Finds them on the data planes and lifts each on all that answer; one of them would do, because it
// tells the controller, but one that has lost its controller hears only us.
// {"lifted": [{id, api, environment, model, ...}], "problems": [...]}; NotFound: nothing fits.
absl::StatusOr<Json> Lift(const std::vector<Peer>& data_planes, const LiftQuery& query);
std::string PrintLifted(const Json& report, Style style);

}  // namespace rota::cli
