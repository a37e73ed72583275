#include "common/set_hash.h"

#include "common/hash.h"

namespace rota {
namespace {

using Words = std::array<uint64_t, 4>;

Words DigestOf(uint8_t kind, std::string_view name, uint64_t version) {
  std::string input;
  input.reserve(name.size() + 10);
  input.push_back(static_cast<char>(kind));
  input.append(name);
  input.push_back('\0');
  for (int shift = 56; shift >= 0; shift -= 8) {
    input.push_back(static_cast<char>(version >> shift & 0xFF));
  }
  const std::string digest = Sha256(input);
  Words words{};
  for (size_t i = 0; i < digest.size(); ++i) {
    uint64_t& word = words[3 - i / 8];
    word = word << 8 | static_cast<uint8_t>(digest[i]);
  }
  return words;
}

}  // namespace

void SetHash::Add(uint8_t kind, std::string_view name, uint64_t version) {
  const Words digest = DigestOf(kind, name, version);
  bool carry = false;
  for (size_t i = 0; i < sum_.size(); ++i) {
    const uint64_t with_digest = sum_[i] + digest[i];
    const uint64_t with_carry = with_digest + (carry ? 1 : 0);
    carry = with_digest < digest[i] || with_carry < with_digest;
    sum_[i] = with_carry;
  }
}

void SetHash::Remove(uint8_t kind, std::string_view name, uint64_t version) {
  const Words digest = DigestOf(kind, name, version);
  bool borrow = false;
  for (size_t i = 0; i < sum_.size(); ++i) {
    const uint64_t less_digest = sum_[i] - digest[i];
    const uint64_t less_borrow = less_digest - (borrow ? 1 : 0);
    borrow = less_digest > sum_[i] || less_borrow > less_digest;
    sum_[i] = less_borrow;
  }
}

std::string SetHash::Bytes() const {
  std::string bytes;
  bytes.reserve(32);
  for (size_t i = sum_.size(); i-- > 0;) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<char>(sum_[i] >> shift & 0xFF));
    }
  }
  return bytes;
}

}  // namespace rota
