#pragma once

// Metrics that are read at scrape, put together as prometheus-cpp wants them: one family per name,
// in the order in which the names come first. Single-thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "prometheus/metric_family.h"

namespace rota {

class MetricFamilies {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  // `help` counts where the name comes first.
  void Gauge(const std::string& name, const std::string& help, double value, Labels labels = {});
  void Counter(const std::string& name, const std::string& help, uint64_t value,
               Labels labels = {});
  void Counter(const std::string& name, const std::string& help, double value, Labels labels = {});
  // One that is put together elsewhere, a histogram for instance. Left out without a sample: its
  // # HELP alone says nothing.
  void Add(prometheus::MetricFamily family);
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  void Add(const std::string& name, const std::string& help, prometheus::MetricType type,
           prometheus::ClientMetric metric, Labels labels);

  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace rota
