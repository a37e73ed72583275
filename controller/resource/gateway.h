#pragma once

// The RotaGateway resource as C++ values: what the controller decides for all APIs of one gateway.
// Plain values, no behaviour.

#include <string>
#include <vector>

namespace rota::resource {

// Whose APIs a gateway takes.
enum class AllowedNamespaces { kAll, kSame };

struct Gateway {
  std::vector<std::string> production_hosts;  // exact or "*.suffix", lower case
  std::vector<std::string> sandbox_hosts;
  bool allow_local_upstreams = false;
  AllowedNamespaces allowed_namespaces = AllowedNamespaces::kAll;

  friend bool operator==(const Gateway&, const Gateway&) = default;
};

}  // namespace rota::resource
