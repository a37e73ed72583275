#include "common/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <string>

#include "common/file.h"
#include "common/metric_families.h"
#include "common/version.h"

namespace rota {
namespace {

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

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  MetricFamilies families;
  families.Gauge("rota_build_info", "The version that runs; always 1.", 1,
                 {{"commit", std::string(Commit())}, {"version", std::string(Version())}});
  const std::vector<double> stat = StatFields();
  if (stat.size() > 21) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
    families.Counter("process_cpu_seconds_total", "User and system CPU time spent in seconds.",
                     (stat[11] + stat[12]) / ticks);
    families.Gauge("process_threads", "Threads of the process.", stat[17]);
    families.Gauge("process_start_time_seconds",
                   "Start time of the process since the Unix epoch in seconds.",
                   BootTime() + stat[19] / ticks);
    families.Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat[20]);
    families.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
                   stat[21] * page);
  }
  families.Gauge("process_open_fds", "Open file descriptors.", OpenDescriptors());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.Gauge("process_max_fds", "Most file descriptors that may be open.",
                   static_cast<double>(limit.rlim_cur));
  }
  return families.Take();
}

}  // namespace rota
