#pragma once

// What the mock does instead of answering properly, per model: set by --behavior flags and, while
// it runs, by the control path. "*" is every model without a rule of its own.
//
// Errors: InvalidArgument names the item and the accepted ones.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/published.h"
#include "nlohmann/json_fwd.hpp"

namespace rota::mock_llm {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Behavior {
  int status = 200;
  HeaderList headers;               // added to the answer, successes included
  std::optional<std::string> body;  // instead of the generated one
  std::string content_type;         // of `body`; "" = application/json
  std::string code;                 // error.code of a generated error body; "" = by status
  bool hang = false;                // never answers; the connection stays open
  bool close = false;               // closes the connection instead of answering
  bool reset = false;               // the same with a TCP reset
  Duration delay{};                 // before the first byte of the answer
  std::optional<Duration> chunk_interval;
  std::optional<uint64_t> chunks;
  std::optional<uint64_t> answer_bytes;
  std::optional<uint64_t> cut_after_bytes;     // of the body, then the connection is closed
  std::optional<uint64_t> cut_after_chunks;    // streams: closed after that many events
  std::optional<uint64_t> stall_after_chunks;  // streams: silent after that many events
  std::optional<uint64_t> malformed_chunk;     // streams: this event (from 1) is no JSON
  std::optional<uint64_t> first;               // holds for that many requests only
};

// "429:retry-after=5:first=3", "hang", "cut-after-chunks=2", "403:code=insufficient_quota".
absl::StatusOr<Behavior> ParseBehavior(std::string_view text);
// {"status":429,"headers":{"retry-after":"5"},"first":3}. Durations: seconds or "120ms".
absl::StatusOr<Behavior> BehaviorFromJson(const nlohmann::json& value);
nlohmann::json BehaviorToJson(const Behavior& behavior);

// Thread-safe.
class BehaviorBook {
 public:
  struct Rule {
    explicit Rule(Behavior b) : behavior(std::move(b)), remaining(behavior.first.value_or(0)) {}
    const Behavior behavior;
    std::atomic<uint64_t> remaining;
  };
  using Rules = std::map<std::string, std::shared_ptr<Rule>, std::less<>>;
  using Reader = Published<Rules>::Reader;
  static constexpr size_t kMaxRules = 1000;

  BehaviorBook() : rules_(std::make_shared<const Rules>()) {}
  Reader MakeReader() const { return Reader(rules_); }

  // Each model's rule is replaced; a null behaviour removes it. ResourceExhausted over kMaxRules.
  absl::Status Set(const std::vector<std::pair<std::string, std::optional<Behavior>>>& changes);
  void Clear();
  std::shared_ptr<const Rules> Get() const { return rules_.Get(); }

  // The rule for this request, counted against `first`; null: answer properly. The pointer lives as
  // long as `rules`.
  static const Behavior* Take(const Rules& rules, std::string_view model);

 private:
  std::mutex mutex_;
  Published<Rules> rules_;
};

}  // namespace rota::mock_llm
