#pragma once

// The order of first picks, made as far as it is needed. Exact on every prefix of the cycle, as
// Sequencer's; beyond that each target keeps as near as possible to a pace of its own: its m-th
// pick is wished for when m picks, less its lead, are due to it. Data planes that give their
// targets different leads pick in different rhythms for good, while Sequencer's order forgets how
// it began.
//
// Costs some 40 ns a pick, whatever the weights, and nothing in advance but a look at the
// steps ahead (Slack). Next picks wait in buckets, one for each step at which they are wished for.
//
// Pure. Single-thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/rotation/multiples.h"
#include "dataplane/rotation/sequencer.h"
#include "dataplane/rotation/slack.h"

namespace rota::rotation {

class PacedOrder {
 public:
  // Items of a Sequencer: weights without a common divisor.
  explicit PacedOrder(std::vector<Sequencer::Item> items);

  // The targets of the next picks, `most` or as many as the cycle still has, in place of what
  // `targets` held. Behind the last pick of a cycle comes the first of the next, which is alike.
  void Make(size_t most, std::vector<uint8_t>& targets);

  const std::vector<Sequencer::Item>& items() const { return items_; }
  uint32_t cycle_length() const { return total_; }

 private:
  // Steps after which the buckets are filled anew, and steps that they span.
  static constexpr uint32_t kRun = 256;
  static constexpr uint32_t kBuckets = 512;
  static constexpr uint32_t kLater = kBuckets;  // wished for beyond them
  static constexpr size_t kNone = SIZE_MAX;

  // The next pick of a target: at a step from `release` on, before step `deadline`. Behind the last
  // one of the cycle `release` is the cycle's end.
  struct Job {
    Multiples due;
    double pace;  // steps per pick
    double lead;  // in picks
    uint32_t number = 1;
    uint32_t release = 0;
    uint32_t deadline = 0;
    double wish = 0;  // the step of the cycle at which it is wished for
    uint32_t bucket = 0;
  };

  void Restart();
  void BeginRun();
  size_t Choose();
  size_t EarliestThatFits(uint64_t candidates);
  size_t EarliestDeadline() const;
  void Advance(size_t item);
  void Enter(size_t item);
  void Leave(size_t item);
  uint32_t NextBucket(uint32_t from) const;

  const std::vector<Sequencer::Item> items_;
  const uint32_t total_;
  uint32_t step_ = 0;
  std::vector<Job> jobs_;
  Slack slack_;
  uint32_t run_begin_ = 0;
  uint32_t lowest_ = 0;  // no bucket below it holds anything
  uint64_t later_ = 0;   // sets of items, as the buckets are
  std::array<uint64_t, kBuckets / 64> occupied_{};
  std::array<uint64_t, kBuckets> buckets_{};
};

}  // namespace rota::rotation
