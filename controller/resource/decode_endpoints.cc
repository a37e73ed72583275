#include "controller/resource/decode_endpoints.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/provider_catalog.h"
#include "controller/resource/names.h"
#include "controller/resource/url.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxUrl = 2048;
constexpr size_t kMaxName = 253;
constexpr Duration kMaxTimeout = std::chrono::hours(24);
constexpr int64_t kMaxCount = 1'000'000'000;

// Headers that frame or route a request: a credential there would break it.
constexpr std::array<std::string_view, 9> kReservedHeaders = {
    "host", "content-length", "transfer-encoding", "connection", "upgrade", "keep-alive",
    "te",   "trailer",        "content-type"};

// Reads `key` as the name of a Secret.
std::string SecretName(ObjectReader& reader, const std::string& key) {
  const std::string example = absl::StrCat(key, ": openai-key");
  std::optional<std::string> name = reader.RequiredText(key, kMaxName, example);
  if (name && !IsDnsSubdomain(*name)) {
    reader.reporter().Error(
        "InvalidValue", reader.At(key),
        "is not the name of a Secret: lower-case letters, digits, '-' and '.' only; "
        "correct it");
    name.reset();
  }
  return name.value_or("");
}

// "": the API's own.
std::string SecretNamespace(ObjectReader& reader) {
  const std::string ns = reader.Text("secretNamespace", 63, 1).value_or("");
  if (!ns.empty() && !IsDnsLabel(ns)) {
    reader.reporter().Error(
        "InvalidValue", reader.At("secretNamespace"),
        "is not a namespace: lower-case letters, digits and '-' only; correct it");
    return "";
  }
  return ns;
}

// Reads `key` as a key inside a Secret. The text is not repeated: people paste the value itself
// here.
std::string SecretKey(ObjectReader& reader, const std::string& key, std::string_view example) {
  std::optional<std::string> name = reader.RequiredText(key, kMaxName, example);
  if (name && !IsSecretKey(*name)) {
    reader.reporter().Error(
        "InvalidValue", reader.At(key),
        "is not a key of a Secret: letters, digits, '-', '_' and '.' only; write the "
        "key's name here, the value belongs into the Secret");
    name.reset();
  }
  return name.value_or("");
}

EndpointSecurity DecodeApiKey(ObjectReader& reader) {
  ApiKeySecurity security;
  security.secret_name = SecretName(reader, "secretName");
  security.secret_ns = SecretNamespace(reader);
  security.in = reader.Choice("in", {"Header", "Query"}).value_or("Header") == "Query"
                    ? ApiKeySecurity::Place::kQuery
                    : ApiKeySecurity::Place::kHeader;
  security.value_key = SecretKey(reader, "apiKeyValueKey", "apiKeyValueKey: apiKey");
  // In a header the provider says where.
  const std::optional<std::string> written =
      security.in == ApiKeySecurity::Place::kHeader
          ? reader.Text("apiKeyNameKey", 128, 1)
          : reader.RequiredText("apiKeyNameKey", 128, "apiKeyNameKey: api_key");
  const std::string name = written.value_or("");
  if (!name.empty() && !IsToken(name)) {
    reader.reporter().Error("InvalidValue", reader.At("apiKeyNameKey"),
                            "is not the name of a header or query parameter; write one, such as "
                            "Authorization or api-key");
    return security;
  }
  const std::string lower = absl::AsciiStrToLower(name);
  if (security.in == ApiKeySecurity::Place::kHeader &&
      std::find(kReservedHeaders.begin(), kReservedHeaders.end(), lower) !=
          kReservedHeaders.end()) {
    reader.reporter().Error(
        "InvalidValue", reader.At("apiKeyNameKey"),
        absl::StrCat("is ", Quoted(name),
                     ", a header that frames or routes the "
                     "request; write the header the provider reads the key from"));
  }
  security.name = name;
  return security;
}

EndpointSecurity DecodeBasic(ObjectReader& reader) {
  BasicSecurity security;
  security.secret_name = SecretName(reader, "secretName");
  security.secret_ns = SecretNamespace(reader);
  security.user_name_key = SecretKey(reader, "userNameKey", "userNameKey: username");
  security.password_key = SecretKey(reader, "passwordKey", "passwordKey: password");
  return security;
}

