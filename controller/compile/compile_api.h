#pragma once

// One API resource -> the message that data planes serve it from, and what is wrong or not acted
// on. Looks at nothing but its arguments: what depends on other objects (Secrets, other APIs with
// the same path) is found in assemble.h. Pure and thread-safe; the same input gives the same bytes.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controller/compile/snapshot.h"
#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"

namespace rota::compile {

// One value of a Secret that an API needs, or the grant of a Service of another namespace, and
// where the API says so.
struct SecretUse {
  resource::ObjectName secret;  // a reference: foreign_ref.h
  std::string key;              // "" of a Service
  std::string field;
  friend auto operator<=>(const SecretUse&, const SecretUse&) = default;
};

struct CompiledApi {
  resource::ObjectName name;
  std::string field_prefix;  // of the diagnostics' fields: "spec." or ""
  std::string base_path;
  std::string version;
  // Path prefixes that it claims: "/chat/1.0", and "/chat" with defaultVersion.
  std::vector<std::string> paths;
  // A rota.sync.v1.Api; null when there are errors. What the API does not say has the built-in
  // defaults: see gateway_defaults.h.
  std::shared_ptr<const ResourceBody> body;
  std::vector<SecretUse> secrets;  // each (Secret, key) and Service once
  // Where it asks for an ambient identity, which not every gateway lets it have; "" = nowhere.
  std::string ambient_identity_field;
  std::vector<std::string> models;  // each once, in the order of first mention
  resource::Diagnostics diagnostics;
  // Of each rotation of the body, in its order: what the API itself says.
  std::vector<resource::RotationSettings> settings;
};

inline constexpr size_t kMaxTargets = 64;  // of one rotation
inline constexpr uint32_t kMaxWeight = 10000;
inline constexpr uint32_t kMaxAttempts = 5;
// One resource travels in one message of the sync protocol, whose chunks are 1 MiB.
inline constexpr size_t kMaxBodyBytes = 960 << 10;

// `field_prefix` is what field paths start with: "spec." of an API object, "" of a bare apk-conf
// file.
CompiledApi CompileApi(const resource::ObjectName& name, const std::string& uid,
                       const resource::Api& api, std::string_view field_prefix = "spec.");

}  // namespace rota::compile
