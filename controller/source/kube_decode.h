#pragma once

// Objects of the Kubernetes API -> the plain values that every source emits. Pure; thread-safe.

#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "controller/source/object.h"
#include "nlohmann/json.hpp"

namespace rota::source {

// REQUIRES: `object` has metadata with a name (the reflector has looked).
SpecObject SpecFromKube(nlohmann::json object);

// The labels of a Namespace. REQUIRES: as above.
NamespaceObject NamespaceFromKube(const nlohmann::json& object);

// Keeps only `keys`; a key that the Secret does not have is left out. InvalidArgument when a value
// is not base64; the message names the key, never a value.
absl::StatusOr<SecretObject> SecretFromKube(const nlohmann::json& object,
                                            const std::set<std::string>& keys);

}  // namespace rota::source
