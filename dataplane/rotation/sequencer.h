#pragma once

// The order in which weighted targets are picked so that every prefix is exact: after n picks each
// target has been picked n*w/W times, give or take strictly less than 1.
//
// The m-th pick of a target with share p = w/W must come after step (m-1)/p and not after step m/p,
// rounded outwards; of the targets whose next pick may come, the one whose must come first is taken
// (earliest deadline first, which finds an order whenever there is one). Such an order exists for
// whichever target is picked first: until any step d the others ask for at most sum floor(p*d) < d
// picks before they and the first one's deadline coincide. Integers only. Pure. Single-thread.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rota::rotation {

class Sequencer {
 public:
  struct Item {
    uint32_t target = 0;
    uint32_t weight = 1;  // 1..kMaxWeight
    int64_t lead = 0;     // see leads.h; of no meaning here
  };
  // Far above what a configuration can hold (64 merged targets of 10000 each); keeps products in 64
  // bits.
  static constexpr uint32_t kMaxWeight = 1 << 24;

  // The first item is picked first; equal deadlines go to the earlier item. At least one, at
  // most 64.
  explicit Sequencer(std::vector<Item> items);

  // The target of the next pick.
  uint32_t Next();

  // Picks after which the order repeats: the sum of the weights divided by their greatest common
  // divisor.
  uint64_t cycle_length() const { return total_; }
  // Weight of the item in one cycle.
  const std::vector<Item>& items() const { return items_; }

 private:
  void Restart();
  void Advance(size_t item);

  std::vector<Item> items_;  // weights divided by their greatest common divisor
  uint64_t total_ = 0;
  uint64_t step_ = 0;
  std::vector<uint64_t> picked_;
  std::vector<uint64_t> release_;   // the next pick may be at a step >= this (steps count from 0)
  std::vector<uint64_t> deadline_;  // and must be before this one; lowest byte: place in `items_`
};

}  // namespace rota::rotation
