#include "cli/import/gateways.h"

#include <algorithm>
#include <array>

#include "cli/import/apk.h"

namespace rota::importer {
namespace {

constexpr std::array<Gateway, 1> kGateways = {{
    {"apk", "apk-conf files and custom resources (dp.wso2.com) of WSO2 APK", ImportApk},
}};

}  // namespace

absl::Span<const Gateway> Gateways() { return kGateways; }

const Gateway* FindGateway(std::string_view name) {
  const auto* const found = std::find_if(kGateways.begin(), kGateways.end(),
                                         [&](const Gateway& g) { return g.name == name; });
  return found == kGateways.end() ? nullptr : found;
}

}  // namespace rota::importer
