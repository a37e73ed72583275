#include "dataplane/provider/json_scan.h"

#include "common/hex.h"

namespace rota::provider {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t SkipDigits(std::string_view text, size_t place) {
  while (place < text.size() && IsDigit(text[place])) {
    ++place;
  }
  return place;
}

}  // namespace

size_t SkipString(std::string_view text, size_t place, bool& has_escape) {
  has_escape = false;
  for (;;) {
    place = FindStringSpecial(text, place);
    if (place >= text.size()) {
      return kBroken;
    }
    if (text[place] == '"') {
      return place + 1;
    }
    if (text[place] != '\\' || place + 1 >= text.size()) {
      return kBroken;
    }
    has_escape = true;
    const char escaped = text[place + 1];
    place += 2;
    if (escaped == 'u') {
      for (size_t i = 0; i < 4; ++i) {
        if (place + i >= text.size() || HexDigit(text[place + i]) < 0) {
          return kBroken;
        }
      }
      place += 4;
    } else if (std::string_view("\"\\/bfnrt").find(escaped) == std::string_view::npos) {
      return kBroken;
    }
  }
}

size_t SkipNumber(std::string_view text, size_t place) {
  if (text[place] == '-') {
    ++place;
  }
  size_t end = SkipDigits(text, place);
  if (end == place || (text[place] == '0' && end > place + 1)) {
    return kBroken;
  }
  place = end;
  if (place < text.size() && text[place] == '.') {
    end = SkipDigits(text, place + 1);
    if (end == place + 1) {
      return kBroken;
    }
    place = end;
  }
  if (place < text.size() && (text[place] == 'e' || text[place] == 'E')) {
    ++place;
    if (place < text.size() && (text[place] == '+' || text[place] == '-')) {
      ++place;
    }
    end = SkipDigits(text, place);
    if (end == place) {
      return kBroken;
    }
    place = end;
  }
  return place;
}

size_t SkipLiteral(std::string_view text, size_t place) {
  for (const std::string_view literal : {"true", "false", "null"}) {
    if (text.substr(place, literal.size()) == literal) {
      return place + literal.size();
    }
  }
  return kBroken;
}

size_t SkipContainer(std::string_view text, size_t place) {
  size_t depth = 0;
  while (place < text.size()) {
    const char c = text[place++];
    if (c == '"') {
      bool has_escape = false;
      place = SkipString(text, place, has_escape);
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return place;
    }
  }
  return kBroken;
}

size_t SkipValue(std::string_view text, size_t place) {
  bool has_escape = false;
  switch (text[place]) {
    case '"':
      return SkipString(text, place + 1, has_escape);
    case '{':
    case '[':
      return SkipContainer(text, place);
    case 't':
    case 'f':
    case 'n':
      return SkipLiteral(text, place);
    default:
      return SkipNumber(text, place);
  }
}

bool EscapedEquals(std::string_view raw, std::string_view wanted) {
  size_t place = 0;
  for (const char c : wanted) {
    if (place >= raw.size()) {
      return false;
    }
    if (raw[place] != '\\') {
      if (raw[place] != c) {
        return false;
      }
      ++place;
      continue;
    }
    // Letters have no escape but \uXXXX.
    if (place + 5 >= raw.size() || raw[place + 1] != 'u') {
      return false;
    }
    int value = 0;
    for (size_t i = 2; i < 6; ++i) {
      value = value * 16 + HexDigit(raw[place + i]);
    }
    if (value != c) {
      return false;
    }
    place += 6;
  }
  return place == raw.size();
}

}  // namespace rota::provider
