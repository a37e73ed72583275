#pragma once

// Objects of other namespaces, as an API refers to them (common/foreign_name.h). A reference is
// called after the namespace that uses it, so that what one namespace is granted nobody else has:
// for the APIs of namespace `team` the Secret `keys` of namespace `vault` is "vault/keys" of
// `team`. Of a Service nothing is needed but the grant: a reference to one has no keys, and exists
// while the Service is granted. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "common/foreign_name.h"
#include "controller/resource/api.h"
#include "controller/resource/url.h"

namespace rota::resource {

struct ForeignObject {
  ReferentKind kind = ReferentKind::kSecret;
  ObjectName name;
  friend auto operator<=>(const ForeignObject&, const ForeignObject&) = default;
};

// `secret_ns` "" means the API's own namespace.
inline ObjectName SecretOf(const std::string& api_ns, const std::string& secret_ns,
                           const std::string& secret) {
  const bool is_own = secret_ns.empty() || secret_ns == api_ns;
  return {api_ns, is_own ? secret : ToReference({ReferentKind::kSecret, secret_ns, secret})};
}

// The reference to the Service that an endpoint is; nullopt: it is none of another namespace.
// REQUIRES: the URL is normalised.
inline std::optional<ObjectName> ForeignServiceOf(const std::string& api_ns, std::string_view url) {
  const std::optional<ClusterHost> host = ClusterHostOf(url);
  if (!host.has_value() || host->service.empty() || host->ns == api_ns) {
    return std::nullopt;
  }
  return ObjectName{api_ns, ToReference({ReferentKind::kService, host->ns, host->service})};
}

// What a reference leads to; nullopt: a Secret of the API's own namespace.
inline std::optional<ForeignObject> ForeignObjectOf(const ObjectName& reference) {
  const std::optional<ForeignName> foreign = ForeignNameOf(reference.name);
  if (!foreign.has_value()) {
    return std::nullopt;
  }
  return ForeignObject{foreign->kind, {foreign->ns, foreign->name}};
}

// The Secret itself. REQUIRES: the reference leads to one.
inline ObjectName SecretBehind(const ObjectName& reference) {
  const std::optional<ForeignObject> foreign = ForeignObjectOf(reference);
  return foreign.has_value() ? foreign->name : reference;
}

// Whether a reference leads to a Service.
inline bool IsService(const ObjectName& reference) {
  const std::optional<ForeignObject> object = ForeignObjectOf(reference);
  return object.has_value() && object->kind == ReferentKind::kService;
}

}  // namespace rota::resource
