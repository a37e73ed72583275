#include "controller/serve/access.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace rota::serve {
namespace {

// A stranger's words in a message.
constexpr size_t kMaxQuotedBytes = 256;

constexpr char kNodePrefix[] = "urn:rota:node:";
constexpr char kGatewayPrefix[] = "urn:rota:gateway:";

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", text.substr(0, kMaxQuotedBytes), "'");
}

// The rest of the URI after `prefix` in the names that have it.
std::vector<std::string> BoundTo(const PeerIdentity& peer, std::string_view prefix) {
  std::vector<std::string> names;
  for (const std::string& uri : peer.uris) {
    if (uri.starts_with(prefix)) {
      names.push_back(uri.substr(prefix.size()));
    }
  }
  return names;
}

bool Allows(const std::vector<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

std::set<std::string> AccountsOf(const AccessRules& rules, const std::string& gateway) {
  const auto found = rules.data_planes.find(gateway);
  if (found != rules.data_planes.end()) {
    return found->second;
  }
  return {absl::StrCat(gateway.substr(0, gateway.find('/')), "/", kDataPlaneAccount)};
}

absl::Status CheckAccount(const AccessRules& rules, const PeerIdentity& peer,
                          const std::string& gateway, const std::string& node) {
  const std::set<std::string> accounts = AccountsOf(rules, gateway);
  if (!accounts.contains(peer.service_account)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "ServiceAccount ", peer.service_account, " may not have the configuration of gateway ",
        Quoted(gateway), ", which is for ", absl::StrJoin(accounts, ", "),
        ": see --allow-service-account of the controller"));
  }
  if (!peer.pod.empty() && peer.pod != node) {
    return absl::PermissionDeniedError(
        absl::StrCat("the token belongs to pod '", peer.pod, "', but the data plane calls itself ",
                     Quoted(node), ": set --node to the pod's name"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDataPlane(const AccessRules& rules, const PeerIdentity& peer,
                            const std::string& gateway, const std::string& node) {
  if (!peer.service_account.empty()) {
    return CheckAccount(rules, peer, gateway, node);
  }
  if (!Allows(BoundTo(peer, kNodePrefix), node)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the client certificate is not for node ", Quoted(node),
        ": its names urn:rota:node:* say which; set --node or issue another certificate"));
  }
  if (!Allows(BoundTo(peer, kGatewayPrefix), gateway)) {
    return absl::PermissionDeniedError(absl::StrCat("the client certificate is not for gateway ",
                                                    Quoted(gateway),
                                                    ": its names urn:rota:gateway:* say which"));
  }
  return absl::OkStatus();
}

absl::Status CheckReplica(const AccessRules& rules, const PeerIdentity& peer) {
  if (!peer.service_account.empty()) {
    return peer.service_account == rules.controller
               ? absl::OkStatus()
               : absl::PermissionDeniedError(absl::StrCat(
                     "ServiceAccount ", peer.service_account,
                     " is not the controllers' own: only replicas of this controller may speak "
                     "here"));
  }
  if (!BoundTo(peer, kNodePrefix).empty()) {
    return absl::PermissionDeniedError(
        "the certificate is bound to a data plane (urn:rota:node:*): it is not a controller's");
  }
  return absl::OkStatus();
}

}  // namespace rota::serve
