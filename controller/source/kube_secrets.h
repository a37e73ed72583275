#pragma once

// The Secret half of the Kubernetes source: which Secrets are wanted, a metadata watch per
// namespace that holds one (or per Secret), and readers that get the wanted ones when they change.
//
// Secrets of other namespaces (foreign_ref.h) do not exist without a ReferenceGrant. Of Services
// there only the grant is looked at: they are told as Secrets without keys while they are granted.
//
// Thread-safe. Calls the sink through `deliver`, which serialises.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "controller/kube/work_queue.h"
#include "controller/source/kube_source.h"
#include "controller/source/reference_grants.h"

namespace rota::source {

class KubeSecrets {
 public:
  using Deliver = std::function<void(const std::function<void(ObjectSink&)>&)>;
  // Called without a lock after anything that all_known() or problems() may tell has changed.
  using Changed = std::function<void()>;

  KubeSecrets(const kube::KubeApi& api, Clock& clock, const KubeSourceOptions& options,
              Deliver deliver, Changed changed);
  ~KubeSecrets();

  void Start();
  void Stop();
  void SetReferences(SecretReferences references);

  // Every wanted Secret has been read, is absent, or is forbidden to us.
  bool all_known() const;
  // What a person should know, one sentence each.
  std::vector<std::string> problems() const;

 private:
  class Watch;

  // What the sink has been told of a Secret; everything empty when it is not there.
  struct Told {
    bool present = false;
    std::string uid;
    std::string resource_version;
    std::set<std::string> keys;  // those that were wanted at that time
    friend bool operator==(const Told&, const Told&) = default;
  };
  // What we know of one wanted Secret.
  struct Wanted {
    std::set<std::string> keys;
    bool known = false;
    Told told;
    std::string watched_version;  // as the watch told last; "" when it has not, or is gone
    std::string problem;          // "" when none
    bool is_beyond = false;       // of max_named_secrets: neither watched nor read
    bool has_waited = false;      // for the watch, as long as it may
  };
  // What a watch is over: a namespace, ("") all of them, or one Secret.
  using WatchScope = resource::ObjectName;

  void Read(std::stop_token stop);
  void ReadOne(const resource::ObjectName& name, std::stop_token stop);
  // Whether that object may be used. False: the sink knows it, or it cannot be said yet.
  bool IsGranted(const resource::ObjectName& name, const resource::ForeignObject& object);
  void Emit(const resource::ObjectName& name, const nlohmann::json& object,
            const std::set<std::string>& keys);
  void EmitGrant(const resource::ObjectName& name);
  void EmitDeleted(const resource::ObjectName& name);
  // False when there is nothing new to tell, or nobody wants the Secret any more.
  bool Remember(const resource::ObjectName& name, Told told);
  void MarkKnown(const resource::ObjectName& name);
  void NoteProblem(const resource::ObjectName& name, const absl::Status& error, bool definite);
  void OnMetadata(const resource::ObjectName& name, const std::string& uid,
                  const std::string& resource_version);
  void OnGone(const resource::ObjectName& name);
  // The watch has told all there is, or cannot: what waited for it is read.
  void OnListed(const WatchScope& scope);
  // REQUIRES: mutex_.
  bool IsListed(const resource::ObjectName& secret) const;
  void OnGrants();
  // The wanted references to a Secret. REQUIRES: mutex_.
  std::vector<resource::ObjectName> ReferencesTo(const resource::ObjectName& secret) const;
  void ManageWatches(std::stop_token stop);
  std::set<WatchScope> WantedScopes() const;

  const kube::KubeApi& api_;
  Clock& clock_;
  const KubeSourceOptions options_;
  const Deliver deliver_;
  const Changed changed_;
  kube::WorkQueue<resource::ObjectName> queue_;

  mutable std::mutex mutex_;
  std::condition_variable_any scopes_changed_;
  bool scopes_dirty_ = false;
  std::map<resource::ObjectName, Wanted> wanted_;
  // Of wanted_, those to objects of other namespaces, by the object.
  std::map<resource::ForeignObject, std::set<resource::ObjectName>> foreign_;
  std::map<WatchScope, std::string> watch_problems_;
  std::set<WatchScope> listed_;  // whose watch has told all there was, or has failed to

  ReferenceGrants grants_;
  std::map<WatchScope, std::unique_ptr<Watch>> watches_;  // of the manager's thread
  std::vector<std::jthread> readers_;
  std::jthread manager_;
};

}  // namespace rota::source
