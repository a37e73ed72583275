#pragma once

// The seam between where objects come from and what is made of them.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controller/source/object.h"

namespace rota::source {

// Receives a source's events. Calls come from the source's own threads, one at a time.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;
  virtual void OnNamespace(NamespaceObject object) = 0;
  virtual void OnGateway(GatewayObject object) = 0;
  virtual void OnApi(ApiObject object) = 0;
  virtual void OnSecret(SecretObject object) = 0;
  virtual void OnDeleted(const ObjectKey& key) = 0;
  // All of these were found to be gone in one look.
  virtual void OnGone(const std::vector<ObjectKey>& keys) {
    for (const ObjectKey& key : keys) {
      OnDeleted(key);
    }
  }
  // The look that Recheck() has asked for is over: every RotaGateway and API that it found and that
  // was told to be gone before has been emitted again.
  virtual void OnRechecked() {}
  // Everything that existed at the start has been emitted: kApi stands for RotaGateways and APIs,
  // kSecret for the referenced Secrets, kNamespace for Namespaces (with those that the source is
  // not allowed to read left out). Called once for each; nothing is compiled before the first two.
  virtual void OnSynced(ObjectKind kind) = 0;
  // The current problems of the source, whole list each time (empty: all is well).
  virtual void OnProblems(std::vector<SourceProblem> problems) = 0;
};

// The keys of Secrets that the current APIs refer to, "<namespace>/<name>" -> keys; and the
// Services of other namespaces, whose grant is told as a Secret without keys (foreign_ref.h).
using SecretReferences = std::map<resource::ObjectName, std::set<std::string>>;

// Health for /readyz and metrics.
struct SourceHealth {
  bool synced = false;
  bool connected = false;  // the watch is up, or the directory is readable
  std::string last_error;  // "" when none
};

// Thread-safe.
class Source {
 public:
  virtual ~Source() = default;
  // Starts the source's threads; `sink` must outlive the source. Stop() (or the destructor) joins
  // them.
  virtual absl::Status Start(ObjectSink& sink) = 0;
  virtual void Stop() = 0;
  // Tells the source which Secrets to read; it emits them (or OnDeleted where one does not exist)
  // as it learns of them, and again when the wanted keys change. A Secret is reported with the
  // referenced keys only.
  virtual void SetSecretReferences(SecretReferences references) = 0;
  // Looks at all RotaGateways and APIs anew, and again until it succeeds, then calls OnRechecked().
  // Never blocks.
  virtual void Recheck() = 0;
  // From now on the labels of Namespaces are of interest. A source that has to ask for them does
  // not do so before. Idempotent.
  virtual void WantNamespaces() = 0;
  virtual SourceHealth Health() const = 0;
};

}  // namespace rota::source
