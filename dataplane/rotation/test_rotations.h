#pragma once

// Rotations for the tests of this folder.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/rotation/rotation.h"

namespace rota::rotation::testing_rotations {

using Weights = std::vector<uint32_t>;

// Targets "target-0", "target-1" ... of these weights.
inline RotationSpec SpecOf(const Weights& weights) {
  RotationSpec spec;
  spec.id = "rotation";
  for (size_t i = 0; i < weights.size(); ++i) {
    spec.targets.push_back({.id = "target-" + std::to_string(i), .weight = weights[i]});
  }
  return spec;
}

// Calls `check` with every list of `count` weights from `least` to `largest`.
inline void ForEveryWeights(size_t count, uint32_t least, uint32_t largest,
                            const std::function<void(const Weights&)>& check) {
  Weights weights(count, least);
  size_t digit = 0;
  while (digit < count) {
    check(weights);
    digit = 0;
    while (digit < count && ++weights[digit] > largest) {
      weights[digit++] = least;
    }
  }
}

}  // namespace rota::rotation::testing_rotations
