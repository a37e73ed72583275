#pragma once

// The Secrets of one snapshot, decoded, and what is made of them: credentials ready to send. A
// Secret's resource is decoded again only when its hash has changed.
//
// Single-thread. No error holds a value.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/secret.h"
#include "dataplane/table/route_table.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::table {

// The referenced keys of one Secret. Immutable.
struct DecodedSecret {
  uint64_t hash = 0;
  std::map<std::string, SecretString> values;
};

class SecretStore {
 public:
  using Secrets = std::map<std::string, std::shared_ptr<const DecodedSecret>>;

  SecretStore() = default;
  explicit SecretStore(Secrets secrets) : secrets_(std::move(secrets)) {}

  // InvalidArgument: the bytes do not decode.
  static absl::StatusOr<std::shared_ptr<const DecodedSecret>> Decode(
      const rota::sync::v1::Resource& resource);

  // 0 when there is no such Secret.
  uint64_t HashOf(const std::string& name) const;
  const Secrets& secrets() const { return secrets_; }

  // The value without trailing line breaks (`kubectl create secret --from-file` leaves one).
  // NotFound or InvalidArgument names the Secret and the key, and the fix.
  absl::StatusOr<SecretString> Value(const rota::sync::v1::SecretKey& key) const;
  // The value as it is: PEM. Text() is for what is no secret.
  absl::StatusOr<std::string> Text(const rota::sync::v1::SecretKey& key) const;
  absl::StatusOr<SecretString> Bytes(const rota::sync::v1::SecretKey& key) const;
  absl::StatusOr<Credential> Render(const rota::sync::v1::Credential& credential) const;

 private:
  absl::StatusOr<const SecretString*> Find(const rota::sync::v1::SecretKey& key) const;

  Secrets secrets_;
};

}  // namespace rota::table
