#include "common/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <string>

#include "common/file.h"
#include "common/version.h"

namespace rota {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily One(const char* name, const char* help, MetricType type, double value) {
  MetricFamily family{name, help, type, {}};
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return family;
}

// The fields of /proc/self/stat that follow the command in parentheses; [0] is the state. Empty on
// failure.
std::vector<double> StatFields() {
  std::vector<double> fields;
  const absl::StatusOr<std::string> text = ReadFile("/proc/self/stat", 4096);
  if (!text.ok() || text->rfind(')') == std::string::npos) {
    return fields;
  }
  std::istringstream rest(text->substr(text->rfind(')') + 2));
  std::string word;
  while (rest >> word) {
    fields.push_back(std::atof(word.c_str()));
  }
  return fields;
}

double BootTime() {
  const absl::StatusOr<std::string> text = ReadFile("/proc/stat", 1 << 20);
  const size_t at = text.ok() ? text->find("\nbtime ") : std::string::npos;
  return at == std::string::npos ? 0 : std::atof(text->c_str() + at + 7);
}

double OpenDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) {
    return 0;
  }
  double count = -3;  // ".", ".." and the one of this folder
  while (readdir(folder) != nullptr) {
    ++count;
  }
  closedir(folder);
  return count;
}

}  // namespace

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  std::vector<MetricFamily> all;
  MetricFamily build{"rota_build_info", "The version that runs; always 1.", MetricType::Gauge, {}};
  prometheus::ClientMetric& metric = build.metric.emplace_back();
  metric.label = {{"commit", std::string(Commit())}, {"version", std::string(Version())}};
  metric.gauge.value = 1;
  all.push_back(std::move(build));

  const std::vector<double> stat = StatFields();
  if (stat.size() > 21) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
    all.push_back(One("process_cpu_seconds_total", "User and system CPU time spent in seconds.",
                      MetricType::Counter, (stat[11] + stat[12]) / ticks));
    all.push_back(One("process_threads", "Threads of the process.", MetricType::Gauge, stat[17]));
    all.push_back(One("process_start_time_seconds",
                      "Start time of the process since the Unix epoch in seconds.",
                      MetricType::Gauge, BootTime() + stat[19] / ticks));
    all.push_back(One("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                      MetricType::Gauge, stat[20]));
    all.push_back(One("process_resident_memory_bytes", "Resident memory size in bytes.",
                      MetricType::Gauge, stat[21] * page));
  }
  all.push_back(
      One("process_open_fds", "Open file descriptors.", MetricType::Gauge, OpenDescriptors()));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    all.push_back(One("process_max_fds", "Most file descriptors that may be open.",
                      MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
  return all;
}

}  // namespace rota