EndpointSecurity DecodeAws(ObjectReader& reader) {
  AwsSecurity security;
  security.secret_name = SecretName(reader, "secretName");
  security.secret_ns = SecretNamespace(reader);
  security.access_key = SecretKey(reader, "accessKeyRef", "accessKeyRef: accessKey");
  security.secret_key = SecretKey(reader, "secretKeyRef", "secretKeyRef: secretKey");
  if (reader.Has("sessionTokenRef")) {
    security.session_token = SecretKey(reader, "sessionTokenRef", "sessionTokenRef: sessionToken");
  }
  if (reader.Has("regionRef")) {
    security.region = SecretKey(reader, "regionRef", "regionRef: region");
  }
  if (const std::optional<std::string> service = reader.Text("service", 63, 1)) {
    if (IsDnsLabel(*service)) {
      security.service = *service;
    } else {
      reader.reporter().Error("InvalidValue", reader.At("service"),
                              "is not the name of an AWS service; write one, such as bedrock");
    }
  }
  return security;
}

EndpointSecurity DecodeAmbient(ObjectReader& reader) {
  AmbientSecurity security;
  security.cloud = reader.Choice("ambientIdentity", {"AWS", "Azure"}).value_or("AWS") == "Azure"
                       ? AmbientSecurity::Cloud::kAzure
                       : AmbientSecurity::Cloud::kAws;
  for (const char* const key : {"secretName", "secretNamespace"}) {
    if (reader.Has(key)) {
      reader.reporter().Error("InvalidValue", reader.At(key),
                              "an ambientIdentity comes from no Secret; remove one of the two");
    }
  }
  return security;
}

// One of the forms, told apart by its fields.
EndpointSecurity DecodeSecurityType(const Json& value, const FieldPath& path, Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  const bool is_aws = reader.Has("accessKeyRef") || reader.Has("secretKeyRef") ||
                      reader.Has("sessionTokenRef") || reader.Has("regionRef") ||
                      reader.Has("service");
  const bool is_api_key =
      reader.Has("apiKeyNameKey") || reader.Has("apiKeyValueKey") || reader.Has("in");
  const bool is_basic = reader.Has("userNameKey") || reader.Has("passwordKey");
  const bool is_ambient = reader.Has("ambientIdentity");
  if (static_cast<int>(is_aws) + static_cast<int>(is_api_key) + static_cast<int>(is_basic) +
          static_cast<int>(is_ambient) >
      1) {
    reporter.Error("InvalidValue", path,
                   "mixes the apiKey form (in, apiKeyNameKey, apiKeyValueKey), the basic form "
                   "(userNameKey, passwordKey), the AWS form (accessKeyRef, secretKeyRef, ...) and "
                   "ambientIdentity; keep one of them");
    return {};
  }
  EndpointSecurity security;
  if (is_ambient) {
    security = DecodeAmbient(reader);
  } else if (is_aws) {
    security = DecodeAws(reader);
  } else if (is_basic) {
    security = DecodeBasic(reader);
  } else {
    security = DecodeApiKey(reader);
  }
  reader.Finish();
  return security;
}

EndpointSecurity DecodeSecurity(const Json& value, const FieldPath& path, Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  const std::optional<bool> enabled = reader.Bool("enabled");
  EndpointSecurity security;
  if (const Json* const type = reader.Find("securityType")) {
    security = DecodeSecurityType(*type, reader.At("securityType"), reporter);
    if (!enabled) {
      reporter.Warn(
          "Ignored", path,
          "`enabled` is false by default, so requests go out without this credential; add "
          "enabled: true");
    }
  } else if (enabled.value_or(false)) {
    reader.Missing(
        "securityType",
        "securityType: {secretName: openai-key, in: Header, apiKeyNameKey: Authorization, "
        "apiKeyValueKey: apiKey}");
  }
  reader.Finish();
  return enabled.value_or(false) ? security : EndpointSecurity{};
}

