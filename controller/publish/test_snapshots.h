#pragma once

// Small snapshots for tests: APIs with one endpoint "main" and a rotation per environment.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controller/compile/snapshot.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::publish {

inline std::string TargetIdOf(const std::string& api, const std::string& environment,
                              const std::string& model) {
  return api + "|" + environment + "|" + model;
}

inline std::pair<std::string, rota::sync::v1::Api> ApiWith(
    const std::string& name, const std::vector<std::string>& production,
    const std::vector<std::string>& sandbox) {
  rota::sync::v1::Api api;
  api.add_endpoints()->set_name("main");
  const auto add = [&](rota::sync::v1::Environment environment, const std::string& text,
                       const std::vector<std::string>& models) {
    rota::sync::v1::Rotation* rotation = api.add_rotations();
    rotation->set_environment(environment);
    for (const std::string& model : models) {
      rota::sync::v1::Target* target = rotation->add_targets();
      target->set_id(TargetIdOf(name, text, model));
      target->set_model(model);
    }
  };
  add(rota::sync::v1::PRODUCTION, "production", production);
  add(rota::sync::v1::SANDBOX, "sandbox", sandbox);
  return {name, api};
}

inline std::shared_ptr<const compile::Snapshot> SnapshotOf(
    const std::vector<std::pair<std::string, rota::sync::v1::Api>>& apis) {
  auto snapshot = std::make_shared<compile::Snapshot>();
  for (const auto& [name, api] : apis) {
    auto body = std::make_shared<compile::ResourceBody>();
    body->bytes = api.SerializeAsString();
    snapshot->resources.Set({compile::ResourceKind::kApi, name}, body);
  }
  return snapshot;
}

}  // namespace rota::publish
