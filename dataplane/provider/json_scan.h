#pragma once

// The bytes of JSON that are looked at without building anything: strings, numbers and literals.
// Positions are indexes into the text; every function returns where it stopped, or kBroken.
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

// `place`: behind the opening quote. Returns the place behind the closing one.
size_t SkipString(std::string_view text, size_t place, bool& has_escape);
// `place`: at a digit or minus sign.
size_t SkipNumber(std::string_view text, size_t place);
// `place`: at the first letter of true, false or null.
size_t SkipLiteral(std::string_view text, size_t place);

// `place`: at the bracket of an object or list. Returns the place behind its end; what is inside is
// not checked.
size_t SkipContainer(std::string_view text, size_t place);

// Whether the string between the quotes is `wanted` (plain ASCII) once its escapes are read.
bool EscapedEquals(std::string_view raw, std::string_view wanted);

}  // namespace rota::provider