std::optional<CertificateRef> DecodeCertificate(const Json& value, const FieldPath& path,
                                                Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  CertificateRef certificate;
  certificate.secret_name = SecretName(reader, "secretName");
  certificate.secret_key = SecretKey(reader, "secretKey", "secretKey: ca.crt");
  reader.Finish();
  return certificate;
}

void DecodeTimeout(const Json& value, const FieldPath& path, Reporter& reporter,
                   Endpoint& endpoint) {
  ObjectReader reader(value, path, reporter);
  const auto positive = [&](const std::string& key) {
    std::optional<Duration> time = reader.Time(key, kMaxTimeout);
    if (time && *time <= Duration::zero()) {
      reporter.Error("InvalidValue", reader.At(key),
                     "is 0; write a time above 0, or remove the field for the default");
      time.reset();
    }
    return time;
  };
  endpoint.connect_timeout = positive("connectTimeout");
  endpoint.first_byte_timeout = positive("upstreamResponseTimeout");
  const std::optional<Duration> route = positive("maxRouteTimeoutSeconds");
  if (route && reader.Has("upstreamResponseTimeout")) {
    reporter.Error("InvalidValue", reader.At("maxRouteTimeoutSeconds"),
                   "means the same as upstreamResponseTimeout; keep one of them");
  } else if (route) {
    endpoint.first_byte_timeout = route;
  }
  if (reader.Time("downstreamRequestIdleTimeout", kMaxTimeout).value_or(Duration::zero()) >
      Duration::zero()) {
    reporter.NotEnforced(reader.At("downstreamRequestIdleTimeout"),
                         "the data plane's own limit for idle clients holds");
  }
  reader.Finish();
}

void DecodeResiliency(const Json& value, const FieldPath& path, Reporter& reporter,
                      Endpoint& endpoint) {
  ObjectReader reader(value, path, reporter);
  if (const Json* const timeout = reader.Find("timeout")) {
    DecodeTimeout(*timeout, reader.At("timeout"), reporter, endpoint);
  }
  if (const Json* const policy = reader.Find("retryPolicy")) {
    ObjectReader retry(*policy, reader.At("retryPolicy"), reporter);
    const int64_t count = retry.Integer("count", 0, 100).value_or(0);
    retry.Integer("baseIntervalMillis", 0, 3'600'000);
    retry.List("statusCodes", 64, [&](const Json& code, const FieldPath& at) {
      if (!code.is_number_integer() || code < 100 || code > 599) {
        reporter.Error("InvalidValue", at, "is not an HTTP status; write a number from 100 to 599");
      }
    });
    retry.Finish();
    if (count > 0) {
      reporter.NotEnforced(retry.path(),
                           "failed requests move on to the next target as `retry` of the policy "
                           "ModelBasedRoundRobin says");
    }
  }
  if (const Json* const breaker = reader.Find("circuitBreaker")) {
    ObjectReader circuit(*breaker, reader.At("circuitBreaker"), reporter);
    bool is_set = false;
    for (const char* const key : {"maxConnectionPools", "maxConnections", "maxPendingRequests",
                                  "maxRequests", "maxRetries"}) {
      is_set = circuit.Integer(key, 0, kMaxCount).has_value() || is_set;
    }
    circuit.Finish();
    if (is_set) {
      reporter.NotEnforced(circuit.path(), "the data plane's own limits hold");
    }
  }
  reader.Finish();
}

void DecodeAiRatelimit(const Json& value, const FieldPath& path, Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  const bool enabled = reader.Bool("enabled").value_or(true);
  if (const Json* const token = reader.Find("token")) {
    ObjectReader limits(*token, reader.At("token"), reporter);
    limits.Integer("promptLimit", 0, kMaxCount);
    limits.Integer("completionLimit", 0, kMaxCount);
    limits.Integer("totalLimit", 0, kMaxCount);
    limits.Choice("unit", {"Minute", "Hour", "Day"});
    limits.Finish();
  }
  if (const Json* const request = reader.Find("request")) {
    ObjectReader limits(*request, reader.At("request"), reporter);
    limits.Integer("requestLimit", 0, kMaxCount);
    limits.Choice("unit", {"Minute", "Hour", "Day"});
    limits.Finish();
  }
  reader.Finish();
  if (enabled) {
    reporter.NotEnforced(path, "tokens and requests to this endpoint are not limited");
  }
}

