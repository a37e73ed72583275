#include "dataplane/rotation/schedule.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "dataplane/rotation/paced_order.h"

namespace rota::rotation {

void Schedule::Begin(uint64_t number, const TargetSet& targets,
                     std::vector<Sequencer::Item> items) {
  number_ = number;
  targets_ = targets;
  if (items.empty()) {
    return;
  }
  const Sequencer sequencer(std::move(items));
  PacedOrder order(sequencer.items());
  if (order.cycle_length() <= kMaxTableLength) {
    items_ = order.items();
    order.Make(order.cycle_length(), table_);
    return;
  }
  is_part_ = true;
  order_ = std::make_unique<LongOrder>(std::move(order));
  GetReadyForParts();
  MakePart();
}

void Schedule::Continue(Schedule& before) {
  number_ = before.number_;
  targets_ = before.targets_;
  is_part_ = true;
  first_position_ = before.first_position_ + before.table_.size();
  order_ = std::move(before.order_);
  MakePart();
  position_.store(0, std::memory_order_relaxed);
}

void Schedule::GetReadyForParts() {
  table_.reserve(kPartLength);
  picks_before_.reserve(kMaxTargets);
}

void Schedule::MakePart() {
  picks_before_.resize(order_->items().size());
  for (size_t i = 0; i < picks_before_.size(); ++i) {
    picks_before_[i] = order_->picks_in_cycle_of(i);
  }
  order_->Make(kPartLength, table_);
}

// Of the last time through the table. More may have been asked of a part than it has.
uint64_t Schedule::PicksFromTable() const {
  const uint64_t position = position_.load(std::memory_order_relaxed);
  return is_part_ ? std::min<uint64_t>(position, table_.size()) : position % table_.size();
}

std::vector<size_t> Schedule::Upcoming(size_t most) const {
  std::vector<size_t> targets;
  if (table_.empty()) {
    return targets;
  }
  const uint64_t next = PicksFromTable();
  for (uint64_t place = next; targets.size() < most; ++place) {
    if (is_part_ && place >= table_.size()) {
      break;
    }
    targets.push_back(table_[place % table_.size()]);
  }
  return targets;
}

void Schedule::CountPicks(std::vector<uint64_t>& by_target) const {
  if (table_.empty()) {
    return;
  }
  const uint64_t rest = PicksFromTable();
  const uint64_t cycles = is_part_ ? 0 : position_.load(std::memory_order_relaxed) / table_.size();
  for (const Sequencer::Item& item : items_) {
    by_target[item.target] += cycles * item.weight;
  }
  for (uint64_t i = 0; i < rest; ++i) {
    ++by_target[table_[i]];
  }
}

Schedule::Progress Schedule::MeasureProgress() const {
  Progress progress;
  if (table_.empty()) {
    return progress;
  }
  const std::vector<Sequencer::Item>& items = is_part_ ? order_->items() : items_;
  std::vector<uint64_t> picked(kMaxTargets);
  const uint64_t rest = PicksFromTable();
  for (uint64_t i = 0; i < rest; ++i) {
    ++picked[table_[i]];
  }
  progress.cycle_length = is_part_ ? order_->cycle_length() : table_.size();
  progress.picks = std::accumulate(picks_before_.begin(), picks_before_.end(), rest);
  for (size_t i = 0; i < items.size(); ++i) {
    const uint64_t before = is_part_ ? picks_before_[i] : 0;
    progress.shares.push_back({items[i].target, items[i].weight, before + picked[items[i].target]});
  }
  return progress;
}

}  // namespace rota::rotation
