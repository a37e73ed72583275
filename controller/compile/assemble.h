#pragma once

// Compiled APIs + Secrets + the gateway's own settings -> one consistent snapshot, and the findings
// that need more than one object: two APIs on one path, a Secret that is not there, a Service of
// another namespace that does not let itself be used. Pure and thread-safe.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/secret.h"
#include "controller/compile/compile_api.h"
#include "controller/compile/snapshot.h"
#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"
#include "controller/resource/gateway.h"

namespace rota::compile {

// What the controller decides for all APIs of its gateway.
struct GatewaySettings {
  std::string name = "default/default";       // "<namespace>/<name>"
  std::vector<std::string> production_hosts;  // exact or "*.suffix"; both empty = the default rule
  std::vector<std::string> sandbox_hosts;
  bool allow_local_upstreams = false;
  std::vector<resource::GatewayListener> listeners = {};
  // Whose APIs may use ambient identities: decided here, so that data planes need not know.
  std::vector<std::string> ambient_identity_namespaces = {};
};

// Keys of a Secret of type kubernetes.io/tls.
inline constexpr char kCertificateKey[] = "tls.crt";
inline constexpr char kPrivateKeyKey[] = "tls.key";

// The values of Secrets that the listeners need.
std::vector<SecretUse> SecretsOf(const GatewaySettings& settings);

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

// What is known of one Secret that exists, or of a Service that is granted: neither keys nor a use
// for the body.
struct SecretVersion {
  std::set<std::string> keys;
  std::shared_ptr<const ResourceBody> body;
};

// What became of one API.
struct ApiOutcome {
  std::shared_ptr<const CompiledApi> served;  // null: nothing of it
  // What data planes get of it: its body, without the Services that it may not use.
  std::shared_ptr<const ResourceBody> body;
  resource::Diagnostics accepted;    // findings that keep `current` from being served
  resource::Diagnostics unresolved;  // Secrets, keys and Services that `served` lacks
};

struct Assembly {
  std::shared_ptr<Snapshot> snapshot;  // the caller's alone; `sequence` is left 0
  // Of the APIs whose outcome may differ from the one of the last Build().
  std::map<resource::ObjectName, ApiOutcome> apis;
};

// Remembers what it was given, so that a change costs what it touches and not what there is. Only
// when two APIs contend for a path are all of them looked at. The result is the same as that of a
// new Assembler with the same content. Single-thread; bodies are shared with the inputs.
class Assembler {
 public:
  Assembler(const std::string& gateway_name, std::shared_ptr<const ResourceBody> gateway);

  void SetApi(const Age& age, const ApiVersions& versions);
  void RemoveApi(const Age& age);
  // `secrets`: that its listeners need.
  void SetGateway(std::shared_ptr<const ResourceBody> gateway,
                  const std::vector<SecretUse>& secrets = {});
  // REQUIRES: the body is set.
  void SetSecret(const resource::ObjectName& name, const SecretVersion& version);
  void RemoveSecret(const resource::ObjectName& name);

  // Build() may give something else than the last time.
  bool has_changes() const { return has_changes_; }
  Assembly Build();

 private:
  struct Entry {
    ApiVersions versions;
    std::vector<std::string> paths;  // that one of its versions may claim; each once
    ApiOutcome outcome;
    ResourceKey key;
    bool is_admitted = false;  // `outcome.served` is up to date
  };

  void Forget(const Age& age, Entry& entry);
  void Serve(const Age& age, Entry& entry, std::shared_ptr<const CompiledApi> api);
  // What is served of the entry, as Secrets and grants are now.
  void Resolve(Entry& entry);
  void Touch(const resource::ObjectName& secret);
  // Puts a Secret into the snapshot, or takes it out, as its users and its existence want it.
  void Supply(const resource::ObjectName& secret);

  const ResourceKey gateway_key_;
  bool has_changes_ = true;  // since the last Build()
  std::map<Age, Entry> apis_;
  std::set<Age> dirty_;
  bool is_contended_ = false;                          // since the last Build()
  std::unordered_map<std::string, size_t> claimants_;  // path -> APIs that may claim it
  std::map<resource::ObjectName, SecretVersion> secrets_;
  std::map<resource::ObjectName, std::set<Age>> users_;  // Secret -> APIs that are served with it
  std::set<resource::ObjectName> of_gateway_;            // Secrets of the listeners
  ResourceSet resources_;
};

// All at once: a new Assembler with that content.
Assembly Assemble(const std::map<Age, ApiVersions>& apis,
                  const std::map<resource::ObjectName, SecretVersion>& secrets,
                  const std::string& gateway_name,
                  const std::shared_ptr<const ResourceBody>& gateway);

}  // namespace rota::compile
