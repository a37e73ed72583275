#pragma once

// Hexadecimal digits and the %-escapes made of them. Thread-safe (pure functions).

#include <string>
#include <string_view>

namespace rota {

// 0..15; -1 for anything else.
constexpr int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// "%6Bey" -> "key". What is no escape stays as it is.
std::string PercentDecoded(std::string_view text);

}  // namespace rota
