#pragma once

// Objects of other namespaces, as an API refers to them. A reference is called after the namespace
// that uses it, so that what one namespace is granted nobody else has: for the APIs of namespace
// `team` the Secret `keys` of namespace `vault` is "vault/keys" of `team`, and the Service `llm` of
// namespace `models` is "models/service/llm" of `team`. No Secret of `team` can be called that. Of
// a Service nothing is needed but the grant: a reference to one has no keys, and exists while the
// Service is granted. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "controller/resource/api.h"
#include "controller/resource/url.h"

namespace rota::resource {

enum class ReferentKind { kSecret, kService };

struct ForeignObject {
  ReferentKind kind = ReferentKind::kSecret;
  ObjectName name;
  friend auto operator<=>(const ForeignObject&, const ForeignObject&) = default;
};

inline constexpr std::string_view kServicePrefix = "service/";

// `secret_ns` "" means the API's own namespace.
inline ObjectName SecretOf(const std::string& api_ns, const std::string& secret_ns,
                           const std::string& secret) {
  return {api_ns, secret_ns.empty() || secret_ns == api_ns ? secret : secret_ns + "/" + secret};
}

// The reference to the Service that an endpoint is; nullopt: it is none of another namespace.
// REQUIRES: the URL is normalised.
inline std::optional<ObjectName> ForeignServiceOf(const std::string& api_ns, std::string_view url) {
  const std::optional<ClusterHost> host = ClusterHostOf(url);
  if (!host.has_value() || host->service.empty() || host->ns == api_ns) {
    return std::nullopt;
  }
  return ObjectName{api_ns, host->ns + "/" + std::string(kServicePrefix) + host->service};
}

// What a reference leads to; nullopt: a Secret of the API's own namespace.
inline std::optional<ForeignObject> ForeignObjectOf(const ObjectName& reference) {
  const size_t slash = reference.name.find('/');
  if (slash == std::string::npos) {
    return std::nullopt;
  }
  const std::string ns = reference.name.substr(0, slash);
  const std::string name = reference.name.substr(slash + 1);
  if (name.starts_with(kServicePrefix)) {
    return ForeignObject{ReferentKind::kService, {ns, name.substr(kServicePrefix.size())}};
  }
  return ForeignObject{ReferentKind::kSecret, {ns, name}};
}

// Whether a reference leads to a Service.
inline bool IsService(const ObjectName& reference) {
  const std::optional<ForeignObject> object = ForeignObjectOf(reference);
  return object.has_value() && object->kind == ReferentKind::kService;
}

}  // namespace rota::resource
