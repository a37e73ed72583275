#pragma once

// What a long-running program asks of the operating system: signals, CPU share, memory, no core
// dumps.

#include <csignal>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rota {

// Signals as values. REQUIRES: made in main() before any thread starts, so that every thread
// inherits the blocked mask. Also ignores SIGPIPE, which cpp-httplib and OpenSSL leave to us.
class SignalWaiter {
 public:
  SignalWaiter();
  // Blocks until SIGTERM, SIGINT or SIGHUP arrives and returns it. Single-thread.
  int Wait();

 private:
  sigset_t signals_;
};

// The process holds provider keys: neither core files nor core-dump pipes get its memory, and other
// processes of the same user cannot attach. (Sanitizer builds skip this: LeakSanitizer attaches to
// itself.)
void ForbidCoreDumps();

// Gives memory that was freed back to the operating system. malloc keeps what one large job leaves
// between longer-lived allocations for good: a data plane that has taken its first snapshot would
// hold the pieces of that work ever after. Takes about a millisecond, and locks each arena in turn
// meanwhile: for after such a job, not for a request.
void ReturnFreedMemory();

// The value of an environment variable, nullopt when it is not set.
std::optional<std::string> EnvironmentVariable(const std::string& name);

// The name of this host; in a pod that is the pod's.
std::string HostName();

// CPUs that this process may use, at least 1: the quota of its control group (v2), rounded up, and
// the affinity mask, whichever is less.
size_t UsableCpus();

// The quota of a cgroup v2 cpu.max text ("max 100000", "150000 100000") in whole CPUs, rounded up;
// 0 = none.
size_t CpusOfQuota(std::string_view cpu_max);

}  // namespace rota
