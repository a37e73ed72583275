#pragma once

// The load generator: one thread, one epoll, N connections.
//   closed loop   each connection sends its next request when the last answer is complete
//   open loop     requests are due at fixed times; their latency counts from when they were due, so
//                 that a server that stalls is charged for what waited behind the stall (no
//                 coordinated omission)
//   streams       N SSE streams at once; each must end with [DONE] and proper framing. With a rate
//                 all are connected first, then started at that rate: what a connection costs does
//                 not decide how many are open together
//
// Times are nanoseconds. Single-thread.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/load/histogram.h"
#include "common/address.h"
#include "common/clock.h"

namespace rota::bench {

struct LoadOptions {
  HostPort target;
  std::vector<std::string> requests;  // as they go on the wire; taken in turn, at least one
  size_t connections = 64;            // streams: their number
  double rate = 0;  // per second; 0: closed loop; streams: each starts once it is connected
  bool streams = false;
  Duration duration = std::chrono::seconds(5);
  Duration warmup{};                                 // at the start, not counted in latencies
  Duration request_time = std::chrono::seconds(30);  // streams: of the whole run beyond `duration`
  bool tls = false;
  std::string tls_ca_file;  // "" = the system's trust store
  bool tls_skip_verify = false;
  std::string tls_server_name;  // SNI and the name that is verified
  Duration slow{};              // slower answers are listed one by one; 0: none
};

inline constexpr size_t kMaxSlowAnswers = 1000;

struct SlowAnswer {
  MonotonicTime due;
  Duration latency;
};

struct LoadResult {
  uint64_t requests = 0;  // answers that were complete, warm-up included
  double seconds = 0;     // that the run took, warm-up included
  std::map<int, uint64_t> statuses;
  uint64_t steady_successes = 0;           // that came after the warm-up
  double steady_seconds = 0;               // that the run took after it
  std::map<std::string, uint64_t> errors;  // by kind: connect, reset, broken, timeout, tls...
  uint64_t overdue = 0;                    // open loop: still waiting for a connection at the end
  uint64_t retry_after = 0;                // answers that are no success but name a time
  // Of successes. Closed: from send; open: from when due; streams: to the first event.
  Histogram latency;
  Histogram refusal_latency;  // of answers that are no success, from send
  uint64_t slow_count = 0;
  std::vector<SlowAnswer> slow;  // the first kMaxSlowAnswers of them
  Histogram chunk_delay;         // streams, with --stamp-chunks: from the mock's write to our read
  uint64_t streams_finished = 0;
  uint64_t events = 0;
};

// InvalidArgument or Unavailable when the run cannot start; failures of single requests are in the
// result.
absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options, const Clock& clock);

}  // namespace rota::bench
