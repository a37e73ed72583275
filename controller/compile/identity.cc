#include "controller/compile/identity.h"

#include <cstdint>

#include "common/hash.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;

// Fields with their lengths, so that no two lists of fields give the same bytes.
class Digest {
 public:
  Digest& Add(std::string_view field) {
    const auto size = static_cast<uint64_t>(field.size());
    for (int shift = 56; shift >= 0; shift -= 8) {
      input_.push_back(static_cast<char>(size >> shift & 0xFF));
    }
    input_.append(field);
    return *this;
  }
  std::string Hex() const { return HexEncode(std::string_view(Sha256(input_)).substr(0, 16)); }

 private:
  std::string input_;
};

Digest OfScope(std::string_view what, const RotationScope& scope) {
  Digest digest;
  digest.Add(what)
      .Add(scope.api_uid)
      .Add(scope.environment == pb::SANDBOX ? "sandbox" : "production")
      .Add(scope.operation);
  return digest;
}

void AddEndpoint(Digest& digest, const pb::Endpoint& endpoint) {
  const pb::Credential& credential = endpoint.credential();
  digest.Add(endpoint.url())
      .Add(endpoint.provider())
      .Add(credential.value().secret())
      .Add(credential.value().key())
      .Add(credential.user_name().key());
  if (credential.identity() != pb::Credential::FROM_SECRETS) {
    digest.Add(pb::Credential::Identity_Name(credential.identity()));
  }
}

}  // namespace

std::string RotationId(const RotationScope& scope) { return OfScope("rotation", scope).Hex(); }

std::string TargetId(const RotationScope& scope, std::string_view model,
                     const pb::Endpoint& endpoint) {
  Digest digest = OfScope("target", scope);
  digest.Add(model);
  AddEndpoint(digest, endpoint);
  return digest.Hex();
}

}  // namespace rota::compile
