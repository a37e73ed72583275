#pragma once

// SHA-256, whole and cut to 64 bits: stable names for content. Thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

namespace rota {

// 32 bytes.
std::string Sha256(std::string_view bytes);
// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);
// The first 8 bytes of SHA-256, big-endian; never 0, which means "none" on the wire.
uint64_t Hash64(std::string_view bytes);
std::string HexEncode(std::string_view bytes);
// A name that nobody else makes up: that many random bytes as hex digits.
std::string RandomHex(size_t bytes);

}  // namespace rota
