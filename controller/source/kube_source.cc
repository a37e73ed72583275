#include "controller/source/kube_source.h"

#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "controller/source/kube_decode.h"
#include "controller/source/kube_secrets.h"

namespace rota::source {

using nlohmann::json;

kube::Resource ApiResource() { return {"gateway.rota.dev", "v1alpha1", "apis", "API"}; }
kube::Resource GatewayResource() {
  return {"gateway.rota.dev", "v1alpha1", "rotagateways", "RotaGateway"};
}

kube::Resource NamespaceResource() { return {"", "v1", "namespaces", "Namespace"}; }

namespace {

kube::Scope ScopeOf(ObjectKind kind, const std::string& ns) {
  switch (kind) {
    case ObjectKind::kNamespace:
      return {NamespaceResource(), "", true};
    case ObjectKind::kGateway:
      return {GatewayResource(), ns, false};
    default:
      return {ApiResource(), ns, false};
  }
}

}  // namespace

class KubeSource::Impl {
 public:
  Impl(const kube::KubeApi& api, Clock& clock, KubeSourceOptions options)
      : api_(api),
        clock_(clock),
        options_(std::move(options)),
        secrets_(
            api, clock, options_, [this](const auto& call) { Deliver(call); },
            [this] { Review(); }) {}

  absl::Status Start(ObjectSink& sink) {
    if (sink_ != nullptr) {
      return absl::FailedPreconditionError("the Kubernetes source has been started already");
    }
    sink_ = &sink;
    reviewer_ = std::jthread([this](std::stop_token stop) { ReviewLoop(stop); });
    secrets_.Start();
    std::vector<std::string> scopes = options_.namespaces;
    if (scopes.empty()) {
      scopes.push_back("");
    }
    for (const std::string& ns : scopes) {
      watches_.push_back(std::make_unique<SpecWatch>(*this, ObjectKind::kGateway, ns));
      watches_.push_back(std::make_unique<SpecWatch>(*this, ObjectKind::kApi, ns));
    }
    for (const auto& watch : watches_) {
      watch->reflector.Start();
    }
    return absl::OkStatus();
  }

  void Stop() {
    for (const auto& watch : watches_) {
      watch->reflector.Stop();
    }
    {
      std::lock_guard guard(namespaces_mutex_);
      is_stopped_ = true;
    }
    if (namespaces_ != nullptr) {
      namespaces_->reflector.Stop();
    }
    secrets_.Stop();
    if (reviewer_.joinable()) {
      reviewer_.request_stop();
      reviewer_.join();
    }
  }

  void SetSecretReferences(SecretReferences references) {
    bool complete = false;
    {
      std::lock_guard guard(mutex_);
      complete = apis_synced_;
    }
    secrets_.SetReferences(std::move(references));
    std::lock_guard guard(mutex_);
    references_complete_ = references_complete_ || complete;
    ReviewLocked();
  }

  void Recheck() {
    {
      std::lock_guard guard(mutex_);
      for (const auto& watch : watches_) {
        if (!missing_.contains(watch->id)) {
          to_relist_.insert(watch->id);
        }
      }
    }
    for (const auto& watch : watches_) {
      watch->reflector.Relist();
    }
  }

  void WantNamespaces() {
    std::lock_guard guard(namespaces_mutex_);
    if (namespaces_ == nullptr && !is_stopped_) {
      namespaces_ = std::make_unique<SpecWatch>(*this, ObjectKind::kNamespace, "");
      namespaces_->reflector.Start();
    }
  }

  SourceHealth Health() const {
    std::lock_guard guard(mutex_);
    SourceHealth health;
    health.synced = secrets_synced_;
    health.connected = !watches_health_.empty();
    for (const auto& [watch, state] : watches_health_) {
      health.connected = health.connected && state.connected;
      if (!state.error.ok()) {
        health.last_error = std::string(state.error.message());
      }
    }
    if (health.last_error.empty() && !reported_.empty()) {
      health.last_error = reported_.front();
    }
    return health;
  }

 private:
  using WatchId = std::pair<ObjectKind, std::string>;  // namespace; "" = all

