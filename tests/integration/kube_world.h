#pragma once

// A sink of a source that remembers what it was told. Thread-safe.

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "controller/source/source.h"

namespace rota::testing {

// Remembers what a source said, and refers to Secrets as it is told to.
class World final : public source::ObjectSink {
 public:
  void OnNamespace(source::NamespaceObject object) override {
    std::lock_guard guard(mutex_);
    namespaces_[object.name.name] = object.spec;
  }
  void OnGateway(source::GatewayObject object) override {
    std::lock_guard guard(mutex_);
    gateways_.insert(object.name);
    log_.push_back("gateway " + object.name.ToString());
  }
  void OnApi(source::ApiObject object) override {
    std::lock_guard guard(mutex_);
    apis_[object.name] = object.spec.value("basePath", "");
    generations_[object.name] = object.metadata.generation;
    if (object.status.is_object()) {
      statuses_.push_back(object.status.value("note", ""));
    }
    log_.push_back("api " + object.name.ToString());
  }
  void OnSecret(source::SecretObject object) override {
    std::lock_guard guard(mutex_);
    std::map<std::string, std::string> data;
    for (const auto& [key, value] : object.data) {
      data[key] = std::string(value.Reveal());
    }
    secrets_[object.name] = data;
    log_.push_back("secret " + object.name.ToString());
  }
  void OnDeleted(const source::ObjectKey& key) override {
    std::lock_guard guard(mutex_);
    if (key.kind == source::ObjectKind::kApi) {
      apis_.erase(key.name);
    } else if (key.kind == source::ObjectKind::kNamespace) {
      namespaces_.erase(key.name.name);
    } else if (key.kind == source::ObjectKind::kGateway) {
      gateways_.erase(key.name);
    } else {
      secrets_.erase(key.name);
    }
    log_.push_back("deleted " + key.name.ToString());
  }
  void OnRechecked() override {
    std::lock_guard guard(mutex_);
    log_.push_back("rechecked");
  }
  void OnSynced(source::ObjectKind kind) override {
    {
      std::lock_guard guard(mutex_);
      log_.push_back(kind == source::ObjectKind::kApi      ? "apis synced"
                     : kind == source::ObjectKind::kSecret ? "secrets synced"
                                                           : "namespaces synced");
    }
    if (kind == source::ObjectKind::kApi && on_apis_synced) {
      on_apis_synced();
    }
  }
  void OnProblems(std::vector<source::SourceProblem> problems) override {
    std::lock_guard guard(mutex_);
    problems_.clear();
    for (const source::SourceProblem& problem : problems) {
      problems_.push_back(problem.message);
    }
  }

  std::function<void()> on_apis_synced;

  template <typename T>
  T Read(T World::*member) const {
    std::lock_guard guard(mutex_);
    return this->*member;
  }
  bool Logged(const std::string& entry) const {
    std::lock_guard guard(mutex_);
    return std::find(log_.begin(), log_.end(), entry) != log_.end();
  }
  size_t Count(const std::string& entry) const {
    std::lock_guard guard(mutex_);
    return static_cast<size_t>(std::count(log_.begin(), log_.end(), entry));
  }
  std::string Key(const resource::ObjectName& name, const std::string& key) const {
    std::lock_guard guard(mutex_);
    const auto found = secrets_.find(name);
    return found == secrets_.end() || !found->second.contains(key) ? "" : found->second.at(key);
  }

  std::map<std::string, nlohmann::json> namespaces_;  // their labels
  std::set<resource::ObjectName> gateways_;
  std::map<resource::ObjectName, std::string> apis_;
  std::map<resource::ObjectName, int64_t> generations_;
  std::map<resource::ObjectName, std::map<std::string, std::string>> secrets_;
  std::vector<std::string> log_;
  std::vector<std::string> problems_;
  std::vector<std::string> statuses_;

 private:
  mutable std::mutex mutex_;
};

}  // namespace rota::testing
