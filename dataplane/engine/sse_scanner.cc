#include "dataplane/engine/sse_scanner.h"

#include <algorithm>
#include <cstring>

namespace rota::engine {
namespace {

bool Contains(std::string_view text, std::string_view needle) {
  return memmem(text.data(), text.size(), needle.data(), needle.size()) != nullptr;
}

// "finish_reason":"stop": a string, not null.
bool HasFinishReason(std::string_view data) {
  static constexpr std::string_view kKey = "\"finish_reason\":";
  size_t at = data.find(kKey);
  while (at != std::string_view::npos) {
    size_t value = at + kKey.size();
    while (value < data.size() && data[value] == ' ') {
      ++value;
    }
    if (value < data.size() && data[value] == '"') {
      return true;
    }
    at = data.find(kKey, value);
  }
  return false;
}

}  // namespace

size_t SseScanner::WholeEvents(std::string_view bytes) {
  // An event ends with an empty line; lines end in LF, CRLF or CR.
  for (size_t i = bytes.size(); i >= 2; --i) {
    const char last = bytes[i - 1];
    if (last != '\n' && last != '\r') {
      continue;
    }
    const char before = bytes[i - 2];
    if (before == last) {
      return i;
    }
    if (last == '\n' && before == '\r' && i >= 3 &&
        (bytes[i - 3] == '\n' || bytes[i - 3] == '\r')) {
      return i;
    }
  }
  return 0;
}

void SseScanner::Add(std::string_view events) {
  while (!events.empty()) {
    const size_t end = std::min(events.find_first_of("\r\n"), events.size());
    const std::string_view line = events.substr(0, end);
    events.remove_prefix(std::min(end + 1, events.size()));
    if (!line.starts_with("data:")) {
      continue;
    }
    std::string_view data = line.substr(5);
    if (data.starts_with(' ')) {
      data.remove_prefix(1);
    }
    if (data == "[DONE]" || (data.starts_with('{') && Contains(data, "\"message_stop\""))) {
      has_ended_ = true;
      continue;
    }
    has_data_ = has_data_ || !data.empty();
    has_ended_ = has_ended_ || HasFinishReason(data);
    if (provider::MayHoldUsage(data)) {
      has_usage_ = provider::UpdateUsage(data, usage_) || has_usage_;
    }
  }
}

}  // namespace rota::engine
