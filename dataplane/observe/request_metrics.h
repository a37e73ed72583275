#pragma once

// What the request path counts. One shard (LoopMetrics) per event loop, written by that loop alone
// without a lock or an atomic read-modify-write; a scrape sums the shards. Series come from
// configuration only (SeriesId), never from the request. Names and labels:
// docs/reference/metrics.md.

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/metric_families.h"
#include "common/provider_catalog.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

enum class FailoverReason : uint8_t {
  kQuota,
  kAuth,
  kConnect,
  kTls,
  kReset,
  kTimeout,
  kServerError
};
enum class TokenKind : uint8_t { kPrompt, kCompletion, kCached, kReasoning };
// Limits of docs/reference/limits.md that a client or upstream has run into.
enum class Limit : uint8_t {
  kHeadSize,
  kBodySize,
  kHeadTime,
  kBodyTime,
  kConcurrency,
  kBodyMemory,
  kWaiters,
  kConnections,
  kQueueWait
};

// Why the token usage of a compressed answer was not read.
enum class UsageSkipped : uint8_t {
  kCoding,   // neither gzip nor identity
  kDamaged,  // no gzip although it says so, cut short, or too large
};

// What a provider has said that no table knows.
enum class ProviderWord : uint8_t { kFinishReason, kEvent };

// Label values: "quota", "connect", "server_error"; "prompt"; "head_size"; "coding";
// "finish_reason".
std::string_view FailoverReasonName(FailoverReason reason);
std::string_view TokenKindName(TokenKind kind);
std::string_view LimitName(Limit limit);
std::string_view UsageSkippedName(UsageSkipped reason);
std::string_view ProviderWordName(ProviderWord kind);

struct Shard;
class SeriesNames;

// Owned by one event loop. Calls from that thread only; none allocates but for the first of a
// series.
class LoopMetrics {
 public:
  ~LoopMetrics();
  LoopMetrics(const LoopMetrics&) = delete;
  LoopMetrics& operator=(const LoopMetrics&) = delete;

  // A request of `series` is about to be counted: what that writes to is fetched meanwhile.
  void Prepare(table::SeriesId series);
  // A finished request, once: the status that the client saw (499: the client left first).
  void CountRequest(table::SeriesId series, int status);
  // A request that matched no API.
  void CountUnmatched(int status);
  void CountFailover(table::SeriesId from, FailoverReason reason);
  void CountSuspension(table::SeriesId series, rotation::Reason reason);
  void CountTokens(table::SeriesId series, TokenKind kind, uint64_t count);
  void CountUsageSkipped(UsageSkipped reason);
  // `provider`: a row of Providers().
  void CountUnknownWord(const Provider& provider, ProviderWord kind);
  void CountLimit(Limit limit);
  // Histograms, per api and environment of the series.
  void ObserveOverhead(table::SeriesId series, Duration own_time);
  void ObserveUpstream(table::SeriesId series, Duration time_to_last_byte);
  void ObserveTimeToFirstToken(table::SeriesId series, Duration time);
  // Gauges of this loop.
  void AddOpenRequests(int delta);
  void AddOpenConnections(int delta);
  void AddUpstreamConnections(int delta);
  void AddHeldBodyBytes(int64_t delta);
  void SetQueueWait(Duration wait);

 private:
  friend class RequestMetrics;
  explicit LoopMetrics(SeriesNames& names);
  std::unique_ptr<Shard> shard_;
};

// All shards and the names of their series. Thread-safe. Must outlive the loops.
class RequestMetrics final : public prometheus::Collectable {
 public:
  // More label sets than this share one series with the api "(other)".
  static constexpr size_t kMaxSeries = size_t{1} << 20;
  // A series that is no longer configured leaves the output at once; its id is given to another one
  // only after this time, when no request of the old snapshot counts any more.
  static constexpr Duration kReuseAfter = std::chrono::hours(1);

  RequestMetrics(size_t loops, const Clock& clock);
  ~RequestMetrics() override;

  LoopMetrics& loop(size_t index) { return *loops_[index]; }
  // One per loop, as EngineContext wants them.
  std::vector<LoopMetrics*> loops() const;

  // The id of a label set; the same one as long as it stays configured. What table::BuilderOptions
  // wants.
  table::SeriesId Intern(const table::SeriesLabels& labels);
  table::SeriesLabels LabelsOf(table::SeriesId series) const;
  // Series that the published table no longer uses: they leave the output.
  void Retire(const std::vector<table::SeriesId>& series);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  void AddHistograms(MetricFamilies& all) const;
  void AddUnknownWords(MetricFamilies& all) const;

  const Clock& clock_;
  std::unique_ptr<SeriesNames> names_;
  std::vector<std::unique_ptr<LoopMetrics>> loops_;
};

}  // namespace rota::observe
