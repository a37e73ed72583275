#pragma once

// The multiples of total / weight one after the other, without a division: where the windows of a
// target's picks begin (rounded down) and end (rounded up). Pure. Single-thread.

#include <cstdint>

namespace rota::rotation {

class Multiples {
 public:
  // Stands at 0. REQUIRES: 0 < weight <= total.
  Multiples(uint32_t total, uint32_t weight)
      : step_whole_(total / weight), step_rest_(total % weight), weight_(weight) {}

  void Advance() {
    // No branch: nobody could foretell it.
    rest_ += step_rest_;
    const uint32_t carry = rest_ >= weight_ ? 1 : 0;
    rest_ -= weight_ & (0 - carry);
    whole_ += step_whole_ + carry;
  }
  uint32_t floor() const { return whole_; }
  uint32_t ceil() const { return whole_ + (rest_ > 0 ? 1 : 0); }

 private:
  uint32_t step_whole_;
  uint32_t step_rest_;
  uint32_t weight_;
  uint32_t whole_ = 0;
  uint32_t rest_ = 0;  // of weight_
};

}  // namespace rota::rotation
