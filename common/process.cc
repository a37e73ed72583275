#include "common/process.h"

#include <malloc.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "common/file.h"

namespace rota {

SignalWaiter::SignalWaiter() {
  std::signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&signals_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

int SignalWaiter::Wait() {
  int signal = 0;
  while (sigwait(&signals_, &signal) != 0) {
  }
  return signal;
}

void ForbidCoreDumps() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
#endif
}

void ReturnFreedMemory() { malloc_trim(0); }

std::string HostName() {
  char name[256] = "rota";
  gethostname(name, sizeof name - 1);
  return name;
}

std::optional<std::string> EnvironmentVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

size_t CpusOfQuota(std::string_view cpu_max) {
  std::istringstream text{std::string(cpu_max)};
  size_t quota = 0;
  size_t period = 0;
  if (!(text >> quota >> period) || period == 0) {
    return 0;
  }
  return std::max<size_t>(1, (quota + period - 1) / period);
}

size_t UsableCpus() {
  cpu_set_t affinity;
  CPU_ZERO(&affinity);
  size_t cpus = 1;
  if (sched_getaffinity(0, sizeof affinity, &affinity) == 0) {
    cpus = static_cast<size_t>(std::max(1, CPU_COUNT(&affinity)));
  }
  if (const auto cpu_max = ReadFile("/sys/fs/cgroup/cpu.max", 4096); cpu_max.ok()) {
    if (const size_t quota = CpusOfQuota(*cpu_max); quota != 0) {
      cpus = std::min(cpus, quota);
    }
  }
  return cpus;
}

}  // namespace rota
