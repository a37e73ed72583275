#include "dataplane/observe/shard.h"

#include <algorithm>

namespace rota::observe {

// 10 us .. 100 ms: what the gateway itself adds.
const std::array<int64_t, kBuckets> kOverheadBounds = {
    10'000,  20'000,  30'000,    50'000,    75'000,    100'000,    150'000,    200'000,
    300'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000, 100'000'000};
// 5 ms .. 300 s: what models take.
const std::array<int64_t, kBuckets> kUpstreamBounds = {
    5'000'000,      10'000'000,     25'000'000,     50'000'000,      100'000'000,
    250'000'000,    500'000'000,    1'000'000'000,  2'500'000'000,   5'000'000'000,
    10'000'000'000, 30'000'000'000, 60'000'000'000, 120'000'000'000, 300'000'000'000};

CodeCounts::~CodeCounts() { delete more_.load(); }

void CodeCounts::Add(int code) {
  const int stored = code + 1;  // 0 marks a free slot
  for (size_t i = 0; i < kSlots; ++i) {
    if (codes_[i].Get() == 0) {
      codes_[i].Set(stored);
    }
    if (codes_[i].Get() == stored) {
      counts_[i].Add(1);
      return;
    }
  }
  CodeCounts* more = more_.load(std::memory_order_relaxed);
  if (more == nullptr) {
    more = new CodeCounts;
    more_.store(more, std::memory_order_release);
  }
  more->Add(code);
}

void CodeCounts::AddTo(std::map<int, uint64_t>& sums) const {
  for (size_t i = 0; i < kSlots; ++i) {
    const uint64_t count = counts_[i].Get();
    const int stored = codes_[i].Get();
    if (count > 0 && stored != 0) {
      sums[stored - 1] += count;
    }
  }
  if (const CodeCounts* more = more_.load(std::memory_order_acquire)) {
    more->AddTo(sums);
  }
}

// Keeps the codes: only counts that are not 0 are shown.
void CodeCounts::Reset() {
  for (Counter& count : counts_) {
    count.Set(0);
  }
  if (CodeCounts* more = more_.load(std::memory_order_acquire)) {
    more->Reset();
  }
}

void SeriesCell::Reset() {
  requests.Reset();
  for (Counter& counter : failovers) {
    counter.Set(0);
  }
  for (Counter& counter : suspensions) {
    counter.Set(0);
  }
  for (Counter& counter : tokens) {
    counter.Set(0);
  }
}

void Histogram::Observe(const std::array<int64_t, kBuckets>& bounds, Duration value) {
  const int64_t ns = std::max<int64_t>(value.count(), 0);
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), ns) - bounds.begin();
  counts[static_cast<size_t>(bucket)].Add(1);
  sum_ns.Add(static_cast<uint64_t>(ns));
}

void Histogram::Reset() {
  for (Counter& count : counts) {
    count.Set(0);
  }
  sum_ns.Set(0);
}

void GroupCell::Reset() {
  overhead.Reset();
  upstream.Reset();
  first_token.Reset();
}

}  // namespace rota::observe
