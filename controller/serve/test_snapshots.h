#pragma once

// Snapshots for tests: resources by kind, name and version. The body is made from the version, so
// that equal versions are equal resources. Test code only.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "controller/compile/snapshot.h"

namespace rota::serve {

struct TestResource {
  std::string name;
  uint64_t version = 1;
  compile::ResourceKind kind = compile::ResourceKind::kApi;
  size_t bytes = 16;
};

inline std::shared_ptr<const compile::Snapshot> MakeSnapshot(
    const std::vector<TestResource>& resources) {
  auto snapshot = std::make_shared<compile::Snapshot>();
  for (const TestResource& resource : resources) {
    auto body = std::make_shared<compile::ResourceBody>();
    body->hash = resource.version;
    body->bytes = resource.name + "@" + std::to_string(resource.version);
    body->bytes.resize(std::max(resource.bytes, body->bytes.size()), '.');
    snapshot->resources.Set({resource.kind, resource.name}, std::move(body));
  }
  snapshot->hash = snapshot->resources.Hash();
  return snapshot;
}

}  // namespace rota::serve
