#pragma once

// What the request path counts. One shard per event loop, written by that loop alone without a lock;
// a scrape sums the shards. Series come from configuration only (SeriesId), never from the request.

#include <cstdint>
#include <memory>
#include <string_view>

#include "common/clock.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

enum class FailoverReason : uint8_t { kQuota, kAuth, kConnect, kTls, kReset, kTimeout, kServerError };
enum class TokenKind : uint8_t { kPrompt, kCompletion, kCached, kReasoning };
// Limits of docs/reference/limits.md that a client or upstream has run into.
enum class Limit : uint8_t {
  kHeadSize, kBodySize, kHeadTime, kBodyTime, kConcurrency, kBodyMemory, kWaiters, kConnections
};

// Owned by one event loop. Calls from that thread only.
class LoopMetrics {
 public:
  virtual ~LoopMetrics() = default;
  // A finished request, once: the status that the client saw (499: the client left first).
  virtual void CountRequest(table::SeriesId series, int status) = 0;
  // A request that matched no API.
  virtual void CountUnmatched(int status) = 0;
  virtual void CountFailover(table::SeriesId from, FailoverReason reason) = 0;
  virtual void CountSuspension(table::SeriesId series, rotation::Reason reason) = 0;
  virtual void CountTokens(table::SeriesId series, TokenKind kind, uint64_t count) = 0;
  virtual void CountLimit(Limit limit) = 0;
  // Histograms, per api and environment of the series.
  virtual void ObserveOverhead(table::SeriesId series, Duration own_time) = 0;
  virtual void ObserveUpstream(table::SeriesId series, Duration time_to_last_byte) = 0;
  virtual void ObserveTimeToFirstToken(table::SeriesId series, Duration time) = 0;
  // Gauges of this loop.
  virtual void AddOpenRequests(int delta) = 0;
  virtual void AddOpenConnections(int delta) = 0;
  virtual void AddUpstreamConnections(int delta) = 0;
};

}  // namespace rota::observe
