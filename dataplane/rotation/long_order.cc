#include "dataplane/rotation/long_order.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace rota::rotation {
namespace {

std::atomic<size_t> remembered{0};

bool TakeMemory(size_t bytes) {
  if (remembered.fetch_add(bytes, std::memory_order_relaxed) + bytes <= LongOrder::kMaxRemembered) {
    return true;
  }
  remembered.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

}  // namespace

LongOrder::LongOrder(PacedOrder order)
    : order_(std::move(order)), is_remembered_(TakeMemory(order_.cycle_length())) {
  if (is_remembered_) {
    cycle_.reserve(cycle_length());
  }
}

LongOrder::~LongOrder() {
  if (is_remembered_) {
    remembered.fetch_sub(cycle_length(), std::memory_order_relaxed);
  }
}

void LongOrder::Make(size_t most, std::vector<uint8_t>& targets) {
  if (is_complete()) {
    const auto begin = cycle_.begin() + step_;
    const size_t count = std::min<size_t>(most, cycle_length() - step_);
    targets.assign(begin, begin + static_cast<ptrdiff_t>(count));
  } else {
    order_.Make(most, targets);
    if (is_remembered_) {
      cycle_.insert(cycle_.end(), targets.begin(), targets.end());
    }
  }
  for (const uint8_t target : targets) {
    ++picked_[target];
  }
  step_ += static_cast<uint32_t>(targets.size());
  if (step_ == cycle_length()) {
    step_ = 0;
    picked_ = {};
  }
}

}  // namespace rota::rotation
