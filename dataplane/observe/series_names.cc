#include "dataplane/observe/series_names.h"

#include "dataplane/observe/request_metrics.h"

namespace rota::observe {

// Id 0 is the series of all label sets over the limit.
SeriesNames::SeriesNames() : ids_(0, KeyHash{&series_}, KeyEqual{&series_}) {
  series_.emplace_back();
  Add(0, {"(other)", "", "", ""});
}

std::optional<uint32_t> SeriesNames::Find(const table::SeriesLabels& labels) const {
  const auto group = group_ids_.find({words_.Find(labels.api), words_.Find(labels.environment)});
  if (group == group_ids_.end()) {
    return std::nullopt;
  }
  const Key key{group->second, words_.Find(labels.model), words_.Find(labels.target)};
  const auto found = ids_.find(key);
  return found == ids_.end() ? std::nullopt : std::optional<uint32_t>(*found);
}

uint32_t SeriesNames::TakeGroup(const table::SeriesLabels& labels) {
  const auto found = group_ids_.find({words_.Find(labels.api), words_.Find(labels.environment)});
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
  groups_[id] = {{words_.Take(labels.api), words_.Take(labels.environment)}, 1};
  group_ids_[groups_[id].key] = id;
  return id;
}

void SeriesNames::ReleaseGroup(uint32_t id, Freed& freed) {
  Group& group = groups_[id];
  if (--group.series > 0) {
    return;
  }
  group_ids_.erase(group.key);
  words_.Release(group.key.first);
  words_.Release(group.key.second);
  group.key = {};
  free_groups_.push_back(id);
  freed.groups.push_back(id);
}

void SeriesNames::Add(uint32_t id, const table::SeriesLabels& labels) {
  const uint32_t group = TakeGroup(labels);
  series_[id] = {{group, words_.Take(labels.model), words_.Take(labels.target)}, true, {}};
  ids_.insert(id);
  group_of_.At(id).store(group, std::memory_order_relaxed);
}

void SeriesNames::Free(uint32_t id, Freed& freed) {
  ids_.erase(id);
  const Key key = std::exchange(series_[id].key, Key());
  words_.Release(key.model);
  words_.Release(key.target);
  ReleaseGroup(key.group, freed);
  free_ids_.push_back(id);
  freed.series.push_back(id);
}

table::SeriesId SeriesNames::Intern(const table::SeriesLabels& labels) {
  std::lock_guard guard(mutex_);
  if (const std::optional<uint32_t> known = Find(labels)) {
    Series& series = series_[*known];
    if (!series.live) {
      retired_.erase({series.removed_at, *known});  // the hour until reuse starts anew
      series.live = true;
    }
    return *known;
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
  Add(id, labels);
  return id;
}

table::SeriesLabels SeriesNames::LabelsOf(table::SeriesId id) const {
  std::lock_guard guard(mutex_);
  if (id >= series_.size() || series_[id].is_free()) {
    return {};
  }
  const Key& key = series_[id].key;
  const GroupKey& group = groups_[key.group].key;
  return {*group.first, *group.second, *key.model, *key.target};
}

uint32_t SeriesNames::GroupOf(table::SeriesId series) const {
  const std::atomic<uint32_t>* group = group_of_.Find(series);
  return group == nullptr ? 0 : group->load(std::memory_order_relaxed);
}

SeriesNames::Freed SeriesNames::Retire(const std::vector<table::SeriesId>& gone,
                                       MonotonicTime now) {
  std::lock_guard guard(mutex_);
  for (const table::SeriesId id : gone) {
    if (id != 0 && id < series_.size() && series_[id].live) {
      series_[id].live = false;
      series_[id].removed_at = now;
      retired_.emplace(now, id);
    }
  }
  Freed freed;
  while (!retired_.empty() && now - retired_.begin()->first >= RequestMetrics::kReuseAfter) {
    Free(retired_.begin()->second, freed);
    retired_.erase(retired_.begin());
  }
  return freed;
}

std::vector<table::SeriesId> SeriesNames::ListLive() const {
  std::lock_guard guard(mutex_);
  std::vector<table::SeriesId> all;
  all.reserve(ids_.size());
  for (uint32_t id = 0; id < series_.size(); ++id) {
    if (!series_[id].is_free() && series_[id].live) {
      all.push_back(id);
    }
  }
  return all;
}

std::vector<SeriesNames::LiveGroup> SeriesNames::ListLiveGroups() const {
  std::lock_guard guard(mutex_);
  std::vector<bool> listed(groups_.size());
  std::vector<LiveGroup> all;
  for (uint32_t id = 0; id < series_.size(); ++id) {
    const Series& series = series_[id];
    if (!series.is_free() && series.live && !listed[series.key.group]) {
      listed[series.key.group] = true;
      all.push_back({series.key.group, id});
    }
  }
  return all;
}

}  // namespace rota::observe
