#pragma once

// What of a file, or of a Secret's value, is meant: many tools end it with a line break.
// Pure and thread-safe.

#include <string_view>

namespace rota {

inline std::string_view WithoutLineEnds(std::string_view text) {
  return text.substr(0, text.find_last_not_of("\r\n") + 1);
}

}  // namespace rota
