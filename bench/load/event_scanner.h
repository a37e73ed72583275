#pragma once

// Looks at a Server-Sent Events stream of the mock: counts events, reads the send time that
// rota-mock-llm --stamp-chunks puts into them ("t=<monotonic ns>"), notes [DONE] and error events.
// Single-thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rota::bench {

class EventScanner {
 public:
  using OnStamp = std::function<void(int64_t sent_ns)>;
  explicit EventScanner(OnStamp on_stamp) : on_stamp_(std::move(on_stamp)) {}

  void Read(std::string_view bytes);
  uint64_t events() const { return events_; }
  bool is_done() const { return done_; }
  bool has_error() const { return error_; }

 private:
  void ReadLine(std::string_view line);

  OnStamp on_stamp_;
  std::string line_;
  uint64_t events_ = 0;
  bool done_ = false;
  bool error_ = false;
};

}  // namespace rota::bench