  // The watch over the objects of one kind (not Secrets) in one namespace, or in all.
  struct SpecWatch final : kube::ReflectorHandler {
    SpecWatch(Impl& impl, ObjectKind watched_kind, const std::string& ns)
        : owner(impl),
          id(watched_kind, ns),
          reflector(impl.api_, ScopeOf(watched_kind, ns), *this, impl.clock_,
                    impl.options_.reflector) {
      std::lock_guard guard(owner.mutex_);
      owner.watches_health_[id] = {};
    }
    void OnUpsert(const kube::ObjectId&, json object) override {
      SpecObject decoded = id.first == ObjectKind::kNamespace ? NamespaceFromKube(object)
                                                              : SpecFromKube(std::move(object));
      // The server counts up the generation with each change of the spec. Without one it is our own
      // status that comes back, or a label: nothing that the object's reader acts on.
      const std::pair incarnation(decoded.metadata.uid, decoded.metadata.generation);
      const auto [known, is_new] = told.try_emplace(decoded.name, incarnation);
      if (!is_new && known->second == incarnation && decoded.metadata.generation != 0) {
        return;
      }
      known->second = incarnation;
      owner.Deliver([&](ObjectSink& sink) {
        if (id.first == ObjectKind::kApi) {
          sink.OnApi(std::move(decoded));
        } else if (id.first == ObjectKind::kGateway) {
          sink.OnGateway(std::move(decoded));
        } else {
          sink.OnNamespace(std::move(decoded));
        }
      });
    }
    void OnDelete(const kube::ObjectId& object) override {
      told.erase({object.ns, object.name});
      owner.Deliver([&](ObjectSink& sink) {
        sink.OnDeleted({id.first, {object.ns, object.name}});
      });
    }
    void OnGone(const std::vector<kube::ObjectId>& ids) override {
      std::vector<ObjectKey> keys;
      for (const kube::ObjectId& gone : ids) {
        told.erase({gone.ns, gone.name});
        keys.push_back({id.first, {gone.ns, gone.name}});
      }
      owner.Deliver([&](ObjectSink& sink) { sink.OnGone(keys); });
    }
    void OnRelisted() override { owner.OnRelisted(id); }
    void OnSynced() override { Synced(); }
    void Synced() {
      if (id.first == ObjectKind::kNamespace) {
        owner.OnNamespacesSynced();
      } else {
        owner.OnSpecsSynced();
      }
    }
    void OnHealth(const kube::ReflectorHealth& health) override {
      kube::ReflectorHealth seen = health;
      const bool is_missing = id.first == ObjectKind::kGateway && absl::IsNotFound(health.error);
      if (is_missing) {
        // The definition is not installed: there are none, and it is looked for again.
        seen.synced = true;
        seen.connected = true;
        seen.error = absl::OkStatus();
      }
      owner.OnMissing(id, is_missing);
      if (id.first == ObjectKind::kNamespace && absl::IsPermissionDenied(health.error)) {
        // Nobody waits for what cannot be read; the error is told.
        seen.synced = true;
      }
      owner.OnHealth(id, seen);
      if (seen.synced && !health.synced) {
        Synced();
      }
    }

    Impl& owner;
    const WatchId id;
    // uid and generation as emitted; of the reflector's thread.
    std::map<resource::ObjectName, std::pair<std::string, int64_t>> told;
    kube::Reflector reflector;
  };

  void Deliver(const std::function<void(ObjectSink&)>& call) {
    std::lock_guard guard(delivery_mutex_);
    call(*sink_);
  }

  void OnHealth(const WatchId& watch, const kube::ReflectorHealth& health) {
    {
      std::lock_guard guard(mutex_);
      watches_health_[watch] = health;
    }
    Review();
  }

  // Whether the server knows the watched kind at all.
  void OnMissing(const WatchId& watch, bool is_missing) {
    {
      std::lock_guard guard(mutex_);
      if (!is_missing) {
        missing_.erase(watch);
        return;
      }
      missing_.insert(watch);
    }
    OnRelisted(watch);  // nobody waits for what is not there
  }

  void OnRelisted(const WatchId& watch) {
    {
      std::lock_guard guard(mutex_);
      if (to_relist_.erase(watch) == 0 || !to_relist_.empty()) {
        return;
      }
    }
    Deliver([](ObjectSink& sink) { sink.OnRechecked(); });
  }

  void OnSpecsSynced() {
    {
      std::lock_guard guard(mutex_);
      for (const auto& [watch, state] : watches_health_) {
        if (!state.synced) {
          return;
        }
      }
      if (apis_synced_) {
        return;
      }
      apis_synced_ = true;  // from now on references are complete, also those set by the sink below
    }
    Deliver([](ObjectSink& sink) { sink.OnSynced(ObjectKind::kApi); });
    std::lock_guard guard(mutex_);
    // An owner that refers to no Secret may see no reason to say so.
    references_due_ = clock_.Now() + options_.reference_grace;
    ReviewLocked();
  }

