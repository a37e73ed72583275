#include "controller/compile/snapshot.h"

#include "common/hash.h"
#include "common/secret.h"

namespace rota::compile {

ResourceBody::~ResourceBody() { WipeString(bytes); }

namespace {

uint64_t VersionOf(uint64_t hash) { return hash; }
uint64_t VersionOf(const std::shared_ptr<const ResourceBody>& body) { return body->hash; }

template <typename Value>
std::string HashOfAll(const std::map<ResourceKey, Value>& versions) {
  std::string input;
  input.reserve(versions.size() * 48);
  for (const auto& [key, value] : versions) {
    const uint64_t hash = VersionOf(value);
    input.push_back(static_cast<char>(key.first));
    input.append(key.second);
    input.push_back('\0');
    for (int shift = 56; shift >= 0; shift -= 8) {
      input.push_back(static_cast<char>(hash >> shift & 0xFF));
    }
  }
  return Sha256(input);
}

}  // namespace

std::string HashOf(const std::map<ResourceKey, uint64_t>& versions) { return HashOfAll(versions); }

std::string HashOfResources(
    const std::map<ResourceKey, std::shared_ptr<const ResourceBody>>& resources) {
  return HashOfAll(resources);
}

}  // namespace rota::compile
