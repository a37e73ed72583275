#pragma once

// apiPolicies and operationPolicies: the model policy, and what is known but not acted on. Pure;
// see decode.h.

#include <optional>
#include <string>

#include "controller/resource/api.h"
#include "controller/resource/reader.h"

namespace rota::resource {

// What a policy's models may point at.
struct PolicyScope {
  // The endpoints that hold where the policy stands; null in a fragment, where names cannot be
  // checked.
  const EndpointConfigurations* endpoints = nullptr;
  std::string ns = "default";  // the API's namespace
};

// {request: [...], response: [...]} -> the policy ModelBasedRoundRobin, when there is one.
std::optional<ModelBasedRoundRobin> DecodePolicies(const nlohmann::json& value,
                                                   const FieldPath& path, const PolicyScope& scope,
                                                   Reporter& reporter);

// An operation's own endpoints win over the API's also where the API's policy is used: reports
// models whose endpoint's name is not among them, or whose URL has become ambiguous.
void CheckPolicyAgainst(const ModelBasedRoundRobin& policy, const EndpointConfigurations& endpoints,
                        const FieldPath& path, Reporter& reporter);

}  // namespace rota::resource
