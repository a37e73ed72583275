#pragma once

// The API resource as C++ values: the whole apk-conf format and Rota's superset beside it, after
// decoding and with defaults filled in (so that an apk-conf file means the same with or without the
// superset). Field names follow the resource; what is kept only to be reported says so. Plain
// values, no behaviour.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "controller/resource/request_limits.h"
#include "controller/resource/rotation_settings.h"

namespace rota::resource {

// "<namespace>/<name>": how objects are named everywhere in the controller.
struct ObjectName {
  std::string ns;  // "" for an object that belongs to no namespace
  std::string name;

  std::string ToString() const { return ns.empty() ? name : ns + "/" + name; }
  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
};

enum class Environment { kProduction, kSandbox };

// endpointSecurity.securityType of the apiKey form.
struct ApiKeySecurity {
  enum class Place { kHeader, kQuery };
  std::string secret_name;
  Place in = Place::kHeader;
  std::string name;         // apiKeyNameKey: header or query parameter; "": the provider's header
  std::string value_key;    // apiKeyValueKey: key of the Secret
  std::string secret_ns{};  // "": the API's own
  friend bool operator==(const ApiKeySecurity&, const ApiKeySecurity&) = default;
};

// endpointSecurity.securityType of the basic form.
struct BasicSecurity {
  std::string secret_name;
  std::string user_name_key;
  std::string password_key;
  std::string secret_ns{};  // "": the API's own
  friend bool operator==(const BasicSecurity&, const BasicSecurity&) = default;
};

// endpointSecurity.securityType of the AWS form: requests are signed (Signature Version 4). All but
// the service are keys of the Secret.
struct AwsSecurity {
  std::string secret_name;
  std::string access_key;     // accessKeyRef
  std::string secret_key;     // secretKeyRef
  std::string session_token;  // sessionTokenRef; "" when the keys are long-lived
  std::string region;         // regionRef; "" when the host or providerOptions says it
  std::string service = "bedrock";
  std::string secret_ns{};  // "": the API's own
  friend bool operator==(const AwsSecurity&, const AwsSecurity&) = default;
};

// endpointSecurity.securityType.ambientIdentity: what the data plane is itself in that cloud, from
// no Secret.
struct AmbientSecurity {
  enum class Cloud { kAws, kAzure };
  Cloud cloud = Cloud::kAws;
  friend bool operator==(const AmbientSecurity&, const AmbientSecurity&) = default;
};

using EndpointSecurity =
    std::variant<std::monostate, ApiKeySecurity, BasicSecurity, AwsSecurity, AmbientSecurity>;

struct CertificateRef {
  std::string secret_name;
  std::string secret_key;
  friend bool operator==(const CertificateRef&, const CertificateRef&) = default;
};

// providerOptions: what a provider's dialect needs to know beside the URL.
struct ProviderOptions {
  std::string region;
  std::string api_version;
  std::string deployment;
  std::string format;  // "", "openai" or "native"
  std::optional<uint64_t> max_tokens;
  friend bool operator==(const ProviderOptions&, const ProviderOptions&) = default;
};

// One entry of endpointConfigurations.production / .sandbox. A Kubernetes service has become its
// URL
// ("http://name.namespace.svc:port").
struct Endpoint {
  std::string url;   // normalised: lower-case scheme and host, no default port, no trailing slash
  std::string name;  // "" when absent
  std::string provider;  // "" when absent: compile derives it
  ProviderOptions provider_options;
  EndpointSecurity security;
  std::optional<CertificateRef> certificate;
  std::optional<Duration> connect_timeout;
  std::optional<Duration>
      first_byte_timeout;  // resiliency.timeout.maxRouteTimeoutSeconds / upstreamResponseTimeout
  uint32_t weight = 1;
};

struct EndpointConfigurations {
  std::vector<Endpoint> production;
  std::vector<Endpoint> sandbox;
  const std::vector<Endpoint>& Of(Environment environment) const {
    return environment == Environment::kProduction ? production : sandbox;
  }
};

// One entry of productionModels / sandboxModels.
struct ModelTarget {
  std::string model;
  std::string endpoint;       // an endpoint's name, or a URL (normalised)
  uint32_t weight = 1;        // 0..10000
  uint32_t tier = 1;          // >= 1
  std::string provider;       // "" when absent
  std::string defaults = "";  // a JSON object, as text: fields of requests that do not have them
  std::vector<std::string> allowed_models = {};  // of the client's own choice
};

// parameters of the policy ModelBasedRoundRobin.
struct ModelBasedRoundRobin {
  std::vector<ModelTarget> production;
  std::vector<ModelTarget> sandbox;
  RotationSettings settings;  // as far as the API says them
  const std::vector<ModelTarget>& Of(Environment environment) const {
    return environment == Environment::kProduction ? production : sandbox;
  }
};

struct Operation {
  std::string target;  // "/chat/completions"
  std::string verb;    // upper case
  bool secured = true;
  std::vector<std::string> scopes;
  std::optional<EndpointConfigurations>
      endpoint_configurations;                      // wins over the API's, per environment
  std::optional<ModelBasedRoundRobin> round_robin;  // from operationPolicies
  std::string kind = "";  // "chat", "completions", ...; "" when absent: compile derives it
};

struct Api {
  std::string name;
  std::string base_path;  // "/chat-service"; no trailing slash
  std::string version;
  std::string type = "REST";
  std::string id;
  std::string organization;
  std::string environment;
  bool default_version = false;
  std::string ai_provider_name;
  std::string ai_provider_api_version;
  EndpointConfigurations endpoint_configurations;
  std::vector<Operation> operations;
  std::optional<ModelBasedRoundRobin> round_robin;  // from apiPolicies
  std::string definition_path = "/api-definition";
  RequestLimits limits;               // as far as the API says them
  std::vector<std::string> gateways;  // "<namespace>/<name>", each once; empty: the default one
};

}  // namespace rota::resource
