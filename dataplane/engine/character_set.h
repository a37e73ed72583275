#pragma once

// Sets of characters, as the grammars of HTTP and of URLs have them. Pure and thread-safe.

#include <array>
#include <cstddef>
#include <string_view>

namespace rota::engine {

using Characters = std::array<bool, 256>;

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

constexpr Characters WithAlphanumerics(std::string_view others) {
  Characters characters{};
  for (size_t c = 0; c < characters.size(); ++c) {
    characters[c] = IsDigit(static_cast<char>(c)) || (c >= 'a' && c <= 'z') ||
                    (c >= 'A' && c <= 'Z') ||
                    others.find(static_cast<char>(c)) != std::string_view::npos;
  }
  return characters;
}

}  // namespace rota::engine
