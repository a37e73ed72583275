#pragma once

// What the process is in, beside what its requests count: the snapshot in use, who is suspended and
// for how long, lost log lines. Thread-safe. Names:
// docs/reference/metrics.md.

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "common/clock.h"
#include "common/metric_families.h"
#include "common/published.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

class StateMetrics final : public prometheus::Collectable {
 public:
  // Everything must outlive this; `access_log` may be null.
  struct Sources {
    const Published<table::RouteTable>* table = nullptr;
    const rotation::Registry* registry = nullptr;
    const AccessLog* access_log = nullptr;
    const Clock* clock = nullptr;
  };
  explicit StateMetrics(Sources sources) : sources_(sources) {}

  // To be called after each snapshot that was published: how long it took from the transaction to
  // the publication.
  void RecordApplied(Duration took);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  static constexpr size_t kBuckets = 12;
  void CollectSuspended(MetricFamilies& families) const;
  void CollectSnapshot(MetricFamilies& families) const;

  const Sources sources_;
  mutable std::mutex mutex_;
  std::array<uint64_t, kBuckets + 1> apply_counts_{};
  Duration apply_sum_{};
};

}  // namespace rota::observe
