#pragma once

// What this process is itself in a cloud, as credentials of endpoints use it. It is kept beside the
// Secrets, with the same kind of content: what changes it (dataplane/cloud fetches it) is a change
// of a Secret to everything that looks at one. Values.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/secret.h"

namespace rota::table {

// The keys of one Secret that are referred to, or the values of one identity. Immutable.
struct DecodedSecret {
  uint64_t hash = 0;  // of its version, never 0
  std::map<std::string, SecretString> values;
};

// Names of identities. No Secret has such a one: those are "<namespace>/<name>".
inline constexpr char kAwsIdentity[] = "@aws";
inline constexpr char kAzureIdentity[] = "@azure";

// Their values.
inline constexpr char kAccessKeyId[] = "accessKeyId";
inline constexpr char kSecretAccessKey[] = "secretAccessKey";
inline constexpr char kSessionToken[] = "sessionToken";
inline constexpr char kAccessToken[] = "accessToken";

struct Identity {
  // Why there is no content: Unavailable when it may come without any change of the configuration,
  // FailedPrecondition when this process has no such identity.
  absl::Status status = absl::FailedPreconditionError("this data plane has no such identity");
  std::shared_ptr<const DecodedSecret> content;  // null unless `status` is ok
};
using Identities = std::map<std::string, Identity>;

}  // namespace rota::table
