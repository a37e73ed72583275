#pragma once

// What the tests of sources share: a sink that remembers, and manifests. Thread-safe as described.

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/source/source.h"

namespace rota::source::testing_source {

// Keeps what a source has told; wakes whoever waits for it.
class RecordingSink final : public ObjectSink {
 public:
  void OnNamespace(NamespaceObject object) override {
    Change([&] { namespaces[object.name.name] = object.spec; });
  }
  void OnGateway(GatewayObject object) override {
    Change([&] { gateways[object.name.ToString()] = std::move(object); });
  }
  void OnApi(ApiObject object) override {
    Change([&] { apis[object.name.ToString()] = std::move(object); });
  }
  void OnSecret(SecretObject object) override {
    Change([&] { secrets[object.name.ToString()] = std::move(object); });
  }
  void OnDeleted(const ObjectKey& key) override {
    Change([&] {
      if (key.kind == ObjectKind::kGateway) {
        gateways.erase(key.name.ToString());
        return;
      }
      if (key.kind == ObjectKind::kNamespace) {
        namespaces.erase(key.name.name);
        return;
      }
      (key.kind == ObjectKind::kApi ? deleted_apis : deleted_secrets)
          .push_back(key.name.ToString());
      apis.erase(key.kind == ObjectKind::kApi ? key.name.ToString() : "");
      secrets.erase(key.kind == ObjectKind::kSecret ? key.name.ToString() : "");
    });
  }
  void OnRechecked() override {
    Change([&] { ++rechecks; });
  }
  void OnSynced(ObjectKind kind) override {
    Change([&] {
      (kind == ObjectKind::kApi      ? apis_synced
       : kind == ObjectKind::kSecret ? secrets_synced
                                     : namespaces_synced) += 1;
    });
  }
  void OnProblems(std::vector<SourceProblem> now) override {
    Change([&] { problems = std::move(now); });
  }

  // False after 20 s. `condition` is called with the members locked.
  bool Await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }
  template <typename Value>
  Value Get(const std::function<Value()>& read) {
    std::lock_guard guard(mutex_);
    return read();
  }

  // The problems told last; the source tells them again whenever it looks.
  std::vector<SourceProblem> Problems() {
    return Get<std::vector<SourceProblem>>([this] { return problems; });
  }

  std::map<std::string, nlohmann::json> namespaces;  // their labels
  std::map<std::string, GatewayObject> gateways;
  std::map<std::string, ApiObject> apis;
  std::map<std::string, SecretObject> secrets;
  std::vector<std::string> deleted_apis;
  std::vector<std::string> deleted_secrets;
  std::vector<SourceProblem> problems;
  int apis_synced = 0;
  int secrets_synced = 0;
  int rechecks = 0;
  int namespaces_synced = 0;

 private:
  void Change(const std::function<void()>& change) {
    std::lock_guard guard(mutex_);
    change();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

inline std::string Manifest(const std::string& name, const std::string& path) {
  return absl::StrCat("apiVersion: gateway.rota.dev/v1alpha1\nkind: API\nmetadata: {name: ", name,
                      "}\nspec:\n  name: x\n  basePath: ", path,
                      "\n  version: v1\n  operations: []\n");
}

inline std::string SecretManifest(const std::string& value) {
  return absl::StrCat("apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {apiKey: ",
                      value, ", other: unwanted}\n");
}

}  // namespace rota::source::testing_source
