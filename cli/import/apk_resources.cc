#include "cli/import/apk_resources.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxSeconds = 31'536'000;

std::string TextAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// "/chat-service/1.0" -> "/chat-service" for the version 1.0.
std::string WithoutVersion(const std::string& path, const std::string& version) {
  const std::string end = "/" + version;
  return absl::EndsWith(path, end) ? path.substr(0, path.size() - end.size()) : path;
}

// A path that is matched as a regular expression there, as an operation's target; "" when it says
// more than a target can.
std::string TargetOf(std::string path) {
  for (const char* const any : {"(.*)", ".*"}) {
    const std::string end = absl::StrCat("/", any);
    if (absl::EndsWith(path, end)) {
      path = path.substr(0, path.size() - end.size()) + "/*";
    }
  }
  const bool is_plain =
      path.find_first_of("()[]|^$+?\\") == std::string::npos && path.find('*') >= path.size() - 1;
  return is_plain ? path : "";
}

}  // namespace

void ApkResources::Add(const Json& object, const Place& place) {
  if (!object.is_object() || TextAt(object, "kind").empty()) {
    report().Error(place, "is neither an apk-conf file nor a Kubernetes object");
    return;
  }
  const std::string kind = TextAt(object, "kind");
  if (kind == "List" && object.contains("items") && object["items"].is_array()) {
    for (size_t i = 0; i < object["items"].size(); ++i) {
      Add(object["items"][i], place.Key("items").Index(i));
    }
    return;
  }
  if (kind == "GQLRoute" || kind == "GRPCRoute" || kind == "InterceptorService") {
    report().Error(place, absl::StrCat(kind,
                                       " is not supported: Rota serves REST, and changes "
                                       "nothing of requests but the model"));
    return;
  }
  for (const char* const known : {"API", "HTTPRoute", "Backend", "APIPolicy", "AIProvider"}) {
    if (kind == known) {
      const Json metadata = object.value("metadata", Json::object());
      objects_[kind].push_back(
          {&object, place, TextAt(metadata, "name"), TextAt(metadata, "namespace"), false});
      return;
    }
  }
  report().NoEqual(place, kind == "Secret"
                              ? absl::StrCat("the Secret is used as it is, by its name")
                              : absl::StrCat("nothing of a ", Quoted(kind), " is imported"));
}

ApkResources::Object* ApkResources::FindObject(const std::string& kind, const std::string& name,
                                               const std::string& ns) {
  for (Object& object : objects_[kind]) {
    if (object.name == name && object.ns == ns) {
      object.is_used = true;
      return &object;
    }
  }
  return nullptr;
}

void ApkResources::Import() {
  for (Object& api : objects_["API"]) {
    api.is_used = true;
    ImportApi(api);
  }
  ReportUnused();
}

void ApkResources::ReportUnused() {
  for (const auto& [kind, objects] : objects_) {
    for (const Object& object : objects) {
      if (!object.is_used) {
        report().NoEqual(object.place,
                         absl::StrCat("no API of the files uses the ", kind, " ", object.name));
      }
    }
  }
}

void ApkResources::ImportApi(Object& object) {
  Fields fields(*object.value, object.place, report());
  for (const char* const known : {"apiVersion", "kind", "metadata", "status"}) {
    fields.Find(known);
  }
  std::optional<Fields> spec = fields.Map("spec");
  fields.Finish();
  if (!spec) {
    report().Error(object.place, "has no spec");
    return;
  }
  ApkApi api{object.ns, object.name, Json::object(), object.place, false};
  const std::string version = spec->Text("apiVersion").value_or("");
  api.spec["name"] = spec->Text("apiName").value_or(object.name);
  api.spec["version"] = version;
  api.spec["basePath"] = WithoutVersion(spec->Text("basePath").value_or(""), version);
  const std::string type = spec->Text("apiType").value_or("REST");
  if (type != "REST") {
    report().Error(spec->At("apiType"), absl::StrCat("type ", Quoted(type), " is not supported"));
    return;
  }
  if (spec->Bool("isDefaultVersion").value_or(false)) {
    api.spec["defaultVersion"] = true;
  }
  for (const char* const key : {"organization", "environment", "definitionPath"}) {
    if (const auto text = spec->Text(key); text && !text->empty()) {
      api.spec[key] = *text;
    }
  }
  Json operations = Json::array();
  std::vector<Environment> environments = {{"production", Json::array(), {}},
                                           {"sandbox", Json::array(), {}}};
  for (Environment& environment : environments) {
    AddRoutes(*spec, object, environment, operations);
  }
  const bool may_be_served = AddPolicies(object, environments, api.spec);
  for (const Environment& environment : environments) {
    if (!environment.endpoints.empty()) {
      api.spec["endpointConfigurations"][environment.name] = environment.endpoints;
    }
  }
  api.spec["operations"] = std::move(operations);
  spec->NoEqual({"apiProperties", "definitionFileRef", "systemAPI"}, "changes nothing here");
  spec->Finish();
  if (may_be_served) {
    PublishApkApi(std::move(api), imported_);
  }
}

