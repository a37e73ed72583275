#pragma once

// The order of first picks over one set of targets, or the part of it that is picked from. The
// whole of a short cycle is one table that is gone through again and again. A longer cycle (64
// random weights repeat after some 300,000 picks) comes in parts of a thousand picks (LongOrder):
// when one is used up, the rotation puts the next in its place. Either way a pick is one fetch_add
// and one look.
//
// Next(), the setters and the questions are thread-safe; the rest belongs to the rotation that made
// it, which begins a schedule anew only while no thread picks from it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/long_order.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/rotation/sequencer.h"

namespace rota::rotation {

class Schedule {
 public:
  // A table costs some 40 ns a pick to make and a byte to keep.
  static constexpr uint64_t kMaxTableLength = 4096;
  static constexpr size_t kPartLength = 1024;

  // Nothing to pick from.
  Schedule() = default;

  // `items` in order of preference, with their leads; empty when nothing is eligible.
  void Begin(uint64_t number, const TargetSet& targets, std::vector<Sequencer::Item> items);
  // Goes on where `before`, which is used up, has ended; that one is only good for counting then.
  // Allocates nothing on a schedule that has been a part or is ready to be one.
  void Continue(Schedule& before);
  void GetReadyForParts();

  // One pick of the serial order; none when the part is used up. REQUIRES: targets().any().
  std::optional<Pick> Next() {
    const uint64_t position = position_.fetch_add(1, std::memory_order_relaxed);
    if (position < table_.size()) {
      return Pick{table_[position], number_, first_position_ + position};
    }
    if (is_part_) {
      return std::nullopt;
    }
    // A 32-bit division takes half the time of a 64-bit one, and four billion picks take a while.
    const uint64_t place = position <= UINT32_MAX ? static_cast<uint32_t>(position) %
                                                        static_cast<uint32_t>(table_.size())
                                                  : position % table_.size();
    return Pick{table_[place], number_, position};
  }
  bool is_used_up() const {
    return is_part_ && position_.load(std::memory_order_relaxed) >= table_.size();
  }
  bool is_part() const { return is_part_; }

  const TargetSet& targets() const { return targets_; }

  // In force while the rotation's change signal is still `signal` and nobody has returned by `now`.
  bool IsCurrent(uint64_t signal, MonotonicTime now) const {
    return signal_.load(std::memory_order_acquire) == signal &&
           now.time_since_epoch().count() < next_return_.load(std::memory_order_relaxed);
  }
  void SetCurrent(uint64_t signal, MonotonicTime next_return) {
    next_return_.store(next_return.time_since_epoch().count(), std::memory_order_relaxed);
    signal_.store(signal, std::memory_order_release);
  }
  MonotonicTime next_return() const {
    return MonotonicTime(Duration(next_return_.load(std::memory_order_relaxed)));
  }

  // The targets of the next picks, at most `most` and no more than the part still has.
  std::vector<size_t> Upcoming(size_t most) const;
  // Adds the picks from this schedule (without the parts before it), by target.
  void CountPicks(std::vector<uint64_t>& by_target) const;

  struct Share {
    uint32_t target = 0;
    uint32_t weight = 0;  // as in the cycle
    uint64_t picks = 0;   // in the cycle that is running
  };
  struct Progress {
    uint64_t cycle_length = 1;
    uint64_t picks = 0;  // in the cycle that is running
    std::vector<Share> shares;
  };
  Progress MeasureProgress() const;

 private:
  void MakePart();
  uint64_t PicksFromTable() const;

  uint64_t number_ = 0;
  TargetSet targets_;
  bool is_part_ = false;
  std::vector<uint8_t> table_;  // targets in the order of the picks
  uint64_t first_position_ = 0;
  std::vector<Sequencer::Item> items_;  // of a table
  std::unique_ptr<LongOrder> order_;    // of the latest part
  std::vector<uint32_t> picks_before_;  // in the cycle, by item; empty for a table
  std::atomic<uint64_t> signal_{0};
  std::atomic<MonotonicTime::rep> next_return_{0};

  // On a line of its own: every pick writes it, and reads the members above.
  alignas(64) std::atomic<uint64_t> position_{0};
};

}  // namespace rota::rotation
