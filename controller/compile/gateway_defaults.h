#pragma once

// What an API inherits from its gateway. An API is compiled once, with the built-in defaults; for a
// gateway that has defaults of its own its rotations and endpoints are filled in again. Pure and
// thread-safe; the same input gives the same bytes.

#include <memory>

#include "controller/compile/compile_api.h"
#include "controller/resource/gateway.h"
#include "controller/resource/rotation_settings.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

// Everything of a rotation that settings decide, the built-in defaults included. REQUIRES: the
// targets are there.
void SetSettings(const resource::RotationSettings& settings, rota::sync::v1::Rotation& rotation);

// The API as it is at that gateway; `api` itself where that is the same. REQUIRES: `api` has a
// body.
std::shared_ptr<const CompiledApi> WithDefaults(const std::shared_ptr<const CompiledApi>& api,
                                                const resource::GatewayDefaults& defaults);

}  // namespace rota::compile
