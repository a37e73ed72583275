#pragma once

// The RotaGateway resource as C++ values: what the controller decides for all APIs of one gateway.
// Plain values, no behaviour.

#include <string>
#include <vector>

#include "controller/resource/label_selector.h"
#include "controller/resource/request_limits.h"
#include "controller/resource/rotation_settings.h"

namespace rota::resource {

// Whose APIs a gateway takes.
enum class AllowedNamespaces { kAll, kSame, kSelector };

// What APIs of the gateway inherit where they say nothing themselves.
struct GatewayDefaults {
  RotationSettings rotation;
  std::optional<Duration> connect_timeout;  // of upstreams
  std::optional<Duration> first_byte_timeout;
  RequestLimits limits;

  friend bool operator==(const GatewayDefaults&, const GatewayDefaults&) = default;
};

// A certificate that the data planes answer HTTPS with.
struct GatewayListener {
  std::string name;
  std::string hostname;     // SNI: a name, "*.suffix" or "" for every other name
  std::string secret_name;  // of type kubernetes.io/tls, in the gateway's namespace

  friend bool operator==(const GatewayListener&, const GatewayListener&) = default;
};

struct Gateway {
  std::vector<std::string> production_hosts;  // exact or "*.suffix", lower case
  std::vector<std::string> sandbox_hosts;
  bool allow_local_upstreams = false;
  AllowedNamespaces allowed_namespaces = AllowedNamespaces::kAll;
  LabelSelector namespace_selector;  // of kSelector
  GatewayDefaults defaults;
  std::vector<GatewayListener> listeners;
  // Whose APIs may use what the data planes are themselves in a cloud.
  std::vector<std::string> ambient_identity_namespaces;

  friend bool operator==(const Gateway&, const Gateway&) = default;
};

}  // namespace rota::resource
