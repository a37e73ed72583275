#pragma once

// Equal endpoints once: thousands of APIs go to a handful of upstreams. What it hands out is freed,
// credential and all, with the last API that has it. Single-thread.

#include <memory>

#include "dataplane/table/route_table.h"
#include "dataplane/table/share_pool.h"

namespace rota::table {

class EndpointPool {
 public:
  // `made`, or an equal endpoint that some API has.
  std::shared_ptr<const Endpoint> Share(std::unique_ptr<const Endpoint> made);

 private:
  SharePool<Endpoint> pool_;
};

}  // namespace rota::table
