#pragma once

// Objects for the tests of this folder.

#include <map>
#include <string>

#include "controller/compile/snapshot.h"
#include "controller/source/object.h"
#include "nlohmann/json.hpp"

namespace rota::reconcile::testing_objects {

using compile::ResourceKey;
using compile::ResourceKind;
using resource::ObjectName;

// What Api("chat", ...) and Secret("keys", ...) are called, and their resources in a snapshot.
inline const ObjectName kChat{"default", "chat"};
// The gateway of the command line.
inline constexpr char kGateway[] = "default/default";
inline const ResourceKey kChatKey{ResourceKind::kApi, "default/chat"};
inline const ResourceKey kKeysKey{ResourceKind::kSecret, "default/keys"};

// An API with one model at one endpoint; `secret` "" = without a credential.
inline nlohmann::json Spec(const std::string& base_path, const std::string& secret = "",
                           const std::string& key = "apiKey") {
  nlohmann::json endpoint = {{"endpoint", "https://api.openai.com/v1"}};
  if (!secret.empty()) {
    endpoint["endpointSecurity"] = {{"enabled", true},
                                    {"securityType",
                                     {{"secretName", secret},
                                      {"in", "Header"},
                                      {"apiKeyNameKey", "Authorization"},
                                      {"apiKeyValueKey", key}}}};
  }
  const nlohmann::json model = {{"model", "gpt-4o"}, {"endpoint", "https://api.openai.com/v1"}};
  return {{"name", "chat"},
          {"basePath", base_path},
          {"version", "v1"},
          {"endpointConfigurations", {{"production", {endpoint}}}},
          {"operations", {{{"target", "/chat/completions"}, {"verb", "POST"}}}},
          {"apiPolicies",
           {{"request",
             {{{"policyName", "ModelBasedRoundRobin"},
               {"policyVersion", "v1"},
               {"parameters", {{"productionModels", {model}}}}}}}}}};
}

// A specification that does not decode: the field `operations[0].verb` is wrong.
inline nlohmann::json BrokenSpec(const std::string& base_path) {
  nlohmann::json spec = Spec(base_path);
  spec["operations"][0]["verb"] = "FETCH";
  return spec;
}

inline source::ApiObject Api(const std::string& name, int64_t generation, nlohmann::json spec,
                             const std::string& created = "") {
  source::ApiObject object;
  object.name = {"default", name};
  object.metadata.uid = "uid-" + name;
  object.metadata.generation = generation;
  object.metadata.creation_timestamp = created;
  object.spec = std::move(spec);
  return object;
}

// One of namespace `team`.
inline source::GatewayObject Gateway(const std::string& name, int64_t generation,
                                     nlohmann::json spec, const std::string& created = "") {
  source::GatewayObject object = Api(name, generation, std::move(spec), created);
  object.name.ns = "team";
  return object;
}

inline source::NamespaceObject Namespace(const std::string& name, nlohmann::json labels) {
  source::NamespaceObject object;
  object.name = {"", name};
  labels["kubernetes.io/metadata.name"] = name;
  object.spec = std::move(labels);
  return object;
}

inline source::SecretObject Secret(const std::string& name, const std::string& version,
                                   const std::map<std::string, std::string>& data) {
  source::SecretObject object;
  object.name = {"default", name};
  object.metadata.uid = "uid-" + name;
  object.metadata.resource_version = version;
  for (const auto& [key, value] : data) {
    object.data.emplace(key, SecretString(value));
  }
  return object;
}

inline source::ObjectKey ApiKey(const std::string& name) {
  return {source::ObjectKind::kApi, {"default", name}};
}

inline source::ObjectKey SecretKey(const std::string& name) {
  return {source::ObjectKind::kSecret, {"default", name}};
}

}  // namespace rota::reconcile::testing_objects
