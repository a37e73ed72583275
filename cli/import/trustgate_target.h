#pragma once

// A provider with its credentials, as TrustGate's targets and registries have it -> an endpoint.

#include <optional>
#include <string>

#include "cli/import/api_builder.h"
#include "cli/import/secret_book.h"
#include "cli/import/source.h"

namespace rota::importer {

// `fields`: a target of an upstream (provider, or host, port and protocol; path, headers,
// credentials) or a registry (provider, provider_options, auth). `wished`: names the Secret.
// nullopt, with the reason in the report, when it cannot be reached.
std::optional<EndpointDraft> ReadTrustGateEndpoint(Fields& fields, const std::string& wished,
                                                   SecretBook& secrets);

// `health_checks` -> parameters of the model policy.
void ReadTrustGateHealth(Fields& fields, OrderedJson& parameters);

// How the weights of an algorithm count.
enum class TrustGateShares { kEqual, kByWeight };
// nullopt, with the reason in the report, when there is no such algorithm.
std::optional<TrustGateShares> ReadTrustGateAlgorithm(Fields& fields);

}  // namespace rota::importer