// A Kubernetes service: {name, namespace, port, protocol}.
std::string DecodeService(const Json& value, const FieldPath& path, const std::string& ns,
                          Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  const std::string name = reader.RequiredText("name", 63, "name: vllm").value_or("");
  if (!name.empty() && !IsDnsLabel(name)) {
    reporter.Error(
        "InvalidValue", reader.At("name"),
        "is not the name of a service: lower-case letters, digits and '-' only; correct it");
  }
  const std::string service_ns = reader.Text("namespace", 63, 1).value_or(ns);
  if (!IsDnsLabel(service_ns)) {
    reporter.Error("InvalidValue", reader.At("namespace"),
                   "is not a namespace: lower-case letters, digits and '-' only; correct it");
  }
  if (!reader.Has("port")) {
    reader.Missing("port", "port: 8000");
  }
  const int64_t port = reader.Integer("port", 1, 65535).value_or(0);
  const std::string protocol = reader.Choice("protocol", {"http", "https"}).value_or("http");
  reader.Finish();
  if (!IsDnsLabel(name) || !IsDnsLabel(service_ns) || port == 0) {
    return "";
  }
  const absl::StatusOr<std::string> url =
      NormaliseUrl(absl::StrCat(protocol, "://", name, ".", service_ns, ".svc:", port));
  return url.value_or("");
}

// `provider`: the endpoint's own.
std::string DecodeAddress(ObjectReader& reader, const std::string& ns,
                          const std::string& provider) {
  const Json* const value = reader.Find("endpoint");
  if (value == nullptr) {
    const Provider* const known = ProviderOfName(provider);
    if (known != nullptr && !known->url.empty()) {
      return std::string(known->url);
    }
    reader.Missing("endpoint", "endpoint: https://api.openai.com/v1");
    return "";
  }
  if (value->is_object()) {
    return DecodeService(*value, reader.At("endpoint"), ns, reader.reporter());
  }
  const std::optional<std::string> text = reader.Text("endpoint", kMaxUrl, 1);
  if (!text) {
    return "";
  }
  const absl::StatusOr<std::string> url = NormaliseUrl(*text);
  if (!url.ok()) {
    reader.reporter().Error("InvalidValue", reader.At("endpoint"),
                            std::string(url.status().message()));
    return "";
  }
  return CheckPodAddress(*url, ns, reader.At("endpoint"), reader.reporter()) ? *url : "";
}

ProviderOptions DecodeProviderOptions(const Json& value, const FieldPath& path,
                                      Reporter& reporter) {
  ProviderOptions options;
  ObjectReader reader(value, path, reporter);
  // All of these become parts of a path, a query or a header.
  const auto word = [&](const std::string& key, size_t max) {
    std::string text = reader.Text(key, max, 1).value_or("");
    if (!text.empty() && !IsEndpointName(text)) {
      reporter.Error("InvalidValue", reader.At(key),
                     "may hold letters, digits, '-', '_' and '.', and begins and ends with a "
                     "letter or digit; correct it");
      text.clear();
    }
    return text;
  };
  options.region = word("region", 63);
  options.api_version = word("apiVersion", 63);
  options.deployment = word("deployment", 63);
  options.format = reader.Choice("format", {"openai", "native", "titan", "cohere"}).value_or("");
  if (const std::optional<int64_t> tokens = reader.Integer("maxTokens", 1, kMaxCount)) {
    options.max_tokens = static_cast<uint64_t>(*tokens);
  }
  reader.Finish();
  return options;
}

