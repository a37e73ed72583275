#pragma once

// Per-series storage of the metrics, by the series' or group's id.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/observe/request_metrics.h"

namespace rota::observe {

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

}  // namespace rota::observe
