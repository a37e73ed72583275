#pragma once

// Text that is too long for where it goes. protobuf refuses a message with half a character in it.
// Pure and thread-safe.

#include <string_view>

namespace rota {

// The first bytes of UTF-8 text, cut between characters.
inline std::string_view Clip(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) {
    return text;
  }
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xc0) == 0x80) {
    --max_bytes;
  }
  return text.substr(0, max_bytes);
}

}  // namespace rota
