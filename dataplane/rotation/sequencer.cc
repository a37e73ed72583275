#include "dataplane/rotation/sequencer.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace rota::rotation {

Sequencer::Sequencer(std::vector<Item> items)
    : items_(std::move(items)),
      picked_(items_.size()),
      release_(items_.size()),
      deadline_(items_.size()) {
  uint32_t divisor = 0;
  for (Item& item : items_) {
    item.weight = std::clamp<uint32_t>(item.weight, 1, kMaxWeight);
    divisor = std::gcd(divisor, item.weight);
  }
  for (Item& item : items_) {
    item.weight /= divisor;
    total_ += item.weight;
  }
  Restart();
}

uint32_t Sequencer::Next() {
  size_t chosen = 0;
  if (step_ > 0) {
    uint64_t earliest = std::numeric_limits<uint64_t>::max();
    const uint64_t* release = release_.data();
    const uint64_t* deadline = deadline_.data();
    for (size_t i = 0, count = items_.size(); i < count; ++i) {
      const uint64_t key = release[i] <= step_ ? deadline[i] : std::numeric_limits<uint64_t>::max();
      earliest = std::min(earliest, key);
    }
    chosen = earliest & 0xFF;
  }
  const uint32_t target = items_[chosen].target;
  Advance(chosen);
  return target;
}

void Sequencer::Restart() {
  step_ = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    const uint64_t weight = items_[i].weight;
    picked_[i] = 0;
    release_[i] = 0;
    deadline_[i] = ((total_ + weight - 1) / weight) << 8 | i;
  }
}

void Sequencer::Advance(size_t item) {
  ++step_;
  if (step_ == total_) {
    Restart();
    return;
  }
  const uint64_t weight = items_[item].weight;
  const uint64_t picked = ++picked_[item];
  release_[item] = picked * total_ / weight;
  deadline_[item] = (((picked + 1) * total_ + weight - 1) / weight) << 8 | item;
}

}  // namespace rota::rotation
