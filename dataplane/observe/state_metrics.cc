#include "dataplane/observe/state_metrics.h"

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>

#include "dataplane/observe/table_view.h"

namespace rota::observe {
namespace {

// Seconds. A lone change takes below a millisecond, a first snapshot of 10,000 APIs some hundred.
constexpr std::array<double, 12> kApplyBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                 0.01,   0.025,   0.05,   0.1,   0.5,    2.5};

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void StateMetrics::RecordApplied(Duration took) {
  static_assert(kApplyBounds.size() == kBuckets);
  const auto bound = std::lower_bound(kApplyBounds.begin(), kApplyBounds.end(), Seconds(took));
  std::lock_guard guard(mutex_);
  ++apply_counts_[static_cast<size_t>(bound - kApplyBounds.begin())];
  apply_sum_ += took;
}

// One sample per label set and reason: targets that differ in their Secret only share a series, and
// the longest suspension is shown.
void StateMetrics::CollectSuspended(MetricFamilies& families) const {
  const MonotonicTime now = sources_.clock->Now();
  std::unordered_map<std::string, rotation::Suspension> active;
  for (rotation::Suspension& suspension : sources_.registry->Active(now)) {
    std::string target = suspension.target;
    active.emplace(std::move(target), std::move(suspension));
  }
  if (active.empty()) {
    return;
  }
  std::map<std::pair<table::SeriesLabels, rotation::Reason>, Duration> remaining;
  const std::shared_ptr<const table::RouteTable> table = sources_.table->Get();
  ForEachTarget(*table, [&](const TargetView& view) {
    const auto found = active.find(view.spec->id);
    if (found != active.end()) {
      Duration& longest = remaining[{LabelsOf(view), found->second.reason}];
      longest = std::max<Duration>(longest, found->second.until - now);
    }
  });
  for (const auto& [key, left] : remaining) {
    const auto& [labels, reason] = key;
    families.Gauge("rota_suspended_seconds", "Time until a suspended target returns to the rota.",
                   Seconds(left),
                   {{"api", labels.api},
                    {"environment", labels.environment},
                    {"model", labels.model},
                    {"target", labels.target},
                    {"reason", std::string(rotation::ReasonName(reason))}});
  }
}

void StateMetrics::CollectSnapshot(MetricFamilies& families) const {
  const std::shared_ptr<const table::RouteTable> table = sources_.table->Get();
  if (table != nullptr && !table->snapshot_hash().empty()) {
    families.Gauge("rota_snapshot_info", "The snapshot in use; always 1.", 1,
                   {{"version", SnapshotVersion(*table)}});
  }
  families.Gauge("rota_apis", "APIs in the snapshot in use.",
                 table == nullptr ? 0 : static_cast<double>(table->apis().size()));
  std::lock_guard guard(mutex_);
  prometheus::MetricFamily apply{"rota_snapshot_apply_seconds",
                                 "Time to build and publish a snapshot.",
                                 prometheus::MetricType::Histogram,
                                 {}};
  prometheus::ClientMetric& metric = apply.metric.emplace_back();
  uint64_t cumulative = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    cumulative += apply_counts_[i];
    metric.histogram.bucket.push_back({cumulative, kApplyBounds[i]});
  }
  metric.histogram.sample_count = cumulative + apply_counts_[kBuckets];
  metric.histogram.sample_sum = Seconds(apply_sum_);
  families.Add(std::move(apply));
}

std::vector<prometheus::MetricFamily> StateMetrics::Collect() const {
  MetricFamilies families;
  CollectSnapshot(families);
  CollectSuspended(families);
  if (sources_.access_log != nullptr) {
    families.Counter("rota_access_log_dropped_total", "Lines that the access log could not write.",
                     sources_.access_log->dropped());
  }
  return families.Take();
}

}  // namespace rota::observe
