#pragma once

// The conditions Accepted and ResolvedRefs of one API from what the world knows of it. Pure and
// thread-safe.

#include <cstdint>

#include "controller/compile/assemble.h"
#include "controller/reconcile/status.h"

namespace rota::reconcile {

struct WorldFacts {
  int64_t generation = 0;                              // of the newest version
  const resource::Diagnostics* diagnostics = nullptr;  // of the newest version; never null
  const compile::ApiOutcome* outcome = nullptr;        // never null
  bool is_held = false;                                // the newest version waits for a Secret
  bool is_current_served = false;
  int64_t last_good_generation = 0;
};

// Programmed is Unknown. REQUIRES: the pointers are set.
ApiStatus DescribeWorld(const WorldFacts& facts);

// Adds to `all` what holds at one of the API's gateways. `served_hash` 0: nothing is served there.
void AddGateway(const std::string& gateway, ApiStatus at_gateway, uint64_t served_hash,
                ApiStatus& all);

}  // namespace rota::reconcile
