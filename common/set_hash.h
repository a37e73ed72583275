#pragma once

// A hash of a set of versioned resources that costs what changes and not what is there: the sum,
// modulo 2^256, of the SHA-256 over (kind, NUL-terminated name, big-endian version) of each. Both
// ends of the sync protocol keep one; equal sets have equal hashes, in whatever order they came.
//
// It finds mistakes, it does not keep out forgers: whoever may choose thousands of members can make
// two sets of them with one sum. Pure. Single-thread.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace rota {

class SetHash {
 public:
  // REQUIRES: it is not in the set.
  void Add(uint8_t kind, std::string_view name, uint64_t version);
  // REQUIRES: it is in the set, in this version.
  void Remove(uint8_t kind, std::string_view name, uint64_t version);
  // 32 bytes, big-endian; zeros for the empty set.
  std::string Bytes() const;

 private:
  std::array<uint64_t, 4> sum_{};  // the least significant word first
};

}  // namespace rota
