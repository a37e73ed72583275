#pragma once

// The memory behind LoopMetrics: counters with one writer (the loop) and any number of readers
// (scrapes). Private to the .cc files of request_metrics.
//
// Counters are atomics that only their loop changes, by a plain load and store: no locked
// instruction on the request path, no tearing for the reader. Cells are made on first use by the
// loop and freed with it.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "common/clock.h"
#include "dataplane/observe/chunked.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/observe/series_names.h"

namespace rota::observe {

template <typename T>
class OneWriter {
 public:
  void Add(T delta) {
    value_.store(value_.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
  }
  void Set(T value) { value_.store(value, std::memory_order_relaxed); }
  T Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_{0};
};
using Counter = OneWriter<uint64_t>;

// Counts per status code. Most series see two or three codes; more of them chain another node.
class CodeCounts {
 public:
  ~CodeCounts();
  void Add(int code);
  void AddTo(std::map<int, uint64_t>& sums) const;
  void Reset();

 private:
  static constexpr size_t kSlots = 6;
  std::array<OneWriter<int>, kSlots> codes_;  // 0: free
  std::array<Counter, kSlots> counts_;
  std::atomic<CodeCounts*> more_{nullptr};
};

// What a usual request counts stands in one cache line.
struct alignas(64) SeriesCell {
  std::array<Counter, 4> tokens;
  CodeCounts requests;
  std::array<Counter, 7> failovers;
  std::array<Counter, 4> suspensions;  // by rotation::Reason, which starts at 1
  void Reset();
};

inline constexpr size_t kBuckets = 15;
// Upper bounds in nanoseconds.
extern const std::array<int64_t, kBuckets> kOverheadBounds;
extern const std::array<int64_t, kBuckets> kUpstreamBounds;

struct Histogram {
  Counter sum_ns;
  std::array<Counter, kBuckets + 1> counts;  // the last: over every bound
  void Observe(const std::array<int64_t, kBuckets>& bounds, Duration value);
  void Reset();
};

struct alignas(64) GroupCell {
  Histogram overhead;
  Histogram upstream;
  Histogram first_token;
  void Reset();
};

// A pointer to a cell that its loop makes on first use.
template <typename T>
struct Lazy {
  std::atomic<T*> cell{nullptr};
  ~Lazy() { delete cell.load(); }
  T& Get() {
    T* found = cell.load(std::memory_order_relaxed);
    if (found == nullptr) {
      found = new T;
      cell.store(found, std::memory_order_release);
    }
    return *found;
  }
};

inline constexpr size_t kLimits = static_cast<size_t>(Limit::kQueueWait) + 1;

struct Shard {
  explicit Shard(SeriesNames& n) : names(n) {}
  SeriesCell& Cell(table::SeriesId series) { return series_cells.At(series).Get(); }
  GroupCell& Group(table::SeriesId series) { return group_cells.At(names.GroupOf(series)).Get(); }

  SeriesNames& names;
  Chunked<Lazy<SeriesCell>> series_cells;
  Chunked<Lazy<GroupCell>> group_cells;
  CodeCounts unmatched;
  std::array<Counter, kLimits> limits;
  std::array<Counter, 2> usage_skipped;
  // By row of Providers() and ProviderWord.
  std::vector<std::array<Counter, 2>> unknown_words =
      std::vector<std::array<Counter, 2>>(Providers().size());
  OneWriter<int64_t> open_requests;
  OneWriter<int64_t> open_connections;
  OneWriter<int64_t> upstream_connections;
  OneWriter<int64_t> held_body_bytes;
  OneWriter<int64_t> queue_wait_ns;
};

}  // namespace rota::observe
