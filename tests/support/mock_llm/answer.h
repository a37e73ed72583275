#pragma once

// What the mock says: one request in, one answer out, in the shapes of the OpenAI API. Usage counts
// are deterministic: prompt tokens = bytes of the prompt / 4 (rounded up), completion tokens =
// words of the answer.
//
// Pure. Thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "tests/support/mock_llm/behavior.h"

namespace rota::mock_llm {

struct AnswerOptions {
  std::string name = "rota-mock-llm";  // system_fingerprint: tells several mocks apart
  std::vector<std::string> models;     // empty: any model is accepted
  uint64_t answer_bytes = 64;          // of the completion text
  uint64_t chunks = 8;                 // content events of a stream
  Duration chunk_interval{};
  bool stamp_chunks =
      false;                // system_fingerprint of an event = "t=<monotonic ns when it was sent>"
  std::string require_key;  // "" = none
};

struct RequestView {
  std::string_view method;
  std::string_view path;  // without query
  std::string_view body;
  std::string_view api_key;  // as found in Authorization (without "Bearer "), api-key or x-api-key
};

// The events of one stream, made one by one: 5,000 open streams must not hold 5,000 whole answers.
class EventSource {
 public:
  virtual ~EventSource() = default;
  // The next event, "data: ...\n\n"; "" after the last one. `now` is used for stamps.
  virtual std::string Next(MonotonicTime now) = 0;
};

struct Answer {
  int status = 200;
  std::string model;  // what was asked for, "" when unknown
  std::string content_type = "application/json";
  HeaderList headers;
  std::string body;                     // without `events`
  std::unique_ptr<EventSource> events;  // a stream
  // How it is sent.
  bool hang = false;
  bool close = false;
  bool reset = false;
  Duration delay{};
  Duration chunk_interval{};
  std::optional<uint64_t> cut_after_bytes;
  std::optional<uint64_t> cut_after_chunks;
  std::optional<uint64_t> stall_after_chunks;
};

// `request_number` becomes part of the answer's id, `created` its time in Unix seconds.
Answer MakeAnswer(const AnswerOptions& options, const BehaviorBook::Rules& rules,
                  const RequestView& request, uint64_t request_number, int64_t created);

// {"error":{"message":...,"type":...,"param":...,"code":...}}; "" is null.
std::string ErrorBody(std::string_view message, std::string_view type, std::string_view param,
                      std::string_view code);

}  // namespace rota::mock_llm
