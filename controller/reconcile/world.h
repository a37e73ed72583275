#pragma once

// All objects that the controller knows, and what is made of them. Objects go in as they come from
// a source; Build() gives the snapshot. Each object is decoded and compiled once per content. An
// API whose newest version is invalid is served in its last good one; a version that needs a Secret
// which has been asked for and not yet been answered is held back for up to kSecretGrace, so that
// no request meets a missing credential in between.
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

#include "common/clock.h"
#include "controller/compile/assemble.h"
#include "controller/reconcile/status.h"
#include "controller/source/object.h"
#include "controller/source/source.h"

namespace rota::reconcile {

inline constexpr Duration kSecretGrace = std::chrono::seconds(2);

struct BuildResult {
  std::shared_ptr<const compile::Snapshot> snapshot;
  std::vector<resource::ObjectName> changed;  // APIs whose StatusOf() may differ from before
  std::vector<resource::ObjectName> deleted;  // APIs that are gone since the last Build()
  // When Build() would give something else without any new object.
  std::optional<MonotonicTime> rebuild_at;
};

class World {
 public:
  explicit World(compile::GatewaySettings gateway);

  void OnApi(source::ApiObject object);
  // Secrets that nobody references are not kept.
  void OnSecret(source::SecretObject object);
  void OnDeleted(const source::ObjectKey& key);

  // Something has come in since the last Build().
  bool has_changes() const { return has_changes_; }
  BuildResult Build(MonotonicTime now);

  // The Secrets that current and served versions need. `references_version` counts their changes.
  source::SecretReferences References() const;
  uint64_t references_version() const { return references_version_; }

  // Accepted and ResolvedRefs as of the last Build(); Programmed is left Unknown. nullopt: no such
  // API.
  std::optional<ApiStatus> StatusOf(const resource::ObjectName& name) const;
  // Hash of the version that is served; 0: none.
  uint64_t ServedHash(const resource::ObjectName& name) const;
  std::vector<resource::ObjectName> Names() const;
  // At most `count` APIs, those that follow `name`; the first follows the last.
  std::vector<resource::ObjectName> NamesAfter(const resource::ObjectName& name,
                                               size_t count) const;
  size_t api_count() const { return apis_.size(); }
  size_t secret_count() const { return secrets_.size(); }
  // Objects that were really decoded and compiled: the memo at work.
  uint64_t compile_count() const { return compile_count_; }

 private:
  using CompiledPtr = std::shared_ptr<const compile::CompiledApi>;

  struct ApiEntry {
    source::Metadata metadata;
    std::string file;
    uint64_t content_hash = 0;
    resource::Diagnostics diagnostics;  // of the newest version
    CompiledPtr current;                // null: it does not decode or compile
    CompiledPtr last_good;
    int64_t last_good_generation = 0;
    std::optional<MonotonicTime> held_until;  // while `current` waits for a Secret
    bool is_held = false;
    compile::ApiOutcome outcome;  // of the last Build()
  };

  struct SecretEntry {
    std::map<std::string, size_t> wanted;  // key -> number of versions that need it
    bool is_answered = false;              // since `wanted` changed
    bool exists = false;
    std::string uid;
    std::string resource_version;
    compile::SecretData data;
  };

  compile::Age AgeOf(const resource::ObjectName& name, const ApiEntry& entry) const;
  void Compile(const source::ApiObject& object, ApiEntry& entry);
  void Want(const CompiledPtr& api);
  void Release(const CompiledPtr& api);
  bool IsWaiting(const compile::CompiledApi& api) const;
  bool Hold(ApiEntry& entry, MonotonicTime now, std::optional<MonotonicTime>& rebuild_at);
  void Accept(const resource::ObjectName& name, ApiEntry& entry, compile::ApiOutcome outcome);

  const compile::GatewaySettings gateway_;
  const std::shared_ptr<const compile::ResourceBody> gateway_body_;
  std::map<resource::ObjectName, ApiEntry> apis_;
  compile::Assembler assembler_;
  std::set<resource::ObjectName> waiting_;               // may have to be held back
  std::set<resource::ObjectName> touched_;               // for BuildResult::changed
  std::map<resource::ObjectName, SecretEntry> secrets_;  // the referenced ones
  std::vector<resource::ObjectName> deleted_;
  std::shared_ptr<const compile::Snapshot> snapshot_;
  compile::Watermarks seen_;  // of the objects that came from the Kubernetes API
  uint64_t references_version_ = 0;
  uint64_t sequence_ = 0;
  uint64_t compile_count_ = 0;
  bool has_changes_ = true;
};

}  // namespace rota::reconcile