Endpoint DecodeEndpoint(const Json& value, const FieldPath& path, const std::string& ns,
                        Reporter& reporter) {
  Endpoint endpoint;
  ObjectReader reader(value, path, reporter);
  endpoint.provider = reader.Text("provider", 63, 1).value_or("");
  if (value.is_object()) {
    endpoint.url = DecodeAddress(reader, ns, endpoint.provider);
  }
  endpoint.name = reader.Text("name", 63, 1).value_or("");
  if (!endpoint.name.empty() && !IsEndpointName(endpoint.name)) {
    reporter.Error(
        "InvalidValue", reader.At("name"),
        "may hold letters, digits, '-', '_' and '.', and begins and ends with a letter or "
        "digit; correct it");
  }
  if (!endpoint.provider.empty() && !IsEndpointName(endpoint.provider)) {
    reporter.Error("InvalidValue", reader.At("provider"),
                   "is not the name of a provider; write one, such as openai, azure or anthropic");
  }
  if (const Json* const options = reader.Find("providerOptions")) {
    endpoint.provider_options =
        DecodeProviderOptions(*options, reader.At("providerOptions"), reporter);
  }
  if (const Json* const security = reader.Find("endpointSecurity")) {
    endpoint.security = DecodeSecurity(*security, reader.At("endpointSecurity"), reporter);
  }
  if (const Json* const certificate = reader.Find("certificate")) {
    endpoint.certificate = DecodeCertificate(*certificate, reader.At("certificate"), reporter);
  }
  if (const Json* const resiliency = reader.Find("resiliency")) {
    DecodeResiliency(*resiliency, reader.At("resiliency"), reporter, endpoint);
  }
  if (const Json* const limit = reader.Find("aiRatelimit")) {
    DecodeAiRatelimit(*limit, reader.At("aiRatelimit"), reporter);
  }
  endpoint.weight = static_cast<uint32_t>(reader.Integer("weight", 0, 10'000).value_or(1));
  reader.Finish();
  return endpoint;
}

std::vector<Endpoint> DecodeList(ObjectReader& reader, const std::string& key,
                                 const std::string& ns) {
  std::vector<Endpoint> endpoints;
  const Json* const value = reader.Find(key);
  if (value != nullptr && value->is_object()) {
    reader.reporter().Error("InvalidType", reader.At(key),
                            "must be a list of endpoints; write `- endpoint: ...`");
    return endpoints;
  }
  std::set<std::string> names;
  reader.List(key, kMaxEndpoints, [&](const Json& item, const FieldPath& path) {
    endpoints.push_back(DecodeEndpoint(item, path, ns, reader.reporter()));
    const std::string& name = endpoints.back().name;
    if (!name.empty() && !names.insert(name).second) {
      reader.reporter().Error("Duplicate", path.Key("name"),
                              absl::StrCat("another endpoint of ", key, " is called ", Quoted(name),
                                           "; rename one of them"));
    }
  });
  return endpoints;
}

}  // namespace

EndpointConfigurations DecodeEndpoints(const Json& value, const FieldPath& path,
                                       const std::string& ns, Reporter& reporter) {
  EndpointConfigurations endpoints;
  ObjectReader reader(value, path, reporter);
  endpoints.production = DecodeList(reader, "production", ns);
  endpoints.sandbox = DecodeList(reader, "sandbox", ns);
  reader.Finish();
  return endpoints;
}

void WarnAboutUnusedEndpoints(const EndpointConfigurations& endpoints, const FieldPath& path,
                              Reporter& reporter) {
  for (const Environment environment : {Environment::kProduction, Environment::kSandbox}) {
    if (endpoints.Of(environment).size() > 1) {
      reporter.NotEnforced(
          path.Key(environment == Environment::kProduction ? "production" : "sandbox"),
          "without a policy ModelBasedRoundRobin all requests go to the first endpoint, whatever "
          "the "
          "weights are");
    }
  }
}

bool CheckPodAddress(const std::string& url, const std::string& ns, const FieldPath& path,
                     Reporter& reporter) {
  const std::optional<ClusterHost> host = ClusterHostOf(url);
  if (!host.has_value() || !host->service.empty() || host->ns == ns) {
    return true;
  }
  reporter.Error("RefNotPermitted", path,
                 absl::StrCat("is the address of a pod of namespace ", Quoted(host->ns),
                              ", and the API lives in ", Quoted(ns),
                              "; write the name of a service, which that namespace can grant"));
  return false;
}

}  // namespace rota::resource
