#include "dataplane/rotation/schedule.h"

#include <utility>

#include "dataplane/rotation/order.h"

namespace rota::rotation {

Schedule::Schedule(uint64_t number, const TargetSet& targets, std::vector<Sequencer::Item> items)
    : number_(number), targets_(targets) {
  if (items.empty()) {
    return;
  }
  auto sequencer = std::make_unique<Sequencer>(std::move(items));
  cycle_length_ = sequencer->cycle_length();
  items_ = sequencer->items();
  if (!FitsTable(cycle_length_, items_.size())) {
    sequencer_ = std::move(sequencer);
    return;
  }
  table_ = MakeOrder(items_);
}

Pick Schedule::NextFromSequencer() {
  std::lock_guard guard(sequencer_mutex_);
  const uint64_t position = position_.load(std::memory_order_relaxed);
  position_.store(position + 1, std::memory_order_relaxed);
  return {sequencer_->Next(), number_, position};
}

Schedule::Progress Schedule::MeasureProgress() const {
  Progress progress;
  progress.cycle_length = cycle_length_;
  std::unique_lock lock(sequencer_mutex_, std::defer_lock);
  if (sequencer_ != nullptr) {
    lock.lock();
  }
  const uint64_t position = position_.load(std::memory_order_relaxed);
  const uint64_t cycles = position / cycle_length_;
  progress.picks_in_cycle = position % cycle_length_;
  std::vector<uint64_t> picked(kMaxTargets);
  if (sequencer_ == nullptr) {
    for (uint64_t i = 0; i < progress.picks_in_cycle; ++i) {
      ++picked[table_[i]];
    }
  }
  for (size_t i = 0; i < items_.size(); ++i) {
    const Sequencer::Item& item = items_[i];
    const uint64_t in_cycle =
        sequencer_ != nullptr ? sequencer_->picks_in_cycle_of(i) : picked[item.target];
    progress.shares.push_back(
        {item.target, item.weight, cycles * item.weight + in_cycle, in_cycle});
  }
  return progress;
}

}  // namespace rota::rotation
