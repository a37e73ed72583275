#include "dataplane/observe/request_metrics.h"

#include <algorithm>
#include <functional>
#include <string>

#include "dataplane/observe/shard.h"

namespace rota::observe {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNanosecondsPerSecond = 1e9;

template <typename Enum>
size_t Index(Enum value) {
  return static_cast<size_t>(value);
}

ClientMetric WithLabels(const table::SeriesLabels& labels) {
  ClientMetric metric;
  metric.label = {{"api", labels.api},
                  {"environment", labels.environment},
                  {"model", labels.model},
                  {"target", labels.target}};
  return metric;
}

// What one scrape puts together for one series.
struct SeriesSums {
  std::map<int, uint64_t> requests;
  std::array<uint64_t, 7> failovers{};
  std::array<uint64_t, 4> suspensions{};
  std::array<uint64_t, 4> tokens{};

  void Add(const SeriesCell& cell) {
    cell.requests.AddTo(requests);
    for (size_t i = 0; i < failovers.size(); ++i) {
      failovers[i] += cell.failovers[i].Get();
    }
    for (size_t i = 0; i < suspensions.size(); ++i) {
      suspensions[i] += cell.suspensions[i].Get();
      tokens[i] += cell.tokens[i].Get();
    }
  }
};

struct Families {
  MetricFamily requests{
      "rota_requests_total",
      "Finished requests by the status that the client saw (499: the client left first); "
      "without an api: no API matched.",
      MetricType::Counter,
      {}};
  MetricFamily failovers{"rota_failovers_total",
                         "Tries that were repeated on another target.",
                         MetricType::Counter,
                         {}};
  MetricFamily suspensions{"rota_suspensions_total",
                           "Suspensions that this process decided, by the target suspended.",
                           MetricType::Counter,
                           {}};
  MetricFamily tokens{
      "rota_tokens_total", "Tokens that upstreams reported as used.", MetricType::Counter, {}};

  static void AddCount(MetricFamily& family, const table::SeriesLabels& labels, const char* name,
                       std::string value, uint64_t count) {
    if (count == 0) {
      return;  // series appear on first use
    }
    ClientMetric& metric = family.metric.emplace_back(WithLabels(labels));
    metric.label.push_back({name, std::move(value)});
    metric.counter.value = static_cast<double>(count);
  }

  void Add(const table::SeriesLabels& labels, const SeriesSums& sums) {
    for (const auto& [code, count] : sums.requests) {
      AddCount(requests, labels, "code", std::to_string(code), count);
    }
    for (size_t i = 0; i < sums.failovers.size(); ++i) {
      AddCount(failovers, labels, "reason",
               std::string(FailoverReasonName(static_cast<FailoverReason>(i))), sums.failovers[i]);
    }
    for (size_t i = 1; i < sums.suspensions.size(); ++i) {
      AddCount(suspensions, labels, "reason",
               std::string(rotation::ReasonName(static_cast<rotation::Reason>(i))),
               sums.suspensions[i]);
    }
    for (size_t i = 0; i < sums.tokens.size(); ++i) {
      AddCount(tokens, labels, "kind", std::string(TokenKindName(static_cast<TokenKind>(i))),
               sums.tokens[i]);
    }
  }
};

struct HistogramKind {
  const char* name;
  const char* help;
  const std::array<int64_t, kBuckets>& bounds;
  Histogram GroupCell::*member;
};

const std::array<HistogramKind, 3>& HistogramKinds() {
  static const std::array<HistogramKind, 3> kinds = {{
      {"rota_overhead_seconds", "Time that the gateway itself added to a request.", kOverheadBounds,
       &GroupCell::overhead},
      {"rota_upstream_seconds",
       "Time from sending a request upstream to the last byte of its answer.", kUpstreamBounds,
       &GroupCell::upstream},
      {"rota_time_to_first_token_seconds",
       "Of streams: time from the request to the first event of its answer.", kUpstreamBounds,
       &GroupCell::first_token},
  }};
  return kinds;
}

// The sum of one histogram over the shards; no family entry while it is empty.
void AddHistogram(MetricFamily& family, const HistogramKind& kind,
                  const table::SeriesLabels& labels, const std::vector<const GroupCell*>& cells) {
  std::array<uint64_t, kBuckets + 1> counts{};
  uint64_t sum_ns = 0;
  for (const GroupCell* cell : cells) {
    const Histogram& histogram = cell->*kind.member;
    for (size_t i = 0; i < counts.size(); ++i) {
      counts[i] += histogram.counts[i].Get();
    }
    sum_ns += histogram.sum_ns.Get();
  }
  ClientMetric metric;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    cumulative += counts[i];
    metric.histogram.bucket.push_back(
        {cumulative, static_cast<double>(kind.bounds[i]) / kNanosecondsPerSecond});
  }
  metric.histogram.sample_count = cumulative + counts[kBuckets];
  metric.histogram.sample_sum = static_cast<double>(sum_ns) / kNanosecondsPerSecond;
  if (metric.histogram.sample_count > 0) {
    metric.label = {{"api", labels.api}, {"environment", labels.environment}};
    family.metric.push_back(std::move(metric));
  }
}

}  // namespace

