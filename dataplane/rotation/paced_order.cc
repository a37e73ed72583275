#include "dataplane/rotation/paced_order.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <utility>

#include "dataplane/rotation/leads.h"

namespace rota::rotation {
namespace {

uint32_t TotalOf(const std::vector<Sequencer::Item>& items) {
  return std::accumulate(
      items.begin(), items.end(), uint32_t{0},
      [](uint32_t sum, const Sequencer::Item& item) { return sum + item.weight; });
}

}  // namespace

PacedOrder::PacedOrder(std::vector<Sequencer::Item> items)
    : items_(std::move(items)), total_(TotalOf(items_)), slack_(items_, total_) {
  jobs_.reserve(items_.size());
  Restart();
}

void PacedOrder::Restart() {
  step_ = 0;
  jobs_.clear();
  for (const Sequencer::Item& item : items_) {
    Job job{Multiples(total_, item.weight), static_cast<double>(total_) / item.weight,
            static_cast<double>(item.lead) / static_cast<double>(kOnePick)};
    job.due.Advance();
    job.deadline = job.due.ceil();
    jobs_.push_back(job);
  }
}

void PacedOrder::Make(size_t most, std::vector<uint8_t>& targets) {
  const size_t count = std::min<size_t>(most, total_ - step_);
  targets.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (step_ % kRun == 0) {
      BeginRun();
    }
    const size_t chosen = Choose();
    slack_.Take(step_, jobs_[chosen].deadline);
    targets[i] = static_cast<uint8_t>(items_[chosen].target);
    ++step_;
    Leave(chosen);
    Advance(chosen);
    Enter(chosen);
  }
  if (step_ == total_) {
    Restart();
    slack_.Restart(items_);
  }
}

void PacedOrder::BeginRun() {
  slack_.LookAhead(step_);
  run_begin_ = step_;
  lowest_ = 0;
  later_ = 0;
  occupied_ = {};
  buckets_ = {};
  for (size_t i = 0; i < jobs_.size(); ++i) {
    Enter(i);
  }
}

size_t PacedOrder::Choose() {
  lowest_ = NextBucket(lowest_);
  for (uint32_t bucket = lowest_; bucket < kBuckets; bucket = NextBucket(bucket + 1)) {
    const size_t chosen = EarliestThatFits(buckets_[bucket]);
    if (chosen != kNone) {
      return chosen;
    }
  }
  const size_t chosen = EarliestThatFits(later_);
  return chosen != kNone ? chosen : EarliestDeadline();
}

// Within a bucket the wishes are compared to the fraction of a step.
size_t PacedOrder::EarliestThatFits(uint64_t candidates) {
  size_t earliest = kNone;
  for (; candidates != 0; candidates &= candidates - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(candidates));
    const Job& job = jobs_[i];
    if (job.release <= step_ && slack_.Fits(step_, job.deadline) &&
        (earliest == kNone || job.wish < jobs_[earliest].wish)) {
      earliest = i;
    }
  }
  return earliest;
}

// What may be taken where the slack is not known yet.
size_t PacedOrder::EarliestDeadline() const {
  size_t earliest = kNone;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].release <= step_ &&
        (earliest == kNone || jobs_[i].deadline < jobs_[earliest].deadline)) {
      earliest = i;
    }
  }
  assert(earliest != kNone);
  return earliest;
}

void PacedOrder::Advance(size_t item) {
  Job& job = jobs_[item];
  ++job.number;
  job.release = job.due.floor();
  job.due.Advance();
  job.deadline = job.due.ceil();
}

void PacedOrder::Enter(size_t item) {
  Job& job = jobs_[item];
  job.wish = (job.number - job.lead) * job.pace;
  const double bucket = job.wish - run_begin_;
  const uint64_t set = uint64_t{1} << item;
  if (bucket >= kBuckets) {
    job.bucket = kLater;
    later_ |= set;
    return;
  }
  job.bucket = bucket > 0 ? static_cast<uint32_t>(bucket) : 0;
  buckets_[job.bucket] |= set;
  occupied_[job.bucket / 64] |= uint64_t{1} << (job.bucket % 64);
  lowest_ = std::min(lowest_, job.bucket);
}

void PacedOrder::Leave(size_t item) {
  const uint32_t bucket = jobs_[item].bucket;
  const uint64_t others = ~(uint64_t{1} << item);
  if (bucket == kLater) {
    later_ &= others;
    return;
  }
  buckets_[bucket] &= others;
  // No branch: nobody could foretell it.
  const uint64_t is_empty = buckets_[bucket] == 0 ? 1 : 0;
  occupied_[bucket / 64] &= ~(is_empty << (bucket % 64));
}

// The first one from there on that holds something, or kBuckets.
uint32_t PacedOrder::NextBucket(uint32_t from) const {
  for (uint32_t word = from / 64; word < occupied_.size(); ++word) {
    const uint64_t unseen = word == from / 64 ? ~uint64_t{0} << (from % 64) : ~uint64_t{0};
    const uint64_t bits = occupied_[word] & unseen;
    if (bits != 0) {
      return word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    }
  }
  return kBuckets;
}

}  // namespace rota::rotation
