#include "dataplane/rotation/slack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

namespace rota::rotation {
namespace {

constexpr uint32_t kMaxPart = 1024;

// One in each byte, and the highest bit of each.
constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighBits = kOnes << 7;

// The bytes of the steps in [from, to) within the word that holds `from`.
uint64_t BytesBetween(uint32_t from, uint32_t to) {
  const uint64_t upwards = ~uint64_t{0} << (8 * (from % 8));
  const uint32_t end = (from | 7) + 1;
  return to >= end ? upwards : upwards & (~uint64_t{0} >> (8 * (end - to)));
}

// The highest bit of each byte that is 0. REQUIRES: no byte above 0x80.
uint64_t ZeroBytes(uint64_t word) { return ~(word + (kHighBits - kOnes)) & kHighBits; }

// The step of the lowest of these bits.
uint32_t StepOf(uint64_t bits, uint32_t within) {
  return (within & ~uint32_t{7}) + static_cast<uint32_t>(std::countr_zero(bits)) / 8;
}

uint32_t RoundUpToWord(uint32_t steps) { return (steps + 7) & ~uint32_t{7}; }

}  // namespace

Slack::Slack(const std::vector<Sequencer::Item>& items, uint32_t total)
    : total_(total), part_(std::min(RoundUpToWord(total + 1), kMaxPart)) {
  const uint32_t steps = std::bit_ceil(std::min(RoundUpToWord(total + 1), kMaxAhead));
  words_.resize(steps / 8);
  word_mask_ = steps / 8 - 1;
  due_.reserve(items.size());
  beyond_.reserve(items.size());
  Restart(items);
}

void Slack::Restart(const std::vector<Sequencer::Item>& items) {
  known_until_ = 0;
  free_until_ = 1;
  surplus_ = UINT32_MAX;
  due_.clear();
  for (const Sequencer::Item& item : items) {
    due_.emplace_back(total_, item.weight);
    due_.back().Advance();
  }
  beyond_.clear();
}

void Slack::LookAhead(uint32_t step) {
  const auto steps = static_cast<uint32_t>(words_.size() * 8);
  while (known_until_ <= total_ && known_until_ + part_ <= step + steps) {
    LookAtNextPart();
  }
}

void Slack::LookAtNextPart() {
  const uint32_t begin = known_until_;
  const uint32_t end = begin + part_;
  std::array<uint8_t, kMaxPart> deadlines{};
  for (Multiples& due : due_) {
    for (; due.ceil() < end; due.Advance()) {
      ++deadlines[due.ceil() - begin];
    }
  }
  for (uint32_t step = begin; step < end; step += 8) {
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      surplus_ += 1U - deadlines[step - begin + i];
      word |= uint64_t{surplus_} << (8 * i);
    }
    WordOf(step) = word;
  }
  known_until_ = end;
  for (const uint32_t deadline : beyond_) {
    TakeOne(begin, std::min(deadline, end));
  }
  std::erase_if(beyond_, [end](uint32_t deadline) { return deadline <= end; });
}

bool Slack::FindFree(uint32_t step, uint32_t deadline) {
  const uint32_t from = std::max(free_until_, step + 1);
  free_until_ = FindTight(from, std::max(from, std::min(deadline, known_until_)));
  return deadline <= free_until_;
}

void Slack::Take(uint32_t step, uint32_t deadline) {
  // The next step is the present one then, and looked at no more.
  const uint32_t tight = TakeOne(step + 2, std::min(deadline, known_until_));
  free_until_ = std::min(free_until_, tight);
  if (deadline > known_until_) {
    beyond_.push_back(deadline);
  }
}

// The first step in [from, to) without slack, or `to`.
uint32_t Slack::FindTight(uint32_t from, uint32_t to) {
  for (uint32_t step = from; step < to; step = (step | 7) + 1) {
    const uint64_t zeros = ZeroBytes(WordOf(step)) & BytesBetween(step, to);
    if (zeros != 0) {
      return StepOf(zeros, step);
    }
  }
  return to;
}

// Takes one from each step in [from, to), and says which is the first that has nothing left.
uint32_t Slack::TakeOne(uint32_t from, uint32_t to) {
  uint64_t first_zeros = 0;
  uint32_t first_word = 0;
  for (uint32_t step = from; step < to; step = (step | 7) + 1) {
    const uint64_t bytes = BytesBetween(step, to);
    uint64_t& word = WordOf(step);
    word -= kOnes & bytes;
    assert((word & kHighBits) == 0);  // there was none to take
    // Written so that it needs no branch, which nobody could foretell.
    const uint64_t zeros = ZeroBytes(word) & bytes;
    first_word = first_zeros == 0 ? step : first_word;
    first_zeros = first_zeros == 0 ? zeros : first_zeros;
  }
  return first_zeros == 0 ? kNone : StepOf(first_zeros, first_word);
}

}  // namespace rota::rotation
