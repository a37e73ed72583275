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
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "dataplane/observe/request_metrics.h"

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

struct alignas(64) SeriesCell {
  CodeCounts requests;
  std::array<Counter, 7> failovers;
  std::array<Counter, 4> suspensions;  // by rotation::Reason, which starts at 1
  std::array<Counter, 4> tokens;
  void Reset();
};

inline constexpr size_t kBuckets = 15;
// Upper bounds in nanoseconds.
extern const std::array<int64_t, kBuckets> kOverheadBounds;
extern const std::array<int64_t, kBuckets> kUpstreamBounds;

struct Histogram {
  std::array<Counter, kBuckets + 1> counts;  // the last: over every bound
  Counter sum_ns;
  void Observe(const std::array<int64_t, kBuckets>& bounds, Duration value);
  void Reset();
};

struct alignas(64) GroupCell {
  Histogram overhead;
  Histogram upstream;
  Histogram first_token;
  void Reset();
};

// An array that grows by chunks and never moves. One thread calls At; any may call Find.
template <typename T>
class Chunked {
 public:
  static constexpr size_t kChunk = 1024;
  static constexpr size_t kChunks = RequestMetrics::kMaxSeries / kChunk;

  ~Chunked() {
    for (std::atomic<Chunk*>& chunk : chunks_) {
      delete chunk.load();
    }
  }
  T& At(uint32_t index) {
    std::atomic<Chunk*>& slot = chunks_[index / kChunk];
    Chunk* chunk = slot.load(std::memory_order_relaxed);
    if (chunk == nullptr) {
      chunk = new Chunk;
      slot.store(chunk, std::memory_order_release);
    }
    return (*chunk)[index % kChunk];
  }
  const T* Find(uint32_t index) const {
    const Chunk* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &(*chunk)[index % kChunk];
  }

 private:
  using Chunk = std::array<T, kChunk>;
  std::array<std::atomic<Chunk*>, kChunks> chunks_{};
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

// Label sets and their ids. Thread-safe; GroupOf takes no lock.
class SeriesNames {
 public:
  struct Group {  // what one histogram is for
    std::string api;
    std::string environment;
    friend auto operator<=>(const Group&, const Group&) = default;
  };
  struct Listed {
    uint32_t id = 0;
    std::shared_ptr<const table::SeriesLabels> labels;
  };
  struct ListedGroup {
    uint32_t id = 0;
    std::shared_ptr<const Group> group;
  };
  // Ids whose cells are to be reset: nobody counts on them any more.
  struct Freed {
    std::vector<uint32_t> series;
    std::vector<uint32_t> groups;
  };

  SeriesNames();
  table::SeriesId Intern(const table::SeriesLabels& labels);
  table::SeriesLabels LabelsOf(table::SeriesId series) const;
  uint32_t GroupOf(table::SeriesId series) const;
  Freed Retire(const std::vector<table::SeriesId>& gone, MonotonicTime now);
  std::vector<Listed> ListLive() const;
  std::vector<ListedGroup> ListLiveGroups() const;

 private:
  struct Series {
    std::shared_ptr<const table::SeriesLabels> labels;  // null: the id is free
    uint32_t group = 0;
    bool live = true;
    MonotonicTime removed_at{};
  };
  struct GroupEntry {
    std::shared_ptr<const Group> group;
    uint32_t series = 0;  // that have it
  };
  uint32_t TakeGroup(const table::SeriesLabels& labels);
  void Free(uint32_t id, Freed& freed);

  mutable std::mutex mutex_;
  std::vector<Series> series_;
  std::map<table::SeriesLabels, uint32_t> ids_;
  // In the order in which they went. One that has come back meanwhile has another time of its own.
  std::deque<std::pair<MonotonicTime, uint32_t>> retired_;
  std::vector<uint32_t> free_ids_;
  std::vector<GroupEntry> groups_;
  std::map<Group, uint32_t> group_ids_;
  std::vector<uint32_t> free_groups_;
  Chunked<std::atomic<uint32_t>> group_of_;
};

struct Shard {
  explicit Shard(SeriesNames& n) : names(n) {}
  SeriesCell& Cell(table::SeriesId series) { return series_cells.At(series).Get(); }
  GroupCell& Group(table::SeriesId series) { return group_cells.At(names.GroupOf(series)).Get(); }

  SeriesNames& names;
  Chunked<Lazy<SeriesCell>> series_cells;
  Chunked<Lazy<GroupCell>> group_cells;
  CodeCounts unmatched;
  std::array<Counter, 8> limits;
  std::array<Counter, 2> usage_skipped;
  OneWriter<int64_t> open_requests;
  OneWriter<int64_t> open_connections;
  OneWriter<int64_t> upstream_connections;
  OneWriter<int64_t> held_body_bytes;
};

}  // namespace rota::observe
