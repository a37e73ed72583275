#include "controller/compile/snapshot.h"

#include "common/hash.h"
#include "common/secret.h"

namespace rota::compile {

ResourceBody::~ResourceBody() { WipeString(bytes); }

std::string HashOf(const std::map<ResourceKey, uint64_t>& versions) {
  std::string input;
  input.reserve(versions.size() * 48);
  for (const auto& [key, hash] : versions) {
    input.push_back(static_cast<char>(key.first));
    input.append(key.second);
    input.push_back('\0');
    for (int shift = 56; shift >= 0; shift -= 8) {
      input.push_back(static_cast<char>(hash >> shift & 0xFF));
    }
  }
  return Sha256(input);
}

}  // namespace rota::compile
