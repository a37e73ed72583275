#pragma once

// The order of first picks over one set of targets, and how far it has gone. The order of a short
// cycle is a table: a pick is one fetch_add. A cycle that is too long for a table (64 random
// weights repeat after some 300,000 picks) is computed pick by pick under a lock that is held for
// some 100 ns.
//
// Pick() and the setters are thread-safe; the rest belongs to the rotation that made it.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "common/clock.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/rotation/sequencer.h"

namespace rota::rotation {

class Schedule {
 public:
  // A table costs 2 to 8 ns * length * targets to compute and `length` bytes to keep.
  static constexpr uint64_t kMaxTableLength = 16384;
  static constexpr uint64_t kMaxTableWork = 65536;
  static constexpr bool FitsTable(uint64_t cycle_length, size_t targets) {
    return cycle_length <= kMaxTableLength && cycle_length * targets <= kMaxTableWork;
  }

  // `items` in order of preference, with their leads; empty when nothing is eligible.
  Schedule(uint64_t number, const TargetSet& targets, std::vector<Sequencer::Item> items);

  // One pick of the serial order. REQUIRES: !targets().none().
  Pick Next() {
    if (table_.empty()) {
      return NextFromSequencer();
    }
    const uint64_t position = position_.fetch_add(1, std::memory_order_relaxed);
    // A 32-bit division takes half the time of a 64-bit one, and four billion picks take a while.
    const uint64_t place = position <= UINT32_MAX ? static_cast<uint32_t>(position) %
                                                        static_cast<uint32_t>(table_.size())
                                                  : position % table_.size();
    return {table_[place], number_, position};
  }

  const TargetSet& targets() const { return targets_; }
  uint64_t number() const { return number_; }

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

  struct Share {
    uint32_t target = 0;
    uint32_t weight = 0;
    uint64_t picks = 0;  // since the schedule began
    uint64_t picks_in_cycle = 0;
  };
  struct Progress {
    uint64_t cycle_length = 1;
    uint64_t picks_in_cycle = 0;
    std::vector<Share> shares;
  };
  Progress MeasureProgress() const;

 private:
  Pick NextFromSequencer();

  const uint64_t number_;
  const TargetSet targets_;
  std::vector<uint8_t> table_;  // target per place in the cycle; empty: by `sequencer_`
  uint64_t cycle_length_ = 1;
  std::vector<Sequencer::Item> items_;  // weights as in the cycle
  std::atomic<uint64_t> signal_{0};
  std::atomic<MonotonicTime::rep> next_return_{0};

  mutable std::mutex sequencer_mutex_;
  std::unique_ptr<Sequencer> sequencer_;

  // On a line of its own: every pick writes it, and reads the members above.
  alignas(64) std::atomic<uint64_t> position_{0};
};

}  // namespace rota::rotation
