#include "cli/import/gateways.h"

#include <algorithm>
#include <array>

#include "cli/import/agentcc.h"
#include "cli/import/apk.h"
#include "cli/import/kong.h"
#include "cli/import/trustgate.h"

namespace rota::importer {
namespace {

constexpr std::array<Gateway, 4> kGateways = {{
    {"apk", "apk-conf files and custom resources (dp.wso2.com) of WSO2 APK", ImportApk},
    {"kong", "decK and DB-less files of Kong: routes with the plugin ai-proxy or ai-proxy-advanced",
     ImportKong},
    {"trustgate", "JSON of TrustGate: upstreams, and consumers with their registries",
     ImportTrustGate},
    {"agentcc", "a routing_policy or the configuration of Agent Command Center's gateway",
     ImportAgentCommandCenter},
}};

}  // namespace

absl::Span<const Gateway> Gateways() { return kGateways; }

const Gateway* FindGateway(std::string_view name) {
  const auto* const found = std::find_if(kGateways.begin(), kGateways.end(),
                                         [&](const Gateway& g) { return g.name == name; });
  return found == kGateways.end() ? nullptr : found;
}

}  // namespace rota::importer
