#pragma once

// Equal values once: thousands of APIs have parts that are alike. It saves memory, and what many
// APIs have in common is in the processor's caches whichever of them is asked.
//
// Single-thread; what it hands out is immutable and freed with the last that has it.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace rota::table {

template <typename T>
class SharePool {
 public:
  // `made`, or an equal one that somebody has. `hash`: of its contents.
  std::shared_ptr<const T> Share(std::unique_ptr<const T> made, size_t hash) {
    if (known_.size() >= sweep_at_) {
      absl::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
      sweep_at_ = std::max<size_t>(64, 2 * known_.size());
    }
    std::weak_ptr<const T>& place = known_[hash];
    std::shared_ptr<const T> shared = place.lock();
    if (shared == nullptr || !(*shared == *made)) {
      shared = std::move(made);
      place = shared;
    }
    return shared;
  }

 private:
  // By hash. Of two with one hash the newer one is shared.
  absl::flat_hash_map<size_t, std::weak_ptr<const T>> known_;
  size_t sweep_at_ = 64;  // entries; at twice as many as were in use at the last sweep
};

}  // namespace rota::table
