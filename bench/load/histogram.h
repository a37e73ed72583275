#pragma once

// Durations in nanoseconds, counted in log-linear buckets: 128 per power of two, so that a quantile
// is right to 0.8 %. Fixed memory. Single-thread.

#include <array>
#include <bit>
#include <cstdint>

namespace rota::bench {

class Histogram {
 public:
  void Add(int64_t nanoseconds) {
    const uint64_t value = nanoseconds < 0 ? 0 : static_cast<uint64_t>(nanoseconds);
    ++counts_[IndexOf(value)];
    ++count_;
    maximum_ = value > maximum_ ? value : maximum_;
  }
  uint64_t count() const { return count_; }
  uint64_t maximum() const { return maximum_; }
  // The smallest bucket bound that at least `share` (0..1) of the values do not exceed; 0 when
  // empty.
  uint64_t Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_) + 0.5);
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && seen > 0) {
        const uint64_t bound = UpperBound(i);
        return bound > maximum_ ? maximum_ : bound;
      }
    }
    return maximum_;
  }

 private:
  static constexpr unsigned kBits = 7;  // 128 buckets per power of two
  static constexpr size_t kPerPower = size_t{1} << kBits;

  // Below 2 * kPerPower the value itself; above, its leading kBits + 1 bits and its power.
  static size_t IndexOf(uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kBits + 1 ? width - kBits - 1 : 0;
    return (static_cast<size_t>(shift) << kBits) + static_cast<size_t>(value >> shift);
  }
  static uint64_t UpperBound(size_t index) {
    const size_t shift = index < 2 * kPerPower ? 0 : (index >> kBits) - 1;
    return ((static_cast<uint64_t>(index - (shift << kBits)) + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kBits + 1) << kBits> counts_{};
  uint64_t count_ = 0;
  uint64_t maximum_ = 0;
};

}  // namespace rota::bench
