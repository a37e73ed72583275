#include "tests/support/mock_llm/recorder.h"

#include <algorithm>

#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOpen:
      return "open";
    case Outcome::kFinished:
      return "finished";
    case Outcome::kCut:
      return "cut";
    case Outcome::kClientGone:
      return "client_gone";
  }
  return "";
}

nlohmann::json RecordToJson(const RequestRecord& record) {
  nlohmann::json headers = nlohmann::json::array();
  for (const auto& [name, value] : record.headers) {
    headers.push_back({name, value});
  }
  return {{"number", record.number},
          {"method", record.method},
          {"target", record.target},
          {"model", record.model},
          {"headers", std::move(headers)},
          {"body", record.body},
          {"status", record.status},
          {"body_bytes", record.body_bytes},
          {"outcome", OutcomeName(record.outcome)}};
}

}  // namespace

RecorderShard::Counts& RecorderShard::CountsOf(std::string_view model) {
  const auto found = counts_.find(model);
  if (found != counts_.end()) {
    return found->second;
  }
  return counts_[counts_.size() < kMaxCountedModels ? std::string(model) : "(other)"];
}

uint64_t RecorderShard::Begin(std::string_view model, int status, RequestRecord&& record) {
  std::lock_guard guard(mutex_);
  Counts& counts = CountsOf(model);
  ++counts.requests;
  ++counts.open;
  ++counts.statuses[status];
  if (keep_ == 0) {
    return 0;
  }
  if (kept_.size() == keep_) {
    kept_.pop_front();
    ++first_slot_;
  }
  kept_.push_back(std::move(record));
  return first_slot_ + kept_.size() - 1;
}

void RecorderShard::End(std::string_view model, uint64_t slot, Outcome outcome) {
  std::lock_guard guard(mutex_);
  Counts& counts = CountsOf(model);
  counts.open -= counts.open > 0 ? 1 : 0;  // Clear() may have come between
  counts.cut += outcome == Outcome::kCut ? 1 : 0;
  counts.client_gone += outcome == Outcome::kClientGone ? 1 : 0;
  if (slot >= first_slot_ && slot - first_slot_ < kept_.size()) {
    kept_[slot - first_slot_].outcome = outcome;
  }
}

void RecorderShard::Clear() {
  std::lock_guard guard(mutex_);
  // Requests that are still open stay counted as open: they will end later.
  for (auto entry = counts_.begin(); entry != counts_.end();) {
    const uint64_t open = entry->second.open;
    entry->second = Counts{};
    entry->second.open = open;
    entry = open == 0 ? counts_.erase(entry) : std::next(entry);
  }
  first_slot_ += kept_.size();
  kept_.clear();
}

nlohmann::json RecordsToJson(const std::vector<RecorderShard*>& shards, size_t limit) {
  std::map<std::string, RecorderShard::Counts> sums;
  std::vector<RequestRecord> records;
  uint64_t total = 0;
  for (RecorderShard* shard : shards) {
    std::lock_guard guard(shard->mutex_);
    for (const auto& [model, counts] : shard->counts_) {
      RecorderShard::Counts& sum = sums[model];
      sum.requests += counts.requests;
      sum.open += counts.open;
      sum.cut += counts.cut;
      sum.client_gone += counts.client_gone;
      total += counts.requests;
      for (const auto& [status, count] : counts.statuses) {
        sum.statuses[status] += count;
      }
    }
    records.insert(records.end(), shard->kept_.begin(), shard->kept_.end());
  }
  std::sort(records.begin(), records.end(),
            [](const RequestRecord& a, const RequestRecord& b) { return a.number < b.number; });
  nlohmann::json models = nlohmann::json::object();
  for (const auto& [model, sum] : sums) {
    nlohmann::json statuses = nlohmann::json::object();
    for (const auto& [status, count] : sum.statuses) {
      statuses[std::to_string(status)] = count;
    }
    models[model] = {{"requests", sum.requests},
                     {"open", sum.open},
                     {"cut", sum.cut},
                     {"client_gone", sum.client_gone},
                     {"statuses", std::move(statuses)}};
  }
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = records.size() > limit ? records.size() - limit : 0; i < records.size(); ++i) {
    list.push_back(RecordToJson(records[i]));
  }
  return {{"total", total}, {"models", std::move(models)}, {"requests", std::move(list)}};
}

}  // namespace rota::mock_llm
