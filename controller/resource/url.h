#pragma once

// URLs of upstreams in the one spelling by which they are compared. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rota::resource {

// "HTTPS://API.OpenAI.com:443/v1/" -> "https://api.openai.com/v1": lower-case scheme and host, no
// default port, no trailing slash, IPv6 in its shortest form. InvalidArgument says what is wrong
// and what to write; it never repeats the text (which may hold a password).
absl::StatusOr<std::string> NormaliseUrl(std::string_view text);

// True when `text` is meant as a URL ("scheme://...") rather than as the name of an endpoint.
bool LooksLikeUrl(std::string_view text);

// A host that the DNS of a cluster knows by its namespace.
struct ClusterHost {
  std::string ns;
  std::string service;  // "" = the address of a pod, which belongs to no service
};

// The host of a normalised URL: a service ("service.namespace.svc"), a pod of one
// ("pod.service.namespace.svc") or a pod by its address ("10-0-0-1.namespace.pod"), with or without
// the usual domain of clusters. nullopt for other hosts.
std::optional<ClusterHost> ClusterHostOf(std::string_view normalised_url);

}  // namespace rota::resource