std::string_view FailoverReasonName(FailoverReason reason) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "quota", "auth", "connect", "tls", "reset", "timeout", "server_error"};
  return kNames[Index(reason)];
}

std::string_view TokenKindName(TokenKind kind) {
  static constexpr std::array<std::string_view, 4> kNames = {"prompt", "completion", "cached",
                                                             "reasoning"};
  return kNames[Index(kind)];
}

std::string_view UsageSkippedName(UsageSkipped reason) {
  static constexpr std::array<std::string_view, 2> kNames = {"coding", "damaged"};
  return kNames[Index(reason)];
}

std::string_view ProviderWordName(ProviderWord kind) {
  static constexpr std::array<std::string_view, 2> kNames = {"finish_reason", "event"};
  return kNames[Index(kind)];
}

std::string_view LimitName(Limit limit) {
  static constexpr std::array<std::string_view, kLimits> kNames = {
      "head_size",   "body_size", "head_time",   "body_time", "concurrency",
      "body_memory", "waiters",   "connections", "queue_wait"};
  return kNames[Index(limit)];
}

LoopMetrics::LoopMetrics(SeriesNames& names) : shard_(std::make_unique<Shard>(names)) {}
LoopMetrics::~LoopMetrics() = default;

void LoopMetrics::Prepare(table::SeriesId series) {
  const SeriesCell& cell = shard_->Cell(series);
  const GroupCell& group = shard_->Group(series);
  __builtin_prefetch(&cell, /*rw=*/1);
  __builtin_prefetch(&group.overhead, 1);
  __builtin_prefetch(&group.upstream, 1);
}
void LoopMetrics::CountRequest(table::SeriesId series, int status) {
  shard_->Cell(series).requests.Add(status);
}
void LoopMetrics::CountUnmatched(int status) { shard_->unmatched.Add(status); }
void LoopMetrics::CountFailover(table::SeriesId from, FailoverReason reason) {
  shard_->Cell(from).failovers[Index(reason)].Add(1);
}
void LoopMetrics::CountSuspension(table::SeriesId series, rotation::Reason reason) {
  shard_->Cell(series).suspensions[Index(reason)].Add(1);
}
void LoopMetrics::CountTokens(table::SeriesId series, TokenKind kind, uint64_t count) {
  shard_->Cell(series).tokens[Index(kind)].Add(count);
}
void LoopMetrics::CountUsageSkipped(UsageSkipped reason) {
  shard_->usage_skipped[Index(reason)].Add(1);
}
void LoopMetrics::CountUnknownWord(const Provider& provider, ProviderWord kind) {
  const auto row = static_cast<size_t>(&provider - Providers().data());
  shard_->unknown_words[row][Index(kind)].Add(1);
}
void LoopMetrics::CountLimit(Limit limit) { shard_->limits[Index(limit)].Add(1); }
void LoopMetrics::ObserveOverhead(table::SeriesId series, Duration own_time) {
  shard_->Group(series).overhead.Observe(kOverheadBounds, own_time);
}
void LoopMetrics::ObserveUpstream(table::SeriesId series, Duration time_to_last_byte) {
  shard_->Group(series).upstream.Observe(kUpstreamBounds, time_to_last_byte);
}
void LoopMetrics::ObserveTimeToFirstToken(table::SeriesId series, Duration time) {
  shard_->Group(series).first_token.Observe(kUpstreamBounds, time);
}
void LoopMetrics::AddOpenRequests(int delta) { shard_->open_requests.Add(delta); }
void LoopMetrics::AddOpenConnections(int delta) { shard_->open_connections.Add(delta); }
void LoopMetrics::AddUpstreamConnections(int delta) { shard_->upstream_connections.Add(delta); }
void LoopMetrics::AddHeldBodyBytes(int64_t delta) { shard_->held_body_bytes.Add(delta); }
void LoopMetrics::SetQueueWait(Duration wait) { shard_->queue_wait_ns.Set(wait.count()); }

