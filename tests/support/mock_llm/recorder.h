#pragma once

// What has reached the mock: counts per model and the last requests in full, so that a test can see
// what a gateway sent upstream. One shard per loop: its mutex is contended only while somebody
// asks.

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "tests/support/mock_llm/behavior.h"

namespace rota::mock_llm {

enum class Outcome : uint8_t { kOpen, kFinished, kCut, kClientGone };

struct RequestRecord {
  uint64_t number = 0;  // order of arrival over all loops
  std::string method;
  std::string target;
  HeaderList headers;  // as they came, duplicates and case included
  std::string body;    // the first kMaxRecordedBody bytes
  uint64_t body_bytes = 0;
  std::string model;
  int status = 0;
  Outcome outcome = Outcome::kOpen;
};

inline constexpr size_t kMaxRecordedBody = 64 << 10;
inline constexpr size_t kMaxCountedModels = 1000;  // more are counted as "(other)"

// Thread-safe.
class RecorderShard {
 public:
  // `keep`: how many requests are kept in full.
  explicit RecorderShard(size_t keep) : keep_(keep) {}

  bool keeps_requests() const { return keep_ > 0; }
  // A request has come; `record` is taken only when requests are kept. Returns what End needs.
  uint64_t Begin(std::string_view model, int status, RequestRecord&& record);
  void End(std::string_view model, uint64_t slot, Outcome outcome);
  void Clear();

 private:
  friend nlohmann::json RecordsToJson(const std::vector<RecorderShard*>& shards, size_t limit);
  struct Counts {
    uint64_t requests = 0;
    uint64_t open = 0;
    uint64_t cut = 0;
    uint64_t client_gone = 0;
    std::map<int, uint64_t> statuses;
  };
  Counts& CountsOf(std::string_view model);

  std::mutex mutex_;
  const size_t keep_;
  std::map<std::string, Counts, std::less<>> counts_;
  std::deque<RequestRecord> kept_;
  uint64_t first_slot_ = 0;  // slot of kept_.front()
};

// {"total":N,"models":{MODEL:{"requests":..,"open":..,"client_gone":..,"cut":..,"statuses":{"200":..}}},
//  "requests":[the last `limit`, oldest first]}
nlohmann::json RecordsToJson(const std::vector<RecorderShard*>& shards, size_t limit);

}  // namespace rota::mock_llm
