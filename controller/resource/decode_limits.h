#pragma once

// Limits of requests: `limits` of an API and of the defaults of a gateway. Pure; see decode.h.

#include "controller/resource/reader.h"
#include "controller/resource/request_limits.h"

namespace rota::resource {

// The field `limits` of that object.
RequestLimits DecodeLimits(ObjectReader& parent);

}  // namespace rota::resource
