#pragma once

// Who is at the other end of a stream, and what it may ask for. The transport and the authenticator
// say who; the rules here say what. Thread-safe (pure functions over values).

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace rota::serve {

// Who is at the other end, as far as is known.
struct PeerIdentity {
  std::string address;
  bool authenticated = false;
  // URI names of the client certificate. "urn:rota:node:NAME" and "urn:rota:gateway:NAMESPACE/NAME"
  // bind the certificate to that node or gateway; without such a name it is good for any.
  std::vector<std::string> uris;
  // "NAMESPACE/NAME", when it has shown a token of that ServiceAccount.
  std::string service_account;
  std::string pod;  // that the token is bound to; "": to none
};

struct AccessRules {
  // Per gateway, the ServiceAccounts ("NAMESPACE/NAME") whose data planes are given its
  // configuration. A gateway that is not here: kDataPlaneAccount of its own namespace.
  std::map<std::string, std::set<std::string>> data_planes;
  // The controllers' own ServiceAccount ("NAMESPACE/NAME"): the one that other replicas must have
  // when they show tokens.
  std::string controller;
};

inline constexpr char kDataPlaneAccount[] = "rota-dataplane";

// PERMISSION_DENIED unless that data plane may have the gateway's configuration, credentials
// included. The message names what was asked for, who asked, and the fix.
absl::Status CheckDataPlane(const AccessRules& rules, const PeerIdentity& peer,
                            const std::string& gateway, const std::string& node);

// PERMISSION_DENIED unless the other end may speak as a replica of this controller, which is to
// speak for every data plane.
absl::Status CheckReplica(const AccessRules& rules, const PeerIdentity& peer);

}  // namespace rota::serve
