#pragma once

// Compiled APIs + Secrets + the gateway's own settings -> one consistent snapshot, and the findings
// that need more than one object: two APIs on one path, a Secret that is not there. Pure and
// thread-safe.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/secret.h"
#include "controller/compile/compile_api.h"
#include "controller/compile/snapshot.h"
#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"

namespace rota::compile {

// What the controller decides for all APIs of its gateway.
struct GatewaySettings {
  std::string name = "default/default";       // "<namespace>/<name>"
  std::vector<std::string> production_hosts;  // exact or "*.suffix"; both empty = the default rule
  std::vector<std::string> sandbox_hosts;
  bool allow_local_upstreams = false;
};

std::shared_ptr<const ResourceBody> GatewayBody(const GatewaySettings& settings);

// Older first: the smaller creation timestamp, then the smaller namespace/name.
struct Age {
  std::string creation_timestamp;  // RFC 3339, or "" for all objects of a directory
  resource::ObjectName name;
  friend auto operator<=>(const Age&, const Age&) = default;
};

// The versions of one API. `current` is of the newest generation, `last_good` the one that was
// served last; either may be null, a null body counts as null.
struct ApiVersions {
  std::shared_ptr<const CompiledApi> current;
  std::shared_ptr<const CompiledApi> last_good;
};

using SecretData = std::map<std::string, SecretString>;

// The body of a Secret: those of `keys` that it has. The hash is made from (uid, resourceVersion)
// and the names of the keys, never from the values.
std::shared_ptr<const ResourceBody> SecretBody(const std::string& uid,
                                               const std::string& resource_version,
                                               const SecretData& data);

// What is known of one Secret: its keys and its body. A Secret that does not exist is not in the
// map.
struct SecretVersion {
  const SecretData* data = nullptr;
  std::shared_ptr<const ResourceBody> body;
};

// What became of one API.
struct ApiOutcome {
  std::shared_ptr<const CompiledApi> served;  // null: nothing of it
  resource::Diagnostics accepted;             // findings that keep `current` from being served
  resource::Diagnostics unresolved;           // Secrets and keys that `served` lacks
};

struct Assembly {
  std::shared_ptr<const Snapshot> snapshot;
  std::map<resource::ObjectName, ApiOutcome> apis;  // one for each input
};

// REQUIRES: every pointer in `secrets` is set. Bodies are shared with the inputs.
Assembly Assemble(const std::map<Age, ApiVersions>& apis,
                  const std::map<resource::ObjectName, SecretVersion>& secrets,
                  const std::string& gateway_name,
                  const std::shared_ptr<const ResourceBody>& gateway);

}  // namespace rota::compile
