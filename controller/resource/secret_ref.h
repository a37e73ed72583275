#pragma once

// A Secret of another namespace, as an API refers to it. It is called after the namespace that uses
// it, so that what one namespace is granted nobody else has: the Secret `keys` of namespace `vault`
// is "vault/keys" of namespace `team` for the APIs there. No Secret of `team` can be called that.
// Pure.

#include <optional>
#include <string>

#include "controller/resource/api.h"

namespace rota::resource {

// `secret_ns` "" means the API's own namespace.
inline ObjectName SecretOf(const std::string& api_ns, const std::string& secret_ns,
                           const std::string& secret) {
  return {api_ns, secret_ns.empty() || secret_ns == api_ns ? secret : secret_ns + "/" + secret};
}

// The Secret itself; nullopt: it is one of the API's own namespace.
inline std::optional<ObjectName> ForeignSecret(const ObjectName& reference) {
  const size_t slash = reference.name.find('/');
  if (slash == std::string::npos) {
    return std::nullopt;
  }
  return ObjectName{reference.name.substr(0, slash), reference.name.substr(slash + 1)};
}

}  // namespace rota::resource
