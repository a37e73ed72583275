#pragma once

// The Secrets of one snapshot, decoded, the identities of this process beside them, and what is
// made of both: credentials ready to send. A Secret's resource is decoded again only when its hash
// has changed.
//
// Single-thread. No error holds a value.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/secret.h"
#include "dataplane/table/identity.h"
#include "dataplane/table/route_table.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::table {

class SecretStore {
 public:
  using Secrets = std::map<std::string, std::shared_ptr<const DecodedSecret>>;

  SecretStore() = default;
  explicit SecretStore(Secrets secrets, Identities identities = {})
      : secrets_(std::move(secrets)), identities_(std::move(identities)) {}

  // InvalidArgument: the bytes do not decode.
  static absl::StatusOr<std::shared_ptr<const DecodedSecret>> Decode(
      const rota::sync::v1::Resource& resource);

  // Of a Secret or an identity; 0 when there is no such one.
  uint64_t HashOf(const std::string& name) const;
  const Secrets& secrets() const { return secrets_; }
  const Identities& identities() const { return identities_; }

  // The value without trailing line breaks (`kubectl create secret --from-file` leaves one).
  // NotFound or InvalidArgument names the Secret and the key, and the fix; of an identity its own
  // status.
  absl::StatusOr<SecretString> Value(const rota::sync::v1::SecretKey& key) const;
  // The value as it is: PEM. Text() is for what is no secret.
  absl::StatusOr<std::string> Text(const rota::sync::v1::SecretKey& key) const;
  absl::StatusOr<SecretString> Bytes(const rota::sync::v1::SecretKey& key) const;
  absl::StatusOr<Credential> Render(const rota::sync::v1::Credential& credential) const;

 private:
  absl::StatusOr<const SecretString*> Find(const rota::sync::v1::SecretKey& key) const;
  // Null when there is no Secret or identity of that name.
  const DecodedSecret* ContentOf(const std::string& name) const;

  Secrets secrets_;
  Identities identities_;
};

}  // namespace rota::table
