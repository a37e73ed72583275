#include "dataplane/engine/sse_scanner.h"

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/provider/evidence.h"
#include "dataplane/provider/json_scan.h"

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

// The words that matter in the data of an event.
constexpr std::string_view kMessageStop = "\"message_stop\"";
constexpr std::string_view kFinishReason = "\"finish_reason\":";
constexpr std::string_view kUsage = "\"usage";
constexpr std::string_view kError = "\"error\"";

// Calls `visit` with each place where one of them may begin: a quote and the first letter. One look
// at the data for all of them; there are quotes all over.
template <typename Visit>
void ForEachWord(std::string_view data, Visit visit) {
  size_t place = 0;
#ifdef __SSE2__
  const auto equals = [](__m128i bytes, char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); };
  while (place + 17 <= data.size()) {
    const auto* const at = reinterpret_cast<const __m128i*>(data.data() + place);
    const auto* const behind = reinterpret_cast<const __m128i*>(data.data() + place + 1);
    const __m128i next = _mm_loadu_si128(behind);
    const __m128i letter = _mm_or_si128(_mm_or_si128(equals(next, 'm'), equals(next, 'f')),
                                        _mm_or_si128(equals(next, 'u'), equals(next, 'e')));
    const __m128i begins = _mm_and_si128(equals(_mm_loadu_si128(at), '"'), letter);
    for (int mask = _mm_movemask_epi8(begins); mask != 0; mask &= mask - 1) {
      visit(place + static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask))));
    }
    place += 16;
  }
#endif
  for (; place + 1 < data.size(); ++place) {
    const char next = data[place + 1];
    if (data[place] == '"' && (next == 'm' || next == 'f' || next == 'u' || next == 'e')) {
      visit(place);
    }
  }
}

struct Words {
  bool has_message_stop = false;
  bool has_finish_reason = false;  // with a string, not null
  bool may_hold_usage = false;
  bool may_be_error = false;
};

Words FindWords(std::string_view data) {
  Words words;
  ForEachWord(data, [data, &words](size_t place) {
    std::string_view rest = data.substr(place);
    if (rest.starts_with(kUsage)) {
      words.may_hold_usage = true;
    } else if (rest.starts_with(kError)) {
      words.may_be_error = true;
    } else if (rest.starts_with(kMessageStop)) {
      words.has_message_stop = true;
    } else if (rest.starts_with(kFinishReason)) {
      rest.remove_prefix(kFinishReason.size());
      while (rest.starts_with(' ')) {
        rest.remove_prefix(1);
      }
      words.has_finish_reason = words.has_finish_reason || rest.starts_with('"');
    }
  });
  return words;
}

// {"error": something}, {"type": "error"} or {"object": "error"}, beside whatever else.
bool IsError(std::string_view data) {
  bool is_error = false;
  provider::ForEachMember(data, [data, &is_error](const provider::JsonMember& member) {
    const std::string_view value = data.substr(member.value, member.end - member.value);
    const bool says_kind =
        provider::IsCalled(member, "type") || provider::IsCalled(member, "object");
    const bool is_something =
        value.starts_with('{') || (value.starts_with('"') && value != R"("")");
    is_error = is_error || (says_kind && value == kError) ||
               (provider::IsCalled(member, "error") && is_something);
  });
  return is_error;
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
    const size_t line_end = events.substr(end).starts_with("\r\n") ? 2 : 1;
    events.remove_prefix(std::min(end + line_end, events.size()));
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
  const Words words = FindWords(data);
  if (data == "[DONE]" || (data.starts_with('{') && words.has_message_stop)) {
    has_ended_ = true;
    return;
  }
  const bool is_error =
      is_error_event_ || (words.may_be_error && data.starts_with('{') && IsError(data));
  if (is_error && error_data_.empty()) {
    error_event_ = is_error_event_ ? "error" : "";
    error_data_ = data.substr(0, provider::kMaxEvidenceBody);
  }
  has_data_ = has_data_ || !data.empty();
  has_ended_ = has_ended_ || is_error || words.has_finish_reason;
  if (words.may_hold_usage) {
    has_usage_ = provider::UpdateUsage(data, usage_) || has_usage_;
  }
}

}  // namespace rota::engine