void ApkResources::AddRoutes(Fields& spec, const Object& api, Environment& environment,
                             Json& operations) {
  for (const Fields::Item& item : spec.List(environment.name)) {
    Fields config(*item.value, item.place, report());
    for (const std::string& name : config.Texts("routeRefs")) {
      Object* const route = FindObject("HTTPRoute", name, api.ns);
      if (route == nullptr) {
        report().Error(config.At("routeRefs"),
                       absl::StrCat("the HTTPRoute ", Quoted(name), " is in none of the files"));
        continue;
      }
      Fields object(*route->value, route->place, report());
      std::optional<Fields> route_spec = object.Map("spec");
      for (const char* const known : {"apiVersion", "kind", "metadata", "status"}) {
        object.Find(known);
      }
      object.Finish();
      if (!route_spec) {
        continue;
      }
      for (const Fields::Item& rule : route_spec->List("rules")) {
        AddRule(rule, api, environment, operations);
      }
      route_spec->NoEqual({"hostnames"},
                          "the gateway's hosts tell production from sandbox, for all APIs");
      route_spec->NoEqual({"parentRefs"}, "the API is served by Rota's own gateway");
      route_spec->Finish();
    }
    config.Finish();
  }
}

void ApkResources::AddRule(const Fields::Item& item, const Object& api, Environment& environment,
                           Json& operations) {
  Fields rule(*item.value, item.place, report());
  for (const Fields::Item& match : rule.List("matches")) {
    AddMatch(match, operations);
  }
  for (const Fields::Item& ref : rule.List("backendRefs")) {
    Fields backend(*ref.value, ref.place, report());
    backend.Find("group");
    const std::string kind = backend.Text("kind").value_or("Backend");
    const std::string name = backend.Text("name").value_or("");
    if (kind == "Backend") {
      AddBackend(name, api, ref.place, environment);
    } else {
      report().Error(ref.place, absl::StrCat("a ", Quoted(kind), " as a backend is not imported"));
    }
    backend.NoEqual({"weight", "port"}, "the model policy shares requests out");
    backend.Finish();
  }
  ReadFilters(rule, api);
  rule.NoEqual({"timeouts"}, "the Backend says its time-outs");
  rule.Finish();
}

void ApkResources::AddMatch(const Fields::Item& item, Json& operations) {
  Fields match(*item.value, item.place, report());
  const std::string verb = match.Text("method").value_or("");
  std::string target;
  if (std::optional<Fields> path = match.Map("path")) {
    const std::string value = path->Text("value").value_or("");
    const std::string type = path->Text("type").value_or("PathPrefix");
    target = type == "RegularExpression" ? TargetOf(value) : value;
    if (type == "PathPrefix") {
      target = absl::StrCat(absl::StripSuffix(target, "/"), "/*");
    }
    path->Finish();
  }
  match.NoEqual({"headers", "queryParams"}, "Rota looks at path and verb only");
  match.Finish();
  if (verb.empty() || target.empty()) {
    report().Error(item.place, "needs a method, and a path that is no regular expression");
    return;
  }
  const Json operation = {{"target", target}, {"verb", verb}};
  if (std::find(operations.begin(), operations.end(), operation) == operations.end()) {
    operations.push_back(operation);
  }
}

void ApkResources::ReadFilters(Fields& rule, const Object& api) {
  for (const Fields::Item& item : rule.List("filters")) {
    Fields filter(*item.value, item.place, report());
    const std::string type = filter.Text("type").value_or("");
    if (type == "URLRewrite") {
      filter.Find("urlRewrite");
      report().Mapped(item.place, "the path behind the API's own goes to the Backend's base path");
    } else if (type == "ExtensionRef") {
      std::optional<Fields> ref = filter.Map("extensionRef");
      const std::string kind = ref ? ref->Text("kind").value_or("") : "";
      const std::string name = ref ? ref->Text("name").value_or("") : "";
      FindObject(kind, name, api.ns);
      report().NoEqual(item.place, absl::StrCat("the ", Quoted(kind),
                                                " of a single operation is not "
                                                "imported"));
      if (ref) {
        ref->Find("group");
        ref->Finish();
      }
    } else {
      report().NoEqual(item.place,
                       absl::StrCat("the filter ", Quoted(type), " changes nothing here"));
      return;
    }
    filter.Finish();
  }
}

