#pragma once

// `rotactl top`: what goes through each model of each API now, from two looks at the counters of
// the data planes. Single-thread.

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/metrics_text.h"
#include "cli/output.h"
#include "cli/peer.h"
#include "common/clock.h"

namespace rota::cli {

// Counters of every data plane at one time.
struct Look {
  MonotonicTime at;
  std::map<std::string, Samples> by_peer;
  std::vector<std::string> problems;
};
// An error when no data plane answers.
absl::StatusOr<Look> TakeLook(const std::vector<Peer>& data_planes, const Clock& clock,
                              std::vector<std::string> problems);

// {"seconds": N, "data_planes": N, "rows": [{api, environment, model, requests_per_second,
// errors_per_second, tokens_per_second, suspended_share}], "problems": [...]}. Errors are answers
// of 400 and more, without 499 (the client left). `suspended_share`: of the model's targets on all
// data planes. A counter that has begun anew counts from 0.
Json CompareLooks(const Look& before, const Look& after);
std::string PrintTop(const Json& report, Style style);

}  // namespace rota::cli
