#pragma once

// Equal endpoints once: thousands of APIs go to a handful of upstreams.
//
// Single-thread; what it hands out is immutable and freed, credential and all, with the last API
// that has it.

#include <cstddef>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "dataplane/table/route_table.h"

namespace rota::table {

class EndpointPool {
 public:
  // `made`, or an equal endpoint that some API has.
  std::shared_ptr<const Endpoint> Share(std::unique_ptr<const Endpoint> made);

 private:
  // By hash of the contents. Of two endpoints with one hash the newer one is shared.
  absl::flat_hash_map<size_t, std::weak_ptr<const Endpoint>> known_;
  size_t sweep_at_ = 64;  // entries; at twice as many as were in use at the last sweep
};

}  // namespace rota::table
