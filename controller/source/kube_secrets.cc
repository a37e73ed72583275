#include "controller/source/kube_secrets.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "controller/kube/error.h"
#include "controller/resource/foreign_ref.h"
#include "controller/source/kube_decode.h"

namespace rota::source {
namespace {

using nlohmann::json;

kube::Resource SecretResource() { return {"", "v1", "secrets", "Secret"}; }

BackoffOptions ReadBackoff() {
  return {std::chrono::milliseconds(200), std::chrono::seconds(30), 2.0, 0.5};
}

std::string MetadataText(const json& object, const char* name) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) {
    return "";
  }
  const auto found = metadata->find(name);
  return found != metadata->end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

// One metadata watch.
class KubeSecrets::Watch final : public kube::ReflectorHandler {
 public:
  Watch(KubeSecrets& owner, const WatchScope& scope)
      : owner_(owner),
        scope_(scope),
        reflector_(owner.api_, {SecretResource(), scope.ns, true, scope.name}, *this, owner.clock_,
                   owner.options_.reflector) {
    reflector_.Start();
  }

  void OnUpsert(const kube::ObjectId& id, json object) override {
    owner_.OnMetadata({id.ns, id.name}, MetadataText(object, "uid"),
                      MetadataText(object, "resourceVersion"));
  }
  void OnDelete(const kube::ObjectId& id) override { owner_.OnGone({id.ns, id.name}); }
  void OnSynced() override { owner_.OnListed(scope_); }
  void OnHealth(const kube::ReflectorHealth& health) override {
    if (!health.error.ok()) {
      owner_.OnListed(scope_);
    }
    {
      std::lock_guard guard(owner_.mutex_);
      if (health.error.ok()) {
        owner_.watch_problems_.erase(scope_);
      } else {
        owner_.watch_problems_[scope_] = std::string(health.error.message());
      }
    }
    owner_.changed_();
  }

