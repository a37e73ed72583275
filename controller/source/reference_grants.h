#pragma once

// Which Secrets and Services of other namespaces APIs may use: the ReferenceGrants
// (gateway.networking.k8s.io) of the namespaces that own them. A cluster without that definition
// grants nothing until it is installed. A watch that fails keeps the last answers.
//
// SetNamespaces() and the destructor belong to one thread; the rest is thread-safe. One watch per
// namespace.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/reflector.h"
#include "controller/resource/foreign_ref.h"
#include "nlohmann/json.hpp"

namespace rota::source {

// gateway.networking.k8s.io/v1beta1.
kube::Resource ReferenceGrantResource();

class ReferenceGrants {
 public:
  // Pairs of a user and a Secret or Service in one namespace; objects with further ones grant
  // nothing.
  static constexpr size_t kMaxPairs = 10'000;

  // `changed` is called without a lock, from the watches' threads, after anything that Allows() or
  // problems() may tell has changed. Everything outlives the grants.
  ReferenceGrants(const kube::KubeApi& api, Clock& clock, kube::ReflectorOptions options,
                  size_t max_namespaces, std::function<void()> changed);
  ~ReferenceGrants();

  // Whose grants matter. Of more than `max_namespaces` those that are watched already stay, and the
  // others grant nothing: who refers to many namespaces takes no grant from anybody.
  void SetNamespaces(const std::set<std::string>& namespaces);
  // Whether APIs of namespace `user` may use that object; nullopt: not known yet.
  std::optional<bool> Allows(const std::string& user, const resource::ForeignObject& wanted) const;
  std::vector<std::string> problems() const;

 private:
  class Watch;
  // One pair of `from` and `to`.
  struct Grant {
    std::string user;  // namespace
    ReferentKind kind = ReferentKind::kSecret;
    std::string name;  // "" = every object of the kind
  };
  struct Namespace {
    bool is_known = false;
    bool is_undefined = false;                         // as the server says now
    std::map<std::string, std::vector<Grant>> grants;  // by name of the object
    size_t pairs = 0;                                  // of all grants
    std::set<std::string> left_out;                    // objects beyond kMaxPairs
    std::string problem;
  };

  static std::vector<Grant> Read(const nlohmann::json& object);
  static void Remove(const std::string& object, Namespace& state);
  static void Put(const std::string& object, std::vector<Grant> grants, Namespace& state);
  template <typename Change>
  void Update(const std::string& ns, Change change);

  const kube::KubeApi& api_;
  Clock& clock_;
  const kube::ReflectorOptions options_;
  const size_t max_namespaces_;
  const std::function<void()> changed_;
  mutable std::mutex mutex_;
  std::map<std::string, Namespace> namespaces_;
  size_t left_out_ = 0;
  std::map<std::string, std::unique_ptr<Watch>> watches_;  // of the caller's thread
};

}  // namespace rota::source
