#include "bench/load/event_scanner.h"

#include <charconv>

namespace rota::bench {
namespace {

constexpr std::string_view kStamp = "\"system_fingerprint\":\"t=";
constexpr size_t kMaxLine = 1 << 20;

}  // namespace

void EventScanner::Read(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) {
      line_.append(bytes);
      error_ = error_ || line_.size() > kMaxLine;
      return;
    }
    if (line_.empty()) {
      ReadLine(bytes.substr(0, newline));
    } else {
      line_.append(bytes.substr(0, newline));
      ReadLine(line_);
      line_.clear();
    }
    bytes.remove_prefix(newline + 1);
  }
}

void EventScanner::ReadLine(std::string_view line) {
  if (!line.starts_with("data:")) {
    return;
  }
  ++events_;
  line.remove_prefix(5);
  if (line.starts_with(" [DONE]")) {
    done_ = true;
    return;
  }
  error_ = error_ || line.starts_with(" {\"error\"");
  const size_t at = line.find(kStamp);
  if (at == std::string_view::npos) {
    return;
  }
  const std::string_view digits = line.substr(at + kStamp.size());
  int64_t sent = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), sent).ec == std::errc()) {
    on_stamp_(sent);
  }
}

}  // namespace rota::bench