 private:
  KubeSecrets& owner_;
  const WatchScope scope_;
  kube::Reflector reflector_;
};

KubeSecrets::KubeSecrets(const kube::KubeApi& api, Clock& clock, const KubeSourceOptions& options,
                         Deliver deliver, Changed changed)
    : api_(api),
      clock_(clock),
      options_(options),
      deliver_(std::move(deliver)),
      changed_(std::move(changed)),
      queue_(clock, ReadBackoff()),
      grants_(api, clock, options.reflector, options.max_granting_namespaces,
              [this] { OnGrants(); }) {}

KubeSecrets::~KubeSecrets() { Stop(); }

void KubeSecrets::Start() {
  for (int i = 0; i < options_.secret_readers; ++i) {
    readers_.emplace_back([this](std::stop_token stop) { Read(stop); });
    pthread_setname_np(readers_.back().native_handle(), "secret-reader");
  }
  manager_ = std::jthread([this](std::stop_token stop) { ManageWatches(stop); });
  pthread_setname_np(manager_.native_handle(), "secret-watches");
}

void KubeSecrets::Stop() {
  manager_.request_stop();
  for (std::jthread& reader : readers_) {
    reader.request_stop();
  }
  if (manager_.joinable()) {
    manager_.join();
  }
  readers_.clear();
}

void KubeSecrets::SetReferences(SecretReferences references) {
  std::vector<resource::ObjectName> to_read;
  {
    std::lock_guard guard(mutex_);
    std::erase_if(wanted_, [&](const auto& entry) {
      const bool dropped = !references.contains(entry.first);
      if (dropped) {
        queue_.Forget(entry.first);
      }
      return dropped;
    });
    size_t position = 0;
    for (auto& [name, keys] : references) {
      Wanted& wanted = wanted_[name];
      const bool was_beyond = wanted.is_beyond;
      wanted.is_beyond = options_.secret_access == SecretAccess::kNamed &&
                         !resource::IsService(name) && position++ >= options_.max_named_secrets;
      if (wanted.is_beyond) {
        wanted.keys = std::move(keys);
        wanted.known = true;
        wanted.problem = absl::StrCat(
            "Secret ", name.ToString(), " is not read: at most ", options_.max_named_secrets,
            " are watched one by one; refer to fewer, or let the controller watch namespaces");
      } else if (wanted.keys != keys || !wanted.known || was_beyond) {
        wanted.keys = std::move(keys);
        to_read.push_back(name);
      }
    }
    foreign_.clear();
    for (const auto& [name, wanted] : wanted_) {
      if (const auto object = resource::ForeignObjectOf(name)) {
        foreign_[*object].insert(name);
      }
    }
    scopes_dirty_ = true;
    scopes_changed_.notify_all();
  }
  for (const resource::ObjectName& name : to_read) {
    queue_.Add(name);
  }
}

bool KubeSecrets::all_known() const {
  std::lock_guard guard(mutex_);
  for (const auto& [name, wanted] : wanted_) {
    if (!wanted.known) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> KubeSecrets::problems() const {
  std::lock_guard guard(mutex_);
  std::vector<std::string> problems;
  for (const auto& [scope, problem] : watch_problems_) {
    problems.push_back(problem);
  }
  for (std::string& problem : grants_.problems()) {
    problems.push_back(std::move(problem));
  }
  for (const auto& [name, wanted] : wanted_) {
    if (!wanted.problem.empty()) {
      problems.push_back(wanted.problem);
    }
  }
  return problems;
}

std::vector<resource::ObjectName> KubeSecrets::ReferencesTo(
    const resource::ObjectName& secret) const {
  std::vector<resource::ObjectName> references;
  if (wanted_.contains(secret)) {
    references.push_back(secret);
  }
  const auto foreign = foreign_.find({ReferentKind::kSecret, secret});
  if (foreign != foreign_.end()) {
    references.insert(references.end(), foreign->second.begin(), foreign->second.end());
  }
  return references;
}

void KubeSecrets::OnMetadata(const resource::ObjectName& secret, const std::string& uid,
                             const std::string& resource_version) {
  std::vector<resource::ObjectName> to_read;
  {
    std::lock_guard guard(mutex_);
    for (const resource::ObjectName& name : ReferencesTo(secret)) {
      Wanted& wanted = wanted_.at(name);
      wanted.watched_version = resource_version;
      const bool is_read = wanted.told.present && wanted.told.uid == uid &&
                           wanted.told.resource_version == resource_version;
      if (!is_read) {
        to_read.push_back(name);
      }
    }
  }
  for (const resource::ObjectName& name : to_read) {
    queue_.Add(name);
  }
}

void KubeSecrets::OnGone(const resource::ObjectName& secret) {
  std::vector<resource::ObjectName> to_read;
  {
    std::lock_guard guard(mutex_);
    to_read = ReferencesTo(secret);
    for (const resource::ObjectName& name : to_read) {
      wanted_.at(name).watched_version.clear();
    }
  }
  // Read rather than believed: it may exist again by now, and events of two watches may cross.
  for (const resource::ObjectName& name : to_read) {
    queue_.Add(name);
  }
}

bool KubeSecrets::IsListed(const resource::ObjectName& secret) const {
  return listed_.contains(secret) || listed_.contains({secret.ns, ""}) ||
         listed_.contains({"", ""});
}

void KubeSecrets::OnListed(const WatchScope& scope) {
  std::vector<resource::ObjectName> to_read;
  {
    std::lock_guard guard(mutex_);
    if (!listed_.insert(scope).second) {
      return;
    }
    for (const auto& [name, wanted] : wanted_) {
      if (!wanted.known && IsListed(resource::SecretBehind(name))) {
        to_read.push_back(name);
      }
    }
  }
  for (const resource::ObjectName& name : to_read) {
    queue_.Add(name);
  }
}

void KubeSecrets::OnGrants() {
  std::vector<resource::ObjectName> to_read;
  {
    std::lock_guard guard(mutex_);
    for (const auto& [object, names] : foreign_) {
      to_read.insert(to_read.end(), names.begin(), names.end());
    }
    scopes_dirty_ = true;
    scopes_changed_.notify_all();
  }
  for (const resource::ObjectName& name : to_read) {
    queue_.Add(name);
  }
  changed_();
}

void KubeSecrets::Read(std::stop_token stop) {
  while (const std::optional<resource::ObjectName> name = queue_.Take(stop)) {
    ReadOne(*name, stop);
  }
}

bool KubeSecrets::IsGranted(const resource::ObjectName& name,
                            const resource::ForeignObject& object) {
  const std::optional<bool> is_allowed = grants_.Allows(name.ns, object);
  if (is_allowed == false) {
    EmitDeleted(name);
  }
  return is_allowed.value_or(false);
}

void KubeSecrets::ReadOne(const resource::ObjectName& name, std::stop_token stop) {
  if (const auto object = resource::ForeignObjectOf(name)) {
    const bool is_granted = IsGranted(name, *object);
    const bool is_service = object->kind == ReferentKind::kService;
    if (is_granted && is_service) {
      EmitGrant(name);
    }
    if (!is_granted || is_service) {
      queue_.Done(name);  // a change of the grants asks again
      changed_();
      return;
    }
  }
  const resource::ObjectName secret = resource::SecretBehind(name);
  std::set<std::string> keys;
  std::string version;
  {
    std::lock_guard guard(mutex_);
    const auto found = wanted_.find(name);
    if (found == wanted_.end() || found->second.is_beyond) {
      queue_.Done(name);
      return;
    }
    Wanted& wanted = found->second;
    version = wanted.watched_version;
    if (version.empty() && !IsListed(secret) && !std::exchange(wanted.has_waited, true)) {
      // With the version from the watch the server answers from its memory: at a start with
      // thousands of Secrets that is most of what it does.
      queue_.Retry(name, options_.first_read_grace);
      return;
    }
    if (wanted.told.present && wanted.known && wanted.told.keys == wanted.keys &&
        wanted.watched_version == wanted.told.resource_version) {
      queue_.Done(name);  // the first read was faster than the watch that asked for another
      return;
    }
    keys = wanted.keys;
  }
  absl::StatusOr<json> object = api_.Get(SecretResource(), secret.ns, secret.name, stop, version);
  if (stop.stop_requested()) {
    queue_.Done(name);
    return;
  }
  if (object.ok()) {
    Emit(name, *object, keys);
    queue_.Done(name);
  } else if (absl::IsNotFound(object.status())) {
    EmitDeleted(name);
    queue_.Done(name);
  } else {
    const absl::Status& error = object.status();
    // "Forbidden" is an answer: one namespace that does not let us in must not keep the rest
    // waiting.
    NoteProblem(name, error, absl::IsPermissionDenied(error));
    queue_.Retry(name, kube::ErrorOf(error).retry_after.value_or(Duration::zero()));
  }
  changed_();
}

void KubeSecrets::Emit(const resource::ObjectName& name, const json& object,
                       const std::set<std::string>& keys) {
  absl::StatusOr<SecretObject> secret = SecretFromKube(object, keys);
  if (!secret.ok()) {
    NoteProblem(name, secret.status(), true);
    return;
  }
  secret->name = name;
  deliver_([&](ObjectSink& sink) {
    if (Remember(name, {true, secret->metadata.uid, secret->metadata.resource_version, keys})) {
      sink.OnSecret(*std::move(secret));
      MarkKnown(name);
    }
  });
}

void KubeSecrets::EmitGrant(const resource::ObjectName& name) {
  deliver_([&](ObjectSink& sink) {
    if (Remember(name, {true, "", "", {}})) {
      SecretObject grant;
      grant.name = name;
      sink.OnSecret(std::move(grant));
      MarkKnown(name);
    }
  });
}

void KubeSecrets::EmitDeleted(const resource::ObjectName& name) {
  deliver_([&](ObjectSink& sink) {
    if (Remember(name, {})) {
      sink.OnDeleted({ObjectKind::kSecret, name});
      MarkKnown(name);
    }
  });
}

bool KubeSecrets::Remember(const resource::ObjectName& name, Told told) {
  std::lock_guard guard(mutex_);
  const auto found = wanted_.find(name);
  if (found == wanted_.end()) {
    return false;
  }
  Wanted& wanted = found->second;
  wanted.problem.clear();
  if (wanted.known && wanted.told == told) {
    return false;
  }
  wanted.told = std::move(told);
  return true;
}

void KubeSecrets::MarkKnown(const resource::ObjectName& name) {
  std::lock_guard guard(mutex_);
  if (const auto found = wanted_.find(name); found != wanted_.end()) {
    found->second.known = true;
  }
}

void KubeSecrets::NoteProblem(const resource::ObjectName& name, const absl::Status& error,
                              bool definite) {
  std::lock_guard guard(mutex_);
  const auto found = wanted_.find(name);
  if (found == wanted_.end()) {
    return;
  }
  std::string problem(error.message());
  if (found->second.problem != problem) {
    log::Warn("source", "a Secret cannot be read; its last value stays in use",
              {{"namespace", name.ns}, {"name", name.name}, {"error", problem}});
    found->second.problem = std::move(problem);
  }
  found->second.known = found->second.known || definite;
}

std::set<KubeSecrets::WatchScope> KubeSecrets::WantedScopes() const {
  std::set<WatchScope> scopes;
  for (const auto& [name, wanted] : wanted_) {
    if (const auto object = resource::ForeignObjectOf(name)) {
      if (object->kind == ReferentKind::kService ||
          !grants_.Allows(name.ns, *object).value_or(false)) {
        continue;  // nothing to look at, or not before it is granted
      }
    }
    const resource::ObjectName secret = resource::SecretBehind(name);
    if (options_.secret_access == SecretAccess::kNamespace) {
      scopes.insert({secret.ns, ""});
    } else if (!wanted.is_beyond) {
      scopes.insert(secret);
    }
  }
  if (options_.secret_access == SecretAccess::kNamespace &&
      scopes.size() > options_.max_secret_watches) {
    scopes = {{"", ""}};
  }
  return scopes;
}

void KubeSecrets::ManageWatches(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::set<WatchScope> scopes;
    std::set<std::string> granting;
    {
      std::unique_lock lock(mutex_);
      scopes_changed_.wait(lock, stop, [this] { return scopes_dirty_; });
      scopes_dirty_ = false;
      scopes = WantedScopes();
      for (const auto& [object, names] : foreign_) {
        granting.insert(object.name.ns);
      }
    }
    if (stop.stop_requested()) {
      break;
    }
    grants_.SetNamespaces(granting);
    // New ones first: nothing goes unwatched while the old ones end.
    for (const WatchScope& scope : scopes) {
      if (!watches_.contains(scope)) {
        watches_.emplace(scope, std::make_unique<Watch>(*this, scope));
      }
    }
    std::vector<WatchScope> ended;
    std::erase_if(watches_, [&](const auto& entry) {
      if (scopes.contains(entry.first)) {
        return false;
      }
      ended.push_back(entry.first);
      return true;
    });
    std::lock_guard guard(mutex_);
    for (const WatchScope& scope : ended) {
      watch_problems_.erase(scope);
      listed_.erase(scope);
    }
  }
  watches_.clear();
  grants_.SetNamespaces({});
}

}  // namespace rota::source
