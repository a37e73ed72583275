#pragma once

// Stable identities: what suspensions, counters and rotation positions are keyed by, across
// snapshots, restarts and replicas. Pure and thread-safe.

#include <string>
#include <string_view>

#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

// Where a rotation belongs: one API, one environment, and either the API as a whole ("") or one
// operation ("POST /chat/completions").
struct RotationScope {
  std::string api_uid;
  rota::sync::v1::Environment environment = rota::sync::v1::PRODUCTION;
  std::string operation;
};

// 32 hex digits.
std::string RotationId(const RotationScope& scope);

// 32 hex digits; of what is sent where with which credential, never of weight, place or tier.
std::string TargetId(const RotationScope& scope, std::string_view model,
                     const rota::sync::v1::Endpoint& endpoint);

}  // namespace rota::compile
