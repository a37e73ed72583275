#pragma once

// Label sets of metric series and their ids. There are five and more of them per API, most of which
// are never counted on: they share their words, and nothing else holds a copy.
//
// Thread-safe; GroupOf takes no lock.

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "common/clock.h"
#include "dataplane/observe/chunked.h"
#include "dataplane/observe/word_pool.h"
#include "dataplane/table/route_table.h"

namespace rota::observe {

class SeriesNames {
 public:
  // Ids whose cells are to be reset: nobody counts on them any more.
  struct Freed {
    std::vector<uint32_t> series;
    std::vector<uint32_t> groups;
  };
  // The series of one API and environment share their histograms.
  struct LiveGroup {
    uint32_t id = 0;
    table::SeriesId series = 0;  // one of them
  };

  SeriesNames();
  table::SeriesId Intern(const table::SeriesLabels& labels);
  table::SeriesLabels LabelsOf(table::SeriesId series) const;
  uint32_t GroupOf(table::SeriesId series) const;
  // To be called also with nothing: ids are freed here.
  Freed Retire(const std::vector<table::SeriesId>& gone, MonotonicTime now);
  std::vector<table::SeriesId> ListLive() const;
  std::vector<LiveGroup> ListLiveGroups() const;

 private:
  using Word = WordPool::Word;
  struct Key {
    uint32_t group = 0;
    Word model = nullptr;
    Word target = nullptr;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Key& key) {
      return H::combine(std::move(hash), key.group, key.model, key.target);
    }
  };
  struct Series {
    Key key;  // without words: the id is free
    bool live = true;
    MonotonicTime removed_at{};
    bool is_free() const { return key.model == nullptr; }
  };
  using AllSeries = std::deque<Series>;
  using GroupKey = std::pair<Word, Word>;  // API, environment
  struct Group {
    GroupKey key;
    uint32_t series = 0;  // that have it
  };
  // For a set of ids that is searched by what they stand for.
  struct KeyHash {
    using is_transparent = void;
    const AllSeries* series = nullptr;
    size_t operator()(const Key& key) const { return absl::HashOf(key); }
    size_t operator()(uint32_t id) const { return absl::HashOf((*series)[id].key); }
  };
  struct KeyEqual {
    using is_transparent = void;
    const AllSeries* series = nullptr;
    bool operator()(uint32_t id, uint32_t other) const { return id == other; }
    bool operator()(uint32_t id, const Key& key) const { return (*series)[id].key == key; }
  };

  std::optional<uint32_t> Find(const table::SeriesLabels& labels) const;
  uint32_t TakeGroup(const table::SeriesLabels& labels);
  void ReleaseGroup(uint32_t id, Freed& freed);
  void Add(uint32_t id, const table::SeriesLabels& labels);
  void Free(uint32_t id, Freed& freed);

  mutable std::mutex mutex_;
  WordPool words_;
  AllSeries series_;
  absl::flat_hash_set<uint32_t, KeyHash, KeyEqual> ids_;
  // Those that have gone and not come back, by time: one entry per series at most.
  std::set<std::pair<MonotonicTime, uint32_t>> retired_;
  std::vector<uint32_t> free_ids_;
  std::vector<Group> groups_;
  absl::flat_hash_map<GroupKey, uint32_t> group_ids_;
  std::vector<uint32_t> free_groups_;
  Chunked<std::atomic<uint32_t>> group_of_;
};

}  // namespace rota::observe
