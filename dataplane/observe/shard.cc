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

// Id 0 is the series of all label sets over the limit.
SeriesNames::SeriesNames() {
  const table::SeriesLabels other{"(other)", "", "", ""};
  series_.push_back(
      {std::make_shared<const table::SeriesLabels>(other), TakeGroup(other), true, {}});
  ids_[other] = 0;
  group_of_.At(0).store(0);
}

uint32_t SeriesNames::TakeGroup(const table::SeriesLabels& labels) {
  const Group group{labels.api, labels.environment};
  const auto found = group_ids_.find(group);
  if (found != group_ids_.end()) {
    ++groups_[found->second].series;
    return found->second;
  }
  uint32_t id = static_cast<uint32_t>(groups_.size());
  if (free_groups_.empty()) {
    groups_.emplace_back();
  } else {
    id = free_groups_.back();
    free_groups_.pop_back();
  }
  groups_[id] = {std::make_shared<const Group>(group), 1};
  group_ids_[group] = id;
  return id;
}

table::SeriesId SeriesNames::Intern(const table::SeriesLabels& labels) {
  std::lock_guard guard(mutex_);
  const auto found = ids_.find(labels);
  if (found != ids_.end()) {
    Series& series = series_[found->second];
    series.live = true;
    series.removed_at = MonotonicTime{};  // the hour until reuse starts anew
    return found->second;
  }
  uint32_t id = static_cast<uint32_t>(series_.size());
  if (!free_ids_.empty()) {
    id = free_ids_.back();
    free_ids_.pop_back();
  } else if (series_.size() < RequestMetrics::kMaxSeries) {
    series_.emplace_back();
  } else {
    return 0;
  }
  series_[id] = {std::make_shared<const table::SeriesLabels>(labels), TakeGroup(labels), true, {}};
  ids_[labels] = id;
  group_of_.At(id).store(series_[id].group, std::memory_order_relaxed);
  return id;
}

table::SeriesLabels SeriesNames::LabelsOf(table::SeriesId series) const {
  std::lock_guard guard(mutex_);
  return series < series_.size() && series_[series].labels != nullptr ? *series_[series].labels
                                                                      : table::SeriesLabels{};
}

uint32_t SeriesNames::GroupOf(table::SeriesId series) const {
  const std::atomic<uint32_t>* group = group_of_.Find(series);
  return group == nullptr ? 0 : group->load(std::memory_order_relaxed);
}

void SeriesNames::Free(uint32_t id, Freed& freed) {
  Series& series = series_[id];
  GroupEntry& group = groups_[series.group];
  if (--group.series == 0) {
    group_ids_.erase(*group.group);
    group.group = nullptr;
    free_groups_.push_back(series.group);
    freed.groups.push_back(series.group);
  }
  ids_.erase(*series.labels);
  series.labels = nullptr;
  free_ids_.push_back(id);
  freed.series.push_back(id);
}

SeriesNames::Freed SeriesNames::Retire(const std::vector<table::SeriesId>& gone,
                                       MonotonicTime now) {
  std::lock_guard guard(mutex_);
  for (const table::SeriesId id : gone) {
    if (id != 0 && id < series_.size() && series_[id].live) {
      series_[id].live = false;
      series_[id].removed_at = now;
      retired_.emplace_back(now, id);
    }
  }
  Freed freed;
  while (!retired_.empty() && now - retired_.front().first >= RequestMetrics::kReuseAfter) {
    const auto [removed_at, id] = retired_.front();
    retired_.pop_front();
    const Series& series = series_[id];
    if (series.labels != nullptr && !series.live && series.removed_at == removed_at) {
      Free(id, freed);
    }
  }
  return freed;
}

std::vector<SeriesNames::Listed> SeriesNames::ListLive() const {
  std::lock_guard guard(mutex_);
  std::vector<Listed> all;
  all.reserve(ids_.size());
  for (uint32_t id = 0; id < series_.size(); ++id) {
    if (series_[id].labels != nullptr && series_[id].live) {
      all.push_back({id, series_[id].labels});
    }
  }
  return all;
}

std::vector<SeriesNames::ListedGroup> SeriesNames::ListLiveGroups() const {
  std::lock_guard guard(mutex_);
  std::set<uint32_t> live;
  for (const Series& series : series_) {
    if (series.labels != nullptr && series.live) {
      live.insert(series.group);
    }
  }
  std::vector<ListedGroup> all;
  for (const uint32_t id : live) {
    all.push_back({id, groups_[id].group});
  }
  return all;
}

}  // namespace rota::observe
