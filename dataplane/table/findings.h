#pragma once

// What a data plane has to say about resources that it has taken but does not serve as configured.
// A controller keeps one finding about each resource (and what it shows has room for one sentence),
// so that all that is said about one goes into one.
//
// Pure and thread-safe.

#include <vector>

#include "rota/sync/v1/sync.pb.h"

namespace rota::table {

// One of each resource, in the order of the first about it. Of several the message names all
// fields, and the code is that of the first one that is not SECRET_MISSING: a missing Secret the
// controller sees by itself.
std::vector<rota::sync::v1::Rejection> OnePerResource(
    std::vector<rota::sync::v1::Rejection> findings);

}  // namespace rota::table
