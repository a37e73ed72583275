#include "dataplane/table/endpoint_pool.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace rota::table {

std::shared_ptr<const Endpoint> EndpointPool::Share(std::unique_ptr<const Endpoint> made) {
  if (known_.size() >= sweep_at_) {
    absl::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<size_t>(64, 2 * known_.size());
  }
  std::weak_ptr<const Endpoint>& place =
      known_[absl::HashOf(made->url, made->name, made->provider, made->pool_key,
                          made->credential.name, made->credential.value.Reveal())];
  std::shared_ptr<const Endpoint> shared = place.lock();
  if (shared == nullptr || !(*shared == *made)) {
    shared = std::move(made);
    place = shared;
  }
  return shared;
}

}  // namespace rota::table
