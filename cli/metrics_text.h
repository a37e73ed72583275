#pragma once

// The Prometheus text format, as far as Rota's programs write it. Pure. Thread-safe (a function
// without state).

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rota::cli {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};
using Samples = std::vector<Sample>;

// Lines that are no samples (comments, anything else) are passed over.
Samples ParseMetrics(std::string_view text);

}  // namespace rota::cli
