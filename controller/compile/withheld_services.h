#pragma once

// An API of which some Services of other namespaces are not granted (any more). Pure and
// thread-safe.

#include <memory>
#include <set>

#include "controller/compile/compile_api.h"
#include "controller/compile/snapshot.h"
#include "controller/resource/api.h"

namespace rota::compile {

// The body in which the endpoints that are these Services (references: foreign_ref.h) ask for a
// credential that no snapshot has, so that data planes send nothing there; `api.body` itself where
// there are none. Targets keep their identities. REQUIRES: `api` has a body.
std::shared_ptr<const ResourceBody> BodyWithout(const std::set<resource::ObjectName>& services,
                                                const CompiledApi& api);

}  // namespace rota::compile
