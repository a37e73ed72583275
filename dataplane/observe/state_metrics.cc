#include "dataplane/observe/state_metrics.h"

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>

#include "dataplane/observe/table_view.h"

namespace rota::observe {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Seconds. A lone change takes below a millisecond, a first snapshot of 10,000 APIs some hundred.
constexpr std::array<double, 12> kApplyBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                 0.01,   0.025,   0.05,   0.1,   0.5,    2.5};

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family{name, help, MetricType::Gauge, {}};
  family.metric.emplace_back().gauge.value = value;
  return family;
}

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
MetricFamily StateMetrics::CollectSuspended() const {
  MetricFamily family{"rota_suspended_seconds",
                      "Time until a suspended target returns to the rota.",
                      MetricType::Gauge,
                      {}};
  const MonotonicTime now = sources_.clock->Now();
  std::unordered_map<std::string, rotation::Suspension> active;
  for (rotation::Suspension& suspension : sources_.registry->Active(now)) {
    std::string target = suspension.target;
    active.emplace(std::move(target), std::move(suspension));
  }
  if (active.empty()) {
    return family;
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
    ClientMetric& metric = family.metric.emplace_back();
    metric.label = {{"api", labels.api},
                    {"environment", labels.environment},
                    {"model", labels.model},
                    {"target", labels.target},
                    {"reason", std::string(rotation::ReasonName(reason))}};
    metric.gauge.value = Seconds(left);
  }
  return family;
}

void StateMetrics::CollectSnapshot(std::vector<MetricFamily>& all) const {
  const std::shared_ptr<const table::RouteTable> table = sources_.table->Get();
  if (table != nullptr && !table->snapshot_hash().empty()) {
    MetricFamily info{
        "rota_snapshot_info", "The snapshot in use; always 1.", MetricType::Gauge, {}};
    ClientMetric& metric = info.metric.emplace_back();
    metric.label = {{"version", SnapshotVersion(*table)}};
    metric.gauge.value = 1;
    all.push_back(std::move(info));
  }
  all.push_back(Gauge("rota_apis", "APIs in the snapshot in use.",
                      table == nullptr ? 0 : static_cast<double>(table->apis().size())));
  std::lock_guard guard(mutex_);
  MetricFamily apply{"rota_snapshot_apply_seconds",
                     "Time to build and publish a snapshot.",
                     MetricType::Histogram,
                     {}};
  ClientMetric& metric = apply.metric.emplace_back();
  uint64_t cumulative = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    cumulative += apply_counts_[i];
    metric.histogram.bucket.push_back({cumulative, kApplyBounds[i]});
  }
  metric.histogram.sample_count = cumulative + apply_counts_[kBuckets];
  metric.histogram.sample_sum = Seconds(apply_sum_);
  all.push_back(std::move(apply));
}

std::vector<MetricFamily> StateMetrics::Collect() const {
  std::vector<MetricFamily> all;
  CollectSnapshot(all);
  MetricFamily suspended = CollectSuspended();
  if (!suspended.metric.empty()) {
    all.push_back(std::move(suspended));
  }
  if (sources_.access_log != nullptr) {
    MetricFamily dropped{"rota_access_log_dropped_total",
                         "Lines that the access log could not write.",
                         MetricType::Counter,
                         {}};
    dropped.metric.emplace_back().counter.value =
        static_cast<double>(sources_.access_log->dropped());
    all.push_back(std::move(dropped));
  }
  return all;
}

}  // namespace rota::observe