  void OnNamespacesSynced() {
    {
      std::lock_guard guard(mutex_);
      if (std::exchange(namespaces_synced_, true)) {
        return;
      }
    }
    Deliver([](ObjectSink& sink) { sink.OnSynced(ObjectKind::kNamespace); });
  }

  // Asks the reviewer to look. Never delivers itself: the caller may be the sink.
  void Review() {
    std::lock_guard guard(mutex_);
    ReviewLocked();
  }
  void ReviewLocked() {
    review_wanted_ = true;
    review_.notify_all();
  }

  // Tells the sink when the Secrets have become complete and when the problems have changed.
  void ReviewLoop(std::stop_token stop) {
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(mutex_);
        const bool grace = references_due_.has_value() && !references_complete_;
        const MonotonicTime until = grace ? *references_due_ : clock_.Now() + std::chrono::hours(1);
        if (!review_wanted_) {
          clock_.WaitUntil(lock, review_, until, stop);
        }
        if (grace && clock_.Now() >= *references_due_) {
          references_complete_ = true;
          review_wanted_ = true;
        }
        if (!review_wanted_) {
          continue;
        }
        review_wanted_ = false;
      }
      if (!stop.stop_requested()) {
        ReviewOnce();
      }
    }
  }

  void ReviewOnce() {
    bool complete = false;
    {
      // Before the Secrets are looked at: references that arrive in between are looked at next
      // time.
      std::lock_guard guard(mutex_);
      complete = references_complete_;
    }
    const bool known = secrets_.all_known();
    std::vector<std::string> problems = secrets_.problems();
    bool synced_now = false;
    bool problems_changed = false;
    {
      std::lock_guard guard(mutex_);
      for (const auto& [watch, state] : watches_health_) {
        if (!state.error.ok()) {
          problems.push_back(std::string(state.error.message()));
        }
      }
      synced_now = known && complete && !secrets_synced_;
      secrets_synced_ = secrets_synced_ || synced_now;
      problems_changed = problems != reported_;
      reported_ = problems;
    }
    if (synced_now) {
      log::Info("source", "every referenced Secret has been read");
      Deliver([](ObjectSink& sink) { sink.OnSynced(ObjectKind::kSecret); });
    }
    if (problems_changed) {
      std::vector<SourceProblem> list;
      for (const std::string& problem : problems) {
        list.push_back({"", 0, problem});
      }
      Deliver([&](ObjectSink& sink) { sink.OnProblems(std::move(list)); });
    }
  }

  const kube::KubeApi& api_;
  Clock& clock_;
  const KubeSourceOptions options_;
  ObjectSink* sink_ = nullptr;
  std::mutex delivery_mutex_;  // held while the sink is called

  mutable std::mutex mutex_;
  std::condition_variable_any review_;
  bool review_wanted_ = false;
  std::optional<MonotonicTime> references_due_;
  std::map<WatchId, kube::ReflectorHealth> watches_health_;
  std::set<WatchId> to_relist_;  // that Recheck() waits for
  std::set<WatchId> missing_;    // of kinds that are not defined
  bool apis_synced_ = false;
  bool namespaces_synced_ = false;
  bool references_complete_ = false;
  bool secrets_synced_ = false;
  std::vector<std::string> reported_;

  KubeSecrets secrets_;
  std::vector<std::unique_ptr<SpecWatch>> watches_;
  std::mutex namespaces_mutex_;
  std::unique_ptr<SpecWatch> namespaces_;  // guarded by namespaces_mutex_, until it is stopped
  bool is_stopped_ = false;                // guarded by namespaces_mutex_
  std::jthread reviewer_;
};

KubeSource::KubeSource(const kube::KubeApi& api, Clock& clock, KubeSourceOptions options)
    : impl_(std::make_unique<Impl>(api, clock, std::move(options))) {}
KubeSource::~KubeSource() { Stop(); }

absl::Status KubeSource::Start(ObjectSink& sink) { return impl_->Start(sink); }
void KubeSource::Stop() { impl_->Stop(); }
void KubeSource::SetSecretReferences(SecretReferences references) {
  impl_->SetSecretReferences(std::move(references));
}
void KubeSource::Recheck() { impl_->Recheck(); }
void KubeSource::WantNamespaces() { impl_->WantNamespaces(); }
SourceHealth KubeSource::Health() const { return impl_->Health(); }

}  // namespace rota::source
