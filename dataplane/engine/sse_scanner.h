#pragma once

// Follows a stream of server-sent events without copying it: where whole events end (only those are
// passed on, so that an error event can follow a cut), whether the stream has come to its proper
// end, and the data of the last event that may hold token usage. Thread-compatible.

#include <cstddef>
#include <string>
#include <string_view>

#include "dataplane/provider/usage.h"

namespace rota::engine {

class SseScanner {
 public:
  // Bytes of `bytes` up to the end of the last whole event in it; 0 when no event ends there.
  static size_t WholeEvents(std::string_view bytes);

  // Whether the beginning of a stream says how it begins: a whole event, or a whole comment line in
  // front of the first one.
  static bool HasBegun(std::string_view bytes);

  // Whole events, as they have been passed on.
  void Add(std::string_view events);
  // "data: [DONE]", a finish reason, or Anthropic's message_stop has been seen.
  bool has_ended() const { return has_ended_; }
  bool has_usage() const { return has_usage_; }
  const provider::Usage& usage() const { return usage_; }
  // The first error event ("event: error", or data that has an `error`, or is of the type or object
  // `error`): it ends the stream, and it may be evidence against the target. Bounded; "" when there
  // was none.
  const std::string& error_event() const { return error_event_; }
  const std::string& error_data() const { return error_data_; }
  // An event with data has been seen.
  bool has_data() const { return has_data_; }

 private:
  void AddData(std::string_view data);
  bool is_error_event_ = false;  // of the lines up to the next empty one
  std::string error_event_;
  std::string error_data_;
  bool has_ended_ = false;
  bool has_usage_ = false;
  bool has_data_ = false;
  provider::Usage usage_;
};

}  // namespace rota::engine
