#pragma once

// What the fake API server knows: objects, resource versions, history. Behaves like the real one in
// what the conformance suite pins. Thread-compatible: the server locks.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/kube/api.h"
#include "nlohmann/json.hpp"

namespace rota::testing {

struct FakeEvent {
  uint64_t version = 0;
  std::string collection;  // "<group>/<version>/<plural>"
  std::string ns;
  std::string type;
  nlohmann::json object;
};

// An answer: an object with 2xx, or a Kubernetes Status.
struct FakeAnswer {
  int code = 200;
  nlohmann::json body;
};

FakeAnswer StatusAnswer(int code, const std::string& reason, const std::string& message);
std::string CollectionKey(const kube::Resource& resource);

class FakeState {
 public:
  void Register(const kube::Resource& resource);
  const kube::Resource* Find(const std::string& collection) const;

  FakeAnswer Create(const kube::Resource& resource, const std::string& ns, nlohmann::json object);
  FakeAnswer Get(const kube::Resource& resource, const std::string& ns,
                 const std::string& name) const;
  // PUT on the main endpoint: status and generation of the stored object stay the server's.
  FakeAnswer Replace(const kube::Resource& resource, const std::string& ns, const std::string& name,
                     nlohmann::json object);
  // The same, as a client asks for it: with the resourceVersion that it has seen. Secrets may do
  // without.
  FakeAnswer Update(const kube::Resource& resource, const std::string& ns, const std::string& name,
                    const nlohmann::json& object);
  // JSON merge patch on the main endpoint.
  FakeAnswer MergePatch(const kube::Resource& resource, const std::string& ns,
                        const std::string& name, const nlohmann::json& patch);
  FakeAnswer Delete(const kube::Resource& resource, const std::string& ns, const std::string& name);
  // Server-side apply of `.status` with force.
  FakeAnswer ApplyStatus(const kube::Resource& resource, const std::string& ns,
                         const std::string& name, const std::string& manager,
                         const nlohmann::json& body);
  FakeAnswer List(const kube::Resource& resource, const std::string& ns, size_t limit,
                  const std::string& continue_token);

  std::vector<FakeEvent> EventsAfter(const kube::Resource& resource, const std::string& ns,
                                     uint64_t version) const;
  bool IsTooOld(uint64_t version) const { return version < compacted_; }
  uint64_t version() const { return version_; }
  // From now on an older resource version or continue token is "too old"; open watches go on.
  void Compact();

 private:
  using Key = std::pair<std::string, std::string>;  // namespace, name

  void Record(const kube::Resource& resource, const std::string& type, nlohmann::json& object);

  uint64_t version_ = 100;
  uint64_t compacted_ = 100;
  uint64_t incarnations_ = 0;
  std::map<std::string, kube::Resource> resources_;
  std::map<std::string, std::map<Key, nlohmann::json>> objects_;
  // Of each object and field manager: the status that it applied last.
  std::map<std::string, std::map<std::string, nlohmann::json>> applied_;  // by uid
  std::vector<FakeEvent> history_;
  // What a continue token stands for.
  struct Rest {
    uint64_t version;
    std::vector<nlohmann::json> items;
  };
  std::map<std::string, Rest> pages_;
};

}  // namespace rota::testing
