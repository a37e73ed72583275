#include "dataplane/table/endpoint_pool.h"

#include <utility>

#include "absl/hash/hash.h"

namespace rota::table {

std::shared_ptr<const Endpoint> EndpointPool::Share(std::unique_ptr<const Endpoint> made) {
  const size_t hash = absl::HashOf(made->url, made->name, made->provider, made->pool_key,
                                   made->credential.name, made->credential.value.Reveal());
  return pool_.Share(std::move(made), hash);
}

}  // namespace rota::table
