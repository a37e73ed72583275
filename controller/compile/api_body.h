#pragma once

// The message of an API as a resource of a snapshot: the same message gives the same bytes. Pure
// and thread-safe.

#include <memory>

#include "controller/compile/snapshot.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

std::shared_ptr<const ResourceBody> ApiBody(const rota::sync::v1::Api& api);

}  // namespace rota::compile