void ApkResources::AddBackend(const std::string& name, const Object& api, const Place& place,
                              Environment& environment) {
  if (!environment.backends.insert(name).second) {
    return;
  }
  Object* const backend = FindObject("Backend", name, api.ns);
  if (backend == nullptr) {
    report().Error(place, absl::StrCat("the Backend ", Quoted(name), " is in none of the files"));
    return;
  }
  Json endpoint = EndpointOf(*backend);
  if (!endpoint.is_null()) {
    environment.endpoints.push_back(std::move(endpoint));
  }
}

Json ApkResources::EndpointOf(Object& backend) {
  Fields object(*backend.value, backend.place, report());
  std::optional<Fields> spec = object.Map("spec");
  for (const char* const known : {"apiVersion", "kind", "metadata", "status"}) {
    object.Find(known);
  }
  object.Finish();
  const std::vector<Fields::Item> services =
      spec ? spec->List("services") : std::vector<Fields::Item>{};
  if (services.empty()) {
    report().Error(backend.place, "names no service");
    return nullptr;
  }
  Fields service(*services.front().value, services.front().place, report());
  const std::string host = service.Text("host").value_or("");
  const int64_t port = service.Whole("port", 1, 65'535).value_or(443);
  service.Finish();
  const std::string protocol = spec->Text("protocol").value_or("http");
  const std::string base = spec->Text("basePath").value_or("");
  const bool is_default = port == (protocol == "https" ? 443 : 80);
  Json endpoint = {
      {"name", backend.name},
      {"endpoint", absl::StrCat(protocol, "://", host, is_default ? "" : absl::StrCat(":", port),
                                absl::StripSuffix(base, "/"))}};
  AddSecurity(*spec, endpoint);
  AddResiliency(*spec, endpoint);
  spec->NoEqual({"healthCheck"}, "no probes are sent; real requests show who is well");
  spec->NoEqual({"supportedModels"}, "the model policy says which models are used");
  spec->Finish();
  return endpoint;
}

void ApkResources::AddSecurity(Fields& spec, Json& endpoint) {
  if (std::optional<Fields> security = spec.Map("security")) {
    Json type;
    if (std::optional<Fields> key = security->Map("apiKey")) {
      if (std::optional<Fields> from = key->Map("valueFrom")) {
        type["secretName"] = from->Text("name").value_or("");
        type["apiKeyValueKey"] = from->Text("valueKey").value_or("");
        from->Finish();
      }
      type["in"] = key->Text("in").value_or("Header");
      type["apiKeyNameKey"] = key->Text("name").value_or("");
      key->Finish();
    } else if (std::optional<Fields> basic = security->Map("basic")) {
      if (std::optional<Fields> from = basic->Map("secretRef")) {
        type["secretName"] = from->Text("name").value_or("");
        type["userNameKey"] = from->Text("usernameKey").value_or("");
        type["passwordKey"] = from->Text("passwordKey").value_or("");
        from->Finish();
      }
      basic->Finish();
    }
    security->Finish();
    if (!type.is_null()) {
      endpoint["endpointSecurity"] = {{"enabled", true}, {"securityType", std::move(type)}};
    }
  }
  if (std::optional<Fields> tls = spec.Map("tls")) {
    if (std::optional<Fields> ref = tls->Map("secretRef")) {
      endpoint["certificate"] = {{"secretName", ref->Text("name").value_or("")},
                                 {"secretKey", ref->Text("key").value_or("")}};
      ref->Finish();
    }
    tls->NoEqual({"certificateInline", "configMapRef"},
                 "put the CA into a Secret and name it in `certificate`");
    tls->NoEqual({"allowedSANs"}, "the endpoint's host is the name that its certificate must have");
    tls->Finish();
  }
}

void ApkResources::AddResiliency(Fields& spec, Json& endpoint) {
  Json resiliency = Json::object();
  if (std::optional<Fields> timeout = spec.Map("timeout")) {
    const int64_t response = timeout->Whole("upstreamResponseTimeout", 0, kMaxSeconds).value_or(0);
    if (response > 0) {
      resiliency["timeout"]["upstreamResponseTimeout"] = response;
    }
    timeout->NoEqual({"downstreamRequestIdleTimeout"}, "the data plane's own limit holds");
    timeout->Finish();
  }
  for (const auto& [there, here] :
       {std::pair{"retry", "retryPolicy"}, std::pair{"circuitBreaker", "circuitBreaker"}}) {
    if (const Json* const value = spec.Find(there)) {
      resiliency[here] = *value;
    }
  }
  if (!resiliency.empty()) {
    endpoint["resiliency"] = std::move(resiliency);
  }
}

bool ApkResources::AddPolicies(const Object& api, std::vector<Environment>& environments,
                               Json& out) {
  bool is_good = true;
  for (Object& object : objects_["APIPolicy"]) {
    Fields fields(*object.value, object.place, report());
    std::optional<Fields> spec = fields.Map("spec");
    if (!spec || object.ns != api.ns) {
      continue;
    }
    std::optional<Fields> target = spec->Map("targetRef");
    const bool is_ours = target && target->Text("name").value_or("") == api.name &&
                         target->Text("kind").value_or("API") == "API";
    if (!is_ours) {
      continue;
    }
    object.is_used = true;
    for (const char* const known : {"group", "namespace"}) {
      target->Find(known);
    }
    target->Finish();
    // What is overridden counts; a default fills in the rest.
    for (const char* const part : {"override", "default"}) {
      if (std::optional<Fields> policy = spec->Map(part)) {
        is_good = AddPolicy(*policy, api, environments, out) && is_good;
      }
    }
    spec->Finish();
    for (const char* const known : {"apiVersion", "kind", "metadata", "status"}) {
      fields.Find(known);
    }
    fields.Finish();
  }
  return is_good;
}

bool ApkResources::AddPolicy(Fields& policy, const Object& api,
                             std::vector<Environment>& environments, Json& out) {
  bool is_good = true;
  for (const char* const key : {"requestInterceptors", "responseInterceptors"}) {
    if (!policy.List(key).empty()) {
      report().Error(policy.At(key),
                     "interceptors are not supported, and what they are meant to check "
                     "or change would pass; take them out to serve the API without");
      is_good = false;
    }
  }
  if (policy.Bool("subscriptionValidation").value_or(false)) {
    out["subscriptionValidation"] = true;
  }
  if (std::optional<Fields> provider = policy.Map("aiProvider")) {
    AddProvider(provider->Text("name").value_or(""), api, provider->place(), out);
    provider->Finish();
  }
  if (std::optional<Fields> round_robin = policy.Map("modelBasedRoundRobin")) {
    if (!out.contains("apiPolicies")) {
      AddModels(*round_robin, api, environments, out);
    }
  }
  policy.NoEqual({"backendJwtPolicy"}, "no token is made for the backend");
  policy.NoEqual({"cORSPolicy"}, "browsers of other origins get no CORS headers");
  policy.Finish();
  return is_good;
}

void ApkResources::AddModels(Fields& round_robin, const Object& api,
                             std::vector<Environment>& environments, Json& out) {
  Json parameters = Json::object();
  if (const auto seconds = round_robin.Whole("onQuotaExceedSuspendDuration", 0, kMaxSeconds)) {
    parameters["onQuotaExceedSuspendDuration"] = *seconds;
  }
  for (Environment& environment : environments) {
    const std::string own = environment.name + "Models";
    // Older ones have one list for both.
    const std::string key = round_robin.Has(own) ? own : "models";
    if (key != own && environment.endpoints.empty()) {
      continue;
    }
    Json models = ModelsOf(round_robin, key, api, environment);
    if (!models.empty()) {
      parameters[own] = std::move(models);
    }
  }
  round_robin.Finish();
  out["apiPolicies"]["request"] = Json::array({{{"policyName", "ModelBasedRoundRobin"},
                                                {"policyVersion", "v1"},
                                                {"parameters", std::move(parameters)}}});
}

Json ApkResources::ModelsOf(Fields& round_robin, const std::string& key, const Object& api,
                            Environment& environment) {
  Json models = Json::array();
  for (const Fields::Item& item : round_robin.List(key)) {
    Fields model(*item.value, item.place, report());
    const Json* const ref = model.Find("backendRef");
    const std::string backend = ref == nullptr     ? ""
                                : ref->is_string() ? ref->get<std::string>()
                                : ref->is_object() ? TextAt(*ref, "name")
                                                   : "";
    AddBackend(backend, api, item.place, environment);
    models.push_back({{"model", model.Text("model").value_or("")},
                      {"endpoint", backend},
                      {"weight", model.Whole("weight", 0, 1'000'000).value_or(1)}});
    model.Finish();
  }
  return models;
}

void ApkResources::AddProvider(const std::string& name, const Object& api, const Place& place,
                               Json& out) {
  Object* const provider = FindObject("AIProvider", name, api.ns);
  if (provider == nullptr) {
    report().Differs(place, absl::StrCat("the AIProvider ", Quoted(name),
                                         " is in none of the files; the provider is told from the "
                                         "Backends' hosts"));
    return;
  }
  Fields object(*provider->value, provider->place, report());
  std::optional<Fields> spec = object.Map("spec");
  if (!spec) {
    return;
  }
  out["aiProvider"] = {{"name", spec->Text("providerName").value_or("")},
                       {"apiVersion", spec->Text("providerAPIVersion").value_or("")}};
  spec->NoEqual({"model", "requestModel", "responseModel", "rateLimitFields", "supportedModels"},
                "Rota knows where the provider has its model and usage");
  spec->Find("organization");
  spec->Finish();
}

}  // namespace rota::importer
