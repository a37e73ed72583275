#pragma once

// All objects that the controller knows, and what is made of them. Objects go in as they come from
// a source; Build() gives one snapshot per gateway. Each object is decoded and compiled once per
// content, however many gateways serve it. An API whose newest version is invalid is served in its
// last good one; a version that needs a Secret which has been asked for and not yet been answered
// is held back for up to kSecretGrace, so that no request meets a missing credential in between.
//
// Pure (time is an argument), single-thread. Bounded by the objects that exist.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "controller/compile/assemble.h"
#include "controller/reconcile/gateway_book.h"
#include "controller/reconcile/gateway_status.h"
#include "controller/reconcile/status.h"
#include "controller/source/object.h"
#include "controller/source/source.h"

namespace rota::reconcile {

inline constexpr Duration kSecretGrace = std::chrono::seconds(2);

using SnapshotPtr = std::shared_ptr<const compile::Snapshot>;

struct BuildResult {
  std::map<std::string, SnapshotPtr> snapshots;  // of every gateway, by name
  std::vector<resource::ObjectName> changed;     // APIs whose StatusOf() may differ from before
  std::vector<resource::ObjectName> deleted;     // APIs that are gone since the last Build()
  // When Build() would give something else without any new object.
  std::optional<MonotonicTime> rebuild_at;
};

class World {
 public:
  // `command_line`: the gateway that is there without any RotaGateway.
  explicit World(compile::GatewaySettings command_line);

  void OnNamespace(const source::NamespaceObject& object);
  // Every Namespace that there is has been told. Until then APIs stay where they are.
  void OnNamespacesKnown();
  void OnGateway(const source::GatewayObject& object);
  void OnApi(source::ApiObject object);
  // A Secret, or the grant of a Service of another namespace (foreign_ref.h), without any value.
  // What nobody references is not kept.
  void OnSecret(source::SecretObject object);
  void OnDeleted(const source::ObjectKey& key);

  // Something has come in since the last Build().
  bool has_changes() const { return has_changes_; }
  BuildResult Build(MonotonicTime now);

  // The Secrets and grants that current and served versions need. `references_version` counts their
  // changes.
  source::SecretReferences References() const;
  uint64_t references_version() const { return references_version_; }
  // A gateway asks for the labels of Namespaces.
  bool wants_namespaces() const { return gateways_.wants_namespaces(); }

  // Accepted and ResolvedRefs as of the last Build(), for each gateway and all together; Programmed
  // is left Unknown. nullopt: no such API.
  std::optional<ApiStatus> StatusOf(const resource::ObjectName& name) const;
  // The same for every RotaGateway, what the fleet says left out.
  std::vector<GatewayStatus> GatewayStatuses() const;
  std::vector<resource::ObjectName> Names() const;
  // At most `count` APIs, those that follow `name`; the first follows the last.
  std::vector<resource::ObjectName> NamesAfter(const resource::ObjectName& name,
                                               size_t count) const;
  size_t api_count() const { return apis_.size(); }
  // APIs that would not be served any more, at one gateway at least, if that API or RotaGateway
  // were gone.
  size_t ReachOf(const source::ObjectKey& key) const;
  size_t secret_count() const { return secrets_.size() - services_; }
  // Objects that were really decoded and compiled: the memo at work.
  uint64_t compile_count() const { return compile_count_; }

 private:
  using CompiledPtr = std::shared_ptr<const compile::CompiledApi>;
  using DefaultsPtr = std::shared_ptr<const resource::GatewayDefaults>;

  // A version of an API as it is at one gateway: what it does not say is inherited from there.
  struct Version {
    CompiledPtr own;        // as it was compiled; null: there is none
    CompiledPtr inherited;  // what is served: `own` where the gateway has no defaults
  };

  // An API at one of its gateways.
  struct Placement {
    std::optional<resource::Diagnostic> refusal;  // it is not served there, and why
    DefaultsPtr defaults;                         // that the versions have inherited; null: none
    Version current;
    Version last_good;
    int64_t last_good_generation = 0;
    compile::ApiOutcome outcome;  // of the last Build()
  };

  struct ApiEntry {
    source::Metadata metadata;
    std::string file;
    uint64_t content_hash = 0;
    resource::Diagnostics diagnostics;  // of the newest version
    std::string field_prefix;           // of the diagnostics' fields
    CompiledPtr current;                // null: it does not decode or compile
    std::vector<std::string> gateways;  // that it names, as of the newest version that compiles
    std::optional<MonotonicTime> held_until;  // while `current` waits for a Secret
    bool is_held = false;
    std::map<std::string, Placement> placements;  // by gateway; never empty
  };

  // What is made for one gateway.
  struct Served {
    compile::Assembler assembler;
    uint64_t settings_hash = 0;
    DefaultsPtr defaults;  // that its APIs inherit; null: none. Replaced when they change
    std::vector<compile::SecretUse> secrets;  // of its listeners
    SnapshotPtr snapshot;                     // null until the first Build()
  };

  struct SecretEntry {
    std::map<std::string, size_t> wanted;  // key -> number of versions that need it
    bool is_answered = false;              // since `wanted` changed
    bool exists = false;
    std::string uid;
    std::string resource_version;
    compile::SecretData data;
    compile::SecretVersion version;  // for the assemblers, while it exists
    absl::Status certificate;        // whether tls.crt and tls.key, if wanted, can be used
  };

  compile::Age AgeOf(const resource::ObjectName& name, const ApiEntry& entry) const;
  void Compile(const source::ApiObject& object, ApiEntry& entry);
  void Want(const CompiledPtr& api);
  void Release(const CompiledPtr& api);
  void Want(const std::vector<compile::SecretUse>& uses);
  void Release(const std::vector<compile::SecretUse>& uses);
  GatewayReferences ReferencesOf(const Served& served) const;
  static void CheckCertificate(SecretEntry& secret);
  void ServeGateways();
  void PlaceNamespace(const std::string& ns);
  void Place(const resource::ObjectName& name, ApiEntry& entry);
  void SetVersions(const resource::ObjectName& name, ApiEntry& entry);
  // What the gateway may serve of the version: null where it asks for an identity that it may not
  // have there.
  CompiledPtr Permitted(const Version& version, const std::string& gateway) const;
  static void Inherit(const CompiledPtr& current, const DefaultsPtr& defaults,
                      Placement& placement);
  void Withdraw(const resource::ObjectName& name, const ApiEntry& entry, const std::string& gateway,
                Placement& placement);
  void WithdrawAll(const resource::ObjectName& name, ApiEntry& entry);
  bool IsWaiting(const compile::CompiledApi& api) const;
  bool Hold(ApiEntry& entry, MonotonicTime now, std::optional<MonotonicTime>& rebuild_at);
  void Accept(const resource::ObjectName& name, ApiEntry& entry, const std::string& gateway,
              compile::ApiOutcome outcome);

  GatewayBook gateways_;
  std::map<std::string, Served> served_;  // the gateways in force
  std::map<resource::ObjectName, ApiEntry> apis_;
  std::set<resource::ObjectName> waiting_;               // may have to be held back
  std::set<resource::ObjectName> touched_;               // for BuildResult::changed
  std::map<resource::ObjectName, SecretEntry> secrets_;  // the referenced ones
  size_t services_ = 0;                                  // of them: grants of Services
  std::vector<resource::ObjectName> deleted_;
  compile::Watermarks seen_;  // of the objects that came from the Kubernetes API
  uint64_t references_version_ = 0;
  uint64_t sequence_ = 0;
  uint64_t compile_count_ = 0;
  bool has_changes_ = true;
};

}  // namespace rota::reconcile
