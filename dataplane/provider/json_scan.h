#pragma once

// The bytes of JSON that are looked at without building anything: strings, numbers, literals and
// the members of an object. Positions are indexes into the text; every function returns where it
// stopped, or kBroken.
//
// Pure and thread-safe.

#include <cstddef>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace rota::provider {

inline constexpr size_t kBroken = static_cast<size_t>(-1);

inline size_t SkipSpace(std::string_view text, size_t place) {
  while (place < text.size() && (text[place] == ' ' || text[place] == '\n' || text[place] == '\r' ||
                                 text[place] == '\t')) {
    ++place;
  }
  return place;
}

// The first quote, backslash or control byte at or behind `place`; text.size() when there is none.
inline size_t FindStringSpecial(std::string_view text, size_t place) {
#ifdef __SSE2__
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i last_control = _mm_set1_epi8(0x1F);
  while (place + 16 <= text.size()) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + place));
    const __m128i special =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                     _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
    const int mask = _mm_movemask_epi8(special);
    if (mask != 0) {
      return place + static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
    place += 16;
  }
#endif
  while (place < text.size() && text[place] != '"' && text[place] != '\\' &&
         static_cast<unsigned char>(text[place]) >= 0x20) {
    ++place;
  }
  return place;
}

// The first byte at or behind `place` that is not ASCII; text.size() when there is none.
inline size_t SkipAscii(std::string_view text, size_t place) {
#ifdef __SSE2__
  while (place + 16 <= text.size()) {
    const int mask =
        _mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + place)));
    if (mask != 0) {
      return place + static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
    place += 16;
  }
#endif
  while (place < text.size() && static_cast<unsigned char>(text[place]) < 0x80) {
    ++place;
  }
  return place;
}

// `place`: behind the opening quote. Returns the place behind the closing one.
size_t SkipString(std::string_view text, size_t place, bool& has_escape);
// `place`: at a digit or minus sign.
size_t SkipNumber(std::string_view text, size_t place);
// `place`: at the first letter of true, false or null.
size_t SkipLiteral(std::string_view text, size_t place);

// `place`: at the bracket of an object or list. Returns the place behind its end; what is inside is
// not checked.
size_t SkipContainer(std::string_view text, size_t place);

// `place`: at the first byte of a value. Returns the place behind it.
size_t SkipValue(std::string_view text, size_t place);

// One member of an object. Places in the object's text.
struct JsonMember {
  std::string_view name;  // between the quotes, as it came
  bool has_escape = false;
  size_t begin = 0;  // the quote of the name
  size_t value = 0;
  size_t end = 0;  // behind the value
};

// Calls `visit(member)` with each member of the object that begins with the first brace of `text`,
// until one is broken. Returns whether none was.
template <typename Visit>
bool ForEachMember(std::string_view text, Visit visit) {
  size_t place = text.find('{');
  if (place == std::string_view::npos) {
    return false;
  }
  place = SkipSpace(text, place + 1);
  while (place < text.size() && text[place] == '"') {
    JsonMember member;
    member.begin = place;
    place = SkipString(text, place + 1, member.has_escape);
    if (place == kBroken) {
      return false;
    }
    member.name = text.substr(member.begin + 1, place - member.begin - 2);
    place = SkipSpace(text, place);
    if (place >= text.size() || text[place] != ':') {
      return false;
    }
    member.value = SkipSpace(text, place + 1);
    member.end = member.value < text.size() ? SkipValue(text, member.value) : kBroken;
    if (member.end == kBroken) {
      return false;
    }
    visit(member);
    place = SkipSpace(text, member.end);
    if (place < text.size() && text[place] == ',') {
      place = SkipSpace(text, place + 1);
    }
  }
  return place < text.size() && text[place] == '}';
}

// Whether the string between the quotes is `wanted` (plain ASCII) once its escapes are read.
bool EscapedEquals(std::string_view raw, std::string_view wanted);

// The same for the name of a member.
inline bool IsCalled(const JsonMember& member, std::string_view wanted) {
  return member.name == wanted || (member.has_escape && EscapedEquals(member.name, wanted));
}

}  // namespace rota::provider
