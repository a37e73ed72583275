#pragma once

// Which pick may be made next so that every later one still finds its place.
//
// The slack of a step t is the number of picks before t that no deadline up to t asks for. A pick
// whose deadline is d takes one from the slack of every step before d; where the slack is 0, all
// picks until then belong to the deadlines until then. As an order that is exact exists from every
// such state, nothing else has to be looked at.
//
// Steps are looked at some thousands ahead, one byte each, eight at a time: the slack of a step is
// less than the number of targets, because deadlines ask for all picks but a fraction per target.
// What lies beyond is unknown and a deadline there does not Fit(); the earliest deadline of all may
// be taken wherever it lies.
//
// Pure. Single-thread.

#include <cstdint>
#include <vector>

#include "dataplane/rotation/multiples.h"
#include "dataplane/rotation/sequencer.h"

namespace rota::rotation {

class Slack {
 public:
  // Steps that are looked ahead at most; a byte each.
  static constexpr uint32_t kMaxAhead = 16384;

  // At the beginning of a cycle of `total` picks: the sum of the weights, which have no common
  // divisor.
  Slack(const std::vector<Sequencer::Item>& items, uint32_t total);
  // At the beginning again. Allocates nothing.
  void Restart(const std::vector<Sequencer::Item>& items);

  // Looks as far ahead of `step` as it can. To be called every now and then.
  void LookAhead(uint32_t step);
  // Whether a pick of this deadline may be made at `step`, which never goes back. False where that
  // is not known.
  bool Fits(uint32_t step, uint32_t deadline) {
    return deadline <= free_until_ || FindFree(step, deadline);
  }
  // It is made. REQUIRES: it Fits(), or no other that is possible at `step` has an earlier
  // deadline.
  void Take(uint32_t step, uint32_t deadline);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  bool FindFree(uint32_t step, uint32_t deadline);
  uint64_t& WordOf(uint32_t step) { return words_[step / 8 & word_mask_]; }
  uint32_t FindTight(uint32_t from, uint32_t to);
  uint32_t TakeOne(uint32_t from, uint32_t to);
  void LookAtNextPart();

  const uint32_t total_;
  const uint32_t part_;          // steps that are looked at together, a multiple of 8
  std::vector<uint64_t> words_;  // a ring; the byte of step t is the (t % 8)-th from below
  uint32_t word_mask_ = 0;
  uint32_t known_until_ = 0;       // the slack of steps before this one is known
  uint32_t free_until_ = 1;        // no step from the present one to before this one is tight
  uint32_t surplus_ = UINT32_MAX;  // slack of step known_until_ - 1 without the picks made
  std::vector<Multiples> due_;     // next deadlines that have not been looked at
  std::vector<uint32_t> beyond_;   // deadlines of picks that were made although not yet known
};

}  // namespace rota::rotation