RequestMetrics::RequestMetrics(size_t loops, const Clock& clock)
    : clock_(clock), names_(std::make_unique<SeriesNames>()) {
  for (size_t i = 0; i < loops; ++i) {
    loops_.push_back(std::unique_ptr<LoopMetrics>(new LoopMetrics(*names_)));
  }
}

RequestMetrics::~RequestMetrics() = default;

std::vector<LoopMetrics*> RequestMetrics::loops() const {
  std::vector<LoopMetrics*> all;
  for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
    all.push_back(loop.get());
  }
  return all;
}

table::SeriesId RequestMetrics::Intern(const table::SeriesLabels& labels) {
  return names_->Intern(labels);
}

table::SeriesLabels RequestMetrics::LabelsOf(table::SeriesId series) const {
  return names_->LabelsOf(series);
}

void RequestMetrics::Retire(const std::vector<table::SeriesId>& series) {
  const SeriesNames::Freed freed = names_->Retire(series, clock_.Now());
  // Nobody has counted on these for kReuseAfter: zeros from this thread disturb no loop.
  for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
    for (const uint32_t id : freed.series) {
      if (const Lazy<SeriesCell>* cell = loop->shard_->series_cells.Find(id);
          cell != nullptr && cell->cell != nullptr) {
        cell->cell.load()->Reset();
      }
    }
    for (const uint32_t id : freed.groups) {
      if (const Lazy<GroupCell>* cell = loop->shard_->group_cells.Find(id);
          cell != nullptr && cell->cell != nullptr) {
        cell->cell.load()->Reset();
      }
    }
  }
}

