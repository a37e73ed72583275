#pragma once

// How a rotation behaves: fields that the parameters of the policy ModelBasedRoundRobin and the
// defaults of a gateway have in common. Pure; see decode.h.

#include "controller/resource/reader.h"
#include "controller/resource/rotation_settings.h"

namespace rota::resource {

// onQuotaExceedSuspendDuration, maxSuspendDuration, onAllSuspended, waitTimeout, retry and
// healthChecks of that object.
RotationSettings DecodeRotationSettings(ObjectReader& reader);

}  // namespace rota::resource
