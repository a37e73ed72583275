#include "controller/source/reference_grants.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/source/kube_source.h"

namespace rota::source {
namespace {

using nlohmann::json;

constexpr size_t kMaxPairsOfObject = 1024;  // its definition allows 16 x 16

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& List(const json& spec, const char* name) {
  static const json kNone = json::array();
  const auto found = spec.find(name);
  return found != spec.end() && found->is_array() ? *found : kNone;
}

// The kind of object that is granted; nullopt: none of those that APIs refer to.
std::optional<ReferentKind> KindOf(const json& to) {
  if (!Text(to, "group").empty()) {
    return std::nullopt;
  }
  const std::string kind = Text(to, "kind");
  if (kind == "Secret") {
    return ReferentKind::kSecret;
  }
  return kind == "Service" ? std::optional(ReferentKind::kService) : std::nullopt;
}

}  // namespace

kube::Resource ReferenceGrantResource() {
  return {"gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant"};
}

class ReferenceGrants::Watch final : public kube::ReflectorHandler {
 public:
  Watch(ReferenceGrants& owner, const std::string& ns)
      : owner_(owner),
        ns_(ns),
        reflector_(owner.api_, {ReferenceGrantResource(), ns, false}, *this, owner.clock_,
                   owner.options_) {
    reflector_.Start();
  }

  void OnUpsert(const kube::ObjectId& id, json object) override {
    owner_.Update(ns_, [&](Namespace& state) { Put(id.name, Read(object), state); });
  }
  void OnDelete(const kube::ObjectId& id) override {
    owner_.Update(ns_, [&](Namespace& state) { Remove(id.name, state); });
  }
  void OnSynced() override {
    owner_.Update(ns_, [](Namespace& state) { state.is_known = true; });
  }
  void OnHealth(const kube::ReflectorHealth& health) override {
    const bool is_undefined = absl::IsNotFound(health.error);
    const bool is_refused = absl::IsPermissionDenied(health.error);
    owner_.Update(ns_, [&](Namespace& state) {
      // No definition, no grant; not allowed to look: an answer, too.
      state.is_known = state.is_known || is_undefined || is_refused;
      // Not cleared: what the reflector has told once it tells again only when it has changed.
      state.is_undefined = is_undefined || (state.is_undefined && !health.error.ok());
      state.problem = health.error.ok() || is_undefined ? "" : std::string(health.error.message());
    });
  }

 private:
  ReferenceGrants& owner_;
  const std::string ns_;
  kube::Reflector reflector_;  // last: uses the rest
};

ReferenceGrants::ReferenceGrants(const kube::KubeApi& api, Clock& clock,
                                 kube::ReflectorOptions options, size_t max_namespaces,
                                 std::function<void()> changed)
    : api_(api),
      clock_(clock),
      options_(std::move(options)),
      max_namespaces_(max_namespaces),
      changed_(std::move(changed)) {}

ReferenceGrants::~ReferenceGrants() = default;

std::vector<ReferenceGrants::Grant> ReferenceGrants::Read(const json& object) {
  std::vector<Grant> grants;
  const json spec = object.value("spec", json::object());
  for (const json& from : List(spec, "from")) {
    if (Text(from, "group") != ApiResource().group || Text(from, "kind") != ApiResource().kind) {
      continue;
    }
    for (const json& to : List(spec, "to")) {
      const std::optional<ReferentKind> kind = KindOf(to);
      if (kind.has_value() && grants.size() < kMaxPairsOfObject) {
        grants.push_back({Text(from, "namespace"), *kind, Text(to, "name")});
      }
    }
  }
  return grants;
}

void ReferenceGrants::Remove(const std::string& object, Namespace& state) {
  state.left_out.erase(object);
  if (const auto found = state.grants.find(object); found != state.grants.end()) {
    state.pairs -= found->second.size();
    state.grants.erase(found);
  }
}

void ReferenceGrants::Put(const std::string& object, std::vector<Grant> grants, Namespace& state) {
  Remove(object, state);
  if (grants.empty()) {
    return;  // of somebody else's kinds
  }
  if (state.pairs + grants.size() > kMaxPairs) {
    state.left_out.insert(object);
    return;
  }
  state.pairs += grants.size();
  state.grants.emplace(object, std::move(grants));
}

template <typename Change>
void ReferenceGrants::Update(const std::string& ns, Change change) {
  {
    std::lock_guard guard(mutex_);
    const auto found = namespaces_.find(ns);
    if (found == namespaces_.end()) {
      return;
    }
    change(found->second);
  }
  changed_();
}

void ReferenceGrants::SetNamespaces(const std::set<std::string>& namespaces) {
  std::set<std::string> watched;
  for (const auto& [ns, watch] : watches_) {
    if (namespaces.contains(ns)) {
      watched.insert(ns);
    }
  }
  for (const std::string& ns : namespaces) {
    if (watched.size() < max_namespaces_) {
      watched.insert(ns);
    }
  }
  bool changes = false;
  {
    std::lock_guard guard(mutex_);
    left_out_ = namespaces.size() - watched.size();
    for (const std::string& ns : watched) {
      changes = namespaces_.try_emplace(ns).second || changes;
    }
  }
  for (const std::string& ns : watched) {
    if (!watches_.contains(ns)) {
      watches_.emplace(ns, std::make_unique<Watch>(*this, ns));
    }
  }
  std::erase_if(watches_, [&](const auto& entry) { return !watched.contains(entry.first); });
  {
    std::lock_guard guard(mutex_);
    changes =
        std::erase_if(namespaces_,
                      [&](const auto& entry) { return !watched.contains(entry.first); }) > 0 ||
        changes;
  }
  if (changes) {
    changed_();
  }
}

std::optional<bool> ReferenceGrants::Allows(const std::string& user,
                                            const resource::ForeignObject& wanted) const {
  std::lock_guard guard(mutex_);
  const auto found = namespaces_.find(wanted.name.ns);
  if (found == namespaces_.end()) {
    return left_out_ > 0 ? std::optional(false) : std::nullopt;
  }
  const Namespace& state = found->second;
  for (const auto& [object, grants] : state.grants) {
    for (const Grant& grant : grants) {
      const bool is_meant = grant.user == user && grant.kind == wanted.kind &&
                            (grant.name.empty() || grant.name == wanted.name.name);
      if (is_meant && !state.is_undefined) {
        return true;
      }
    }
  }
  return state.is_known ? std::optional(false) : std::nullopt;
}

std::vector<std::string> ReferenceGrants::problems() const {
  std::vector<std::string> problems;
  std::lock_guard guard(mutex_);
  for (const auto& [ns, state] : namespaces_) {
    if (!state.problem.empty()) {
      problems.push_back(state.problem);
    }
    if (!state.left_out.empty()) {
      problems.push_back(absl::StrCat("the ReferenceGrants of namespace ", ns, " name more than ",
                                      kMaxPairs, " pairs of a namespace and an object; ",
                                      state.left_out.size(), " of them grant nothing"));
    }
  }
  if (left_out_ > 0) {
    problems.push_back(absl::StrCat("objects of more than ", max_namespaces_,
                                    " other namespaces are referred to; the ReferenceGrants of ",
                                    left_out_, " are not looked at"));
  }
  return problems;
}

}  // namespace rota::source
