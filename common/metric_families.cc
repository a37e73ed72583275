#include "common/metric_families.h"

#include <algorithm>

namespace rota {

void MetricFamilies::Gauge(const std::string& name, const std::string& help, double value,
                           Labels labels) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  Add(name, help, prometheus::MetricType::Gauge, std::move(metric), std::move(labels));
}

void MetricFamilies::Counter(const std::string& name, const std::string& help, uint64_t value,
                             Labels labels) {
  Counter(name, help, static_cast<double>(value), std::move(labels));
}

void MetricFamilies::Counter(const std::string& name, const std::string& help, double value,
                             Labels labels) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  Add(name, help, prometheus::MetricType::Counter, std::move(metric), std::move(labels));
}

void MetricFamilies::Add(prometheus::MetricFamily family) {
  if (!family.metric.empty()) {
    families_.push_back(std::move(family));
  }
}

void MetricFamilies::Add(const std::string& name, const std::string& help,
                         prometheus::MetricType type, prometheus::ClientMetric metric,
                         Labels labels) {
  metric.label = std::move(labels);
  auto family =
      std::find_if(families_.begin(), families_.end(),
                   [&name](const prometheus::MetricFamily& each) { return each.name == name; });
  if (family == families_.end()) {
    families_.push_back({name, help, type, {}});
    family = std::prev(families_.end());
  }
  family->metric.push_back(std::move(metric));
}

}  // namespace rota
