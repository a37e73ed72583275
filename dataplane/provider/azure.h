#pragma once

// Azure OpenAI: bodies and streams are OpenAI's own, only the address differs
// (https://learn.microsoft.com/azure/ai-services/openai/reference). A model is a deployment, named
// in the path; the version of the API is a query parameter.
//
// Pure and thread-safe.

#include <string>
#include <string_view>

#include "dataplane/provider/dialect.h"

namespace rota::provider {

// The latest version that is generally available.
inline constexpr std::string_view kAzureVersion = "2024-10-21";

// The path, behind the endpoint's base path and with the query, of OpenAI's `operation`
// ("/chat/completions"). The base path may say any part of it already: "", "/openai",
// "/openai/deployments/d", "/openai/v1" and "/models" (where the body's `model` names the
// deployment).
std::string AzurePath(std::string_view operation, const TargetContext& target);

// Whether that version of the API ("" = the default) takes stream_options. Earlier ones refuse it.
bool AzureTakesStreamOptions(std::string_view version);

// The name that Azure knows the model by: providerOptions.deployment, or the model's own.
std::string_view AzureDeployment(const TargetContext& target);

}  // namespace rota::provider
