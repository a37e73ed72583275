#pragma once

// The order of first picks over a cycle that is too long for a table. It is made as it is gone
// through for the first time, and remembered: from the second time on a pick costs a copied byte
// instead of what PacedOrder takes. What is remembered is bounded for the process; orders
// beyond it are made again and again.
//
// Single-thread; several orders may be made and used by different threads.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/rotation/paced_order.h"
#include "dataplane/rotation/rotation.h"

namespace rota::rotation {

class LongOrder {
 public:
  // Bytes, one for each pick of a cycle: of all orders of the process together.
  static constexpr size_t kMaxRemembered = size_t{4} << 20;

  explicit LongOrder(PacedOrder order);
  ~LongOrder();
  LongOrder(const LongOrder&) = delete;
  LongOrder& operator=(const LongOrder&) = delete;

  // As PacedOrder's. Allocates nothing.
  void Make(size_t most, std::vector<uint8_t>& targets);

  const std::vector<Sequencer::Item>& items() const { return order_.items(); }
  uint32_t cycle_length() const { return order_.cycle_length(); }
  // Of the cycle that the next pick belongs to.
  uint32_t picks_in_cycle_of(size_t item) const { return picked_[items()[item].target]; }

 private:
  bool is_complete() const { return cycle_.size() == cycle_length(); }

  PacedOrder order_;
  const bool is_remembered_;
  std::vector<uint8_t> cycle_;  // as far as it has been made
  uint32_t step_ = 0;           // of the cycle that the next pick belongs to
  std::array<uint32_t, kMaxTargets> picked_{};
};

}  // namespace rota::rotation
