#pragma once

// The specification of a RotaGateway (JSON) -> a checked value with defaults filled in, and what is
// wrong; and the names of gateways that an API gives. Pure and thread-safe; throws nothing.

#include <optional>
#include <string>
#include <vector>

#include "controller/resource/decode.h"
#include "controller/resource/gateway.h"
#include "controller/resource/reader.h"

namespace rota::resource {

// Bounds of lists; the resources' schemas have the same ones.
inline constexpr size_t kMaxHosts = 64;
inline constexpr size_t kMaxGatewaysOfApi = 16;
inline constexpr size_t kMaxListeners = 32;
inline constexpr size_t kMaxAmbientNamespaces = 64;
inline constexpr size_t kMaxSelectorLabels = 16;  // and as many expressions
inline constexpr size_t kMaxSelectorValues = 64;  // of one expression
inline constexpr size_t kMaxLabelKeyBytes = 317;  // a prefix of 253, '/' and a name of 63
inline constexpr size_t kMaxLabelValueBytes = 63;

struct DecodedGateway {
  std::optional<Gateway> gateway;  // absent when there are errors
  Diagnostics diagnostics;
};

DecodedGateway DecodeGateway(const nlohmann::json& spec, const DecodeOptions& options = {});

// The field `gateways` of an API: each name as "<namespace>/<name>", once; a name without a
// namespace is of the namespace `ns`.
std::vector<std::string> DecodeGatewayNames(ObjectReader& api, const std::string& ns);

}  // namespace rota::resource
