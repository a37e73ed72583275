#pragma once

// rota_build_info and the process_* metrics that every Prometheus client has: memory, CPU,
// descriptors, threads, start time. Read from /proc at each scrape. Thread-safe.

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace rota {

class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace rota
