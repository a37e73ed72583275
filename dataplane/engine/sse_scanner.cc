#include "dataplane/engine/sse_scanner.h"

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace rota::engine {
namespace {

// The first line feed or carriage return; text.size() when there is none.
size_t FindLineEnd(std::string_view text) {
  size_t place = 0;
#ifdef __SSE2__
  const __m128i feed = _mm_set1_epi8('\n');
  const __m128i carriage = _mm_set1_epi8('\r');
  while (place + 16 <= text.size()) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + place));
    const int mask = _mm_movemask_epi8(
        _mm_or_si128(_mm_cmpeq_epi8(bytes, feed), _mm_cmpeq_epi8(bytes, carriage)));
    if (mask != 0) {
      return place + static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
    place += 16;
  }
#endif
  while (place < text.size() && text[place] != '\n' && text[place] != '\r') {
    ++place;
  }
  return place;
}

// Not string_view::find: it stops at every quote.
size_t Find(std::string_view text, std::string_view needle, size_t from = 0) {
  const void* const found =
      memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

bool Contains(std::string_view text, std::string_view needle) {
  return Find(text, needle) != std::string_view::npos;
}

// "finish_reason":"stop": a string, not null.
bool HasFinishReason(std::string_view data) {
  static constexpr std::string_view kKey = "\"finish_reason\":";
  size_t at = Find(data, kKey);
  while (at != std::string_view::npos) {
    size_t value = at + kKey.size();
    while (value < data.size() && data[value] == ' ') {
      ++value;
    }
    if (value < data.size() && data[value] == '"') {
      return true;
    }
    at = Find(data, kKey, value);
  }
  return false;
}

// What stands behind the field's name.
std::string_view Value(std::string_view line, size_t name_size) {
  line.remove_prefix(name_size);
  if (line.starts_with(' ')) {
    line.remove_prefix(1);
  }
  return line;
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

bool SseScanner::HasBegun(std::string_view bytes) {
  const size_t start = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  bytes.remove_prefix(start);
  return (bytes.starts_with(':') && FindLineEnd(bytes) < bytes.size()) || WholeEvents(bytes) > 0;
}

void SseScanner::Add(std::string_view events) {
  while (!events.empty()) {
    const size_t end = FindLineEnd(events);
    const std::string_view line = events.substr(0, end);
    events.remove_prefix(std::min(end + 1, events.size()));
    if (line.empty()) {
      is_error_event_ = false;
    } else if (line.starts_with("event:")) {
      is_error_event_ = Value(line, 6) == "error";
    } else if (line.starts_with("data:")) {
      AddData(Value(line, 5));
    }
  }
}

void SseScanner::AddData(std::string_view data) {
  if (data == "[DONE]" || (data.starts_with('{') && Contains(data, "\"message_stop\""))) {
    has_ended_ = true;
    return;
  }
  const bool is_error = is_error_event_ || data.starts_with("{\"error\":{") ||
                        data.starts_with("{\"error\": {") ||
                        data.starts_with("{\"type\":\"error\"");
  if (is_error && error_data_.empty()) {
    error_event_ = is_error_event_ ? "error" : "";
    error_data_ = data.substr(0, kMaxErrorData);
  }
  has_data_ = has_data_ || !data.empty();
  has_ended_ = has_ended_ || is_error || HasFinishReason(data);
  if (provider::MayHoldUsage(data)) {
    has_usage_ = provider::UpdateUsage(data, usage_) || has_usage_;
  }
}

}  // namespace rota::engine