std::vector<MetricFamily> RequestMetrics::Collect() const {
  Families families;
  std::map<int, uint64_t> unmatched;
  std::array<uint64_t, kLimits> limits{};
  std::array<uint64_t, 2> usage_skipped{};
  int64_t held_body_bytes = 0;
  int64_t queue_wait_ns = 0;
  int64_t open_requests = 0;
  int64_t open_connections = 0;
  int64_t upstream_connections = 0;
  for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
    const Shard& shard = *loop->shard_;
    shard.unmatched.AddTo(unmatched);
    for (size_t i = 0; i < limits.size(); ++i) {
      limits[i] += shard.limits[i].Get();
    }
    for (size_t i = 0; i < usage_skipped.size(); ++i) {
      usage_skipped[i] += shard.usage_skipped[i].Get();
    }
    held_body_bytes += shard.held_body_bytes.Get();
    queue_wait_ns = std::max(queue_wait_ns, shard.queue_wait_ns.Get());
    open_requests += shard.open_requests.Get();
    open_connections += shard.open_connections.Get();
    upstream_connections += shard.upstream_connections.Get();
  }
  families.Add(table::SeriesLabels{}, SeriesSums{unmatched, {}, {}, {}});
  for (const table::SeriesId id : names_->ListLive()) {
    SeriesSums sums;
    bool is_used = false;
    for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
      const Lazy<SeriesCell>* lazy = loop->shard_->series_cells.Find(id);
      if (const SeriesCell* cell =
              lazy == nullptr ? nullptr : lazy->cell.load(std::memory_order_acquire)) {
        sums.Add(*cell);
        is_used = true;
      }
    }
    if (is_used) {
      families.Add(names_->LabelsOf(id), sums);
    }
  }
  MetricFamilies all;
  all.Add(std::move(families.requests));
  all.Add(std::move(families.failovers));
  all.Add(std::move(families.suspensions));
  all.Add(std::move(families.tokens));
  AddHistograms(all);
  for (size_t i = 0; i < limits.size(); ++i) {
    all.Counter("rota_limits_reached_total", "Requests or connections that ran into a limit.",
                limits[i], {{"limit", std::string(LimitName(static_cast<Limit>(i)))}});
  }
  for (size_t i = 0; i < usage_skipped.size(); ++i) {
    all.Counter("rota_usage_skipped_total", "Compressed answers whose token usage was not read.",
                usage_skipped[i],
                {{"reason", std::string(UsageSkippedName(static_cast<UsageSkipped>(i)))}});
  }
  AddUnknownWords(all);
  const auto add_gauge = [&all](const char* name, const char* help, int64_t value) {
    all.Gauge(name, help, static_cast<double>(value));
  };
  add_gauge("rota_open_requests", "Requests that are being served.", open_requests);
  add_gauge("rota_open_connections", "Client connections.", open_connections);
  add_gauge("rota_upstream_connections", "Connections to upstreams, idle ones included.",
            upstream_connections);
  add_gauge("rota_held_body_bytes", "Request bodies in memory.", held_body_bytes);
  all.Gauge("rota_queue_wait_seconds",
            "How long an event waited before its thread came to it, last time this was measured; "
            "of the slowest thread.",
            static_cast<double>(queue_wait_ns) / kNanosecondsPerSecond);
  return all.Take();
}

void RequestMetrics::AddUnknownWords(MetricFamilies& all) const {
  for (size_t row = 0; row < Providers().size(); ++row) {
    for (const ProviderWord kind : {ProviderWord::kFinishReason, ProviderWord::kEvent}) {
      uint64_t count = 0;
      for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
        count += loop->shard_->unknown_words[row][Index(kind)].Get();
      }
      if (count > 0) {
        all.Counter("rota_unknown_provider_words_total",
                    "Words in answers of providers that no table knows.", count,
                    {{"provider", std::string(Providers()[row].name)},
                     {"kind", std::string(ProviderWordName(kind))}});
      }
    }
  }
}

void RequestMetrics::AddHistograms(MetricFamilies& all) const {
  const std::vector<SeriesNames::LiveGroup> groups = names_->ListLiveGroups();
  for (const HistogramKind& kind : HistogramKinds()) {
    MetricFamily family{kind.name, kind.help, MetricType::Histogram, {}};
    for (const SeriesNames::LiveGroup& group : groups) {
      std::vector<const GroupCell*> cells;
      for (const std::unique_ptr<LoopMetrics>& loop : loops_) {
        const Lazy<GroupCell>* lazy = loop->shard_->group_cells.Find(group.id);
        if (const GroupCell* cell =
                lazy == nullptr ? nullptr : lazy->cell.load(std::memory_order_acquire)) {
          cells.push_back(cell);
        }
      }
      if (!cells.empty()) {
        AddHistogram(family, kind, names_->LabelsOf(group.series), cells);
      }
    }
    all.Add(std::move(family));
  }
}

}  // namespace rota::observe
