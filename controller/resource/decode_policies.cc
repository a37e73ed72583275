#include "controller/resource/decode_policies.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/resource/decode_endpoints.h"
#include "controller/resource/decode_rotation.h"
#include "controller/resource/names.h"
#include "controller/resource/url.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr char kModelPolicy[] = "ModelBasedRoundRobin";
constexpr size_t kMaxText = 2048;
constexpr size_t kMaxDefaults = 16 << 10;
constexpr int64_t kMaxWeight = 10'000;
constexpr int64_t kMaxTier = 16;

// Policies of apk-conf that are known and not acted on: accepted with a warning.
const std::vector<std::string>& NotYetPolicies() {
  static const auto* const kNames = new std::vector<std::string>{
      "AddHeader", "SetHeader", "RemoveHeader", "BackendJwt", "RequestMirror", "RequestRedirect"};
  return *kNames;
}

// Policies that are refused: what they are meant to stop, hide or replace would pass.
const std::vector<std::string>& RefusedPolicies() {
  static const auto* const kNames =
      new std::vector<std::string>{"Interceptor",
                                   "LuaInterceptor",
                                   "WASMInterceptor",
                                   "RegexGuardrail",
                                   "WordCountGuardrail",
                                   "SentenceCountGuardrail",
                                   "ContentLengthGuardrail",
                                   "URLGuardrail",
                                   "AzureContentSafetyContentModeration",
                                   "AWSBedrockGuardrail",
                                   "PIIMaskingRegex",
                                   "SemanticCache"};
  return *kNames;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const char* NameOf(Environment environment) {
  return environment == Environment::kProduction ? "production" : "sandbox";
}

std::string Names(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> names;
  for (const Endpoint& endpoint : endpoints) {
    if (!endpoint.name.empty()) {
      names.push_back(endpoint.name);
    }
  }
  return names.empty() ? "none has a name" : absl::StrCat("there are ", Choices(names));
}

// Reports a model's endpoint (a name or a normalised URL) that the list does not settle.
void CheckEndpoint(const std::string& endpoint, const std::vector<Endpoint>& list,
                   Environment environment, const FieldPath& path, Reporter& reporter) {
  if (!LooksLikeUrl(endpoint)) {
    const bool known = std::any_of(list.begin(), list.end(),
                                   [&](const Endpoint& entry) { return entry.name == endpoint; });
    if (!known) {
      reporter.Error(
          "UnknownEndpoint", path,
          absl::StrCat("no endpoint of ", NameOf(environment), " is called ", Quoted(endpoint),
                       " (", Names(list), "); write the name of one, or a URL"));
    }
    return;
  }
  const Endpoint* first = nullptr;
  for (const Endpoint& entry : list) {
    if (entry.url != endpoint) {
      continue;
    }
    if (first != nullptr && !(first->security == entry.security)) {
      reporter.Error(
          "AmbiguousEndpoint", path,
          absl::StrCat("two endpoints of ", NameOf(environment), " have the URL ", Quoted(endpoint),
                       " with different credentials; give each a `name` and write that here"));
      return;
    }
    first = &entry;
  }
}

std::string DecodeModelEndpoint(ObjectReader& reader, const PolicyScope& scope,
                                Environment environment) {
  const std::optional<std::string> text =
      reader.RequiredText("endpoint", kMaxText, "endpoint: https://api.openai.com/v1");
  if (!text) {
    return "";
  }
  const FieldPath path = reader.At("endpoint");
  std::string endpoint = *text;
  if (LooksLikeUrl(*text)) {
    absl::StatusOr<std::string> url = NormaliseUrl(*text);
    if (!url.ok()) {
      reader.reporter().Error("InvalidValue", path, std::string(url.status().message()));
      return "";
    }
    if (scope.endpoints != nullptr && !CheckPodAddress(*url, scope.ns, path, reader.reporter())) {
      return "";
    }
    endpoint = *std::move(url);
  } else if (!IsEndpointName(*text)) {
    reader.reporter().Error(
        "InvalidValue", path,
        absl::StrCat("is ", Quoted(*text),
                     ", neither a URL nor the name of an endpoint; write a URL such as "
                     "https://api.openai.com/v1"));
    return "";
  }
  if (scope.endpoints != nullptr) {
    CheckEndpoint(endpoint, scope.endpoints->Of(environment), environment, path, reader.reporter());
  }
  return endpoint;
}

// `defaults` of a model, as text; "" when it has none.
std::string DecodeDefaults(ObjectReader& model) {
  const Json* const value = model.Find("defaults");
  if (value == nullptr) {
    return "";
  }
  const FieldPath path = model.At("defaults");
  if (!value->is_object()) {
    model.reporter().Error("InvalidType", path,
                           "must be a map of fields of a request, such as {temperature: 1.0}");
    return "";
  }
  for (const char* const key : {"model", "messages", "stream"}) {
    if (value->contains(key)) {
      model.reporter().Error("InvalidValue", path.Key(key),
                             "has no default: the request or the rotation says it; remove it");
      return "";
    }
  }
  std::string text = value->dump();
  if (text.size() > kMaxDefaults) {
    model.reporter().Error("TooLarge", path,
                           absl::StrCat("is ", text.size(), " bytes as JSON, at most ",
                                        kMaxDefaults, " are possible; shorten it"));
    return "";
  }
  return value->empty() ? "" : text;
}

std::vector<ModelTarget> DecodeModels(ObjectReader& reader, const std::string& key,
                                      const PolicyScope& scope, Environment environment) {
  std::vector<ModelTarget> targets;
  Reporter& reporter = reader.reporter();
  bool has_weight = false;
  reader.List(key, kMaxModels, [&](const Json& item, const FieldPath& path) {
    ObjectReader model(item, path, reporter);
    if (!item.is_object()) {
      return;
    }
    ModelTarget target;
    target.model = model.RequiredText("model", 256, "model: gpt-4o").value_or("");
    target.endpoint = DecodeModelEndpoint(model, scope, environment);
    target.weight = static_cast<uint32_t>(model.Integer("weight", 0, kMaxWeight).value_or(1));
    target.tier = static_cast<uint32_t>(model.Integer("tier", 1, kMaxTier).value_or(1));
    target.provider = model.Text("provider", 63, 1).value_or("");
    if (!target.provider.empty() && !IsEndpointName(target.provider)) {
      reporter.Error(
          "InvalidValue", model.At("provider"),
          "is not the name of a provider; write one, such as openai, azure or anthropic");
    }
    target.defaults = DecodeDefaults(model);
    target.allowed_models = model.Texts("allowedModels", kMaxModels, 256);
    model.Finish();
    has_weight = has_weight || target.weight > 0;
    targets.push_back(std::move(target));
  });
  if (!targets.empty() && !has_weight) {
    reporter.Error(
        "AllWeightsZero", reader.At(key),
        "every weight is 0, so no model would ever be picked; give one a weight above 0");
  }
  return targets;
}

ModelBasedRoundRobin DecodeModelPolicy(const Json& value, const FieldPath& path,
                                       const PolicyScope& scope, Reporter& reporter) {
  ModelBasedRoundRobin policy;
  ObjectReader reader(value, path, reporter);
  if (!value.is_object()) {
    return policy;
  }
  policy.production = DecodeModels(reader, "productionModels", scope, Environment::kProduction);
  policy.sandbox = DecodeModels(reader, "sandboxModels", scope, Environment::kSandbox);
  const bool has_models = [&] {
    const auto filled = [&](const char* key) {
      const Json* const list = reader.Find(key);
      return list != nullptr && !(list->is_array() && list->empty());
    };
    const bool production = filled("productionModels");
    return filled("sandboxModels") || production;
  }();
  if (!has_models) {
    reader.Missing("productionModels",
                   "productionModels: [{model: gpt-4o, endpoint: https://api.openai.com/v1}]");
  }
  policy.settings = DecodeRotationSettings(reader);
  const std::optional<OnAllSuspended>& all_suspended = policy.settings.all_suspended;
  if (all_suspended.has_value() && *all_suspended != OnAllSuspended::kWait &&
      policy.settings.wait_timeout.has_value()) {
    reporter.Warn("Ignored", reader.At("waitTimeout"),
                  "has no effect without onAllSuspended: Wait; write that, or remove the field");
  }
  reader.Finish();
  return policy;
}

// Parameters of a policy that is known and not acted on: checked for their shape all the same.
void CheckOtherParameters(const std::string& name, const Json& value, const FieldPath& path,
                          Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  if (!value.is_object()) {
    return;
  }
  if (name == "AddHeader" || name == "SetHeader" || name == "RemoveHeader") {
    reader.RequiredText("headerName", 128, "headerName: X-Team");
    reader.Text("headerValue", 4096);
  } else if (name == "RequestMirror") {
    reader.Texts("urls", 16, kMaxText);
  } else if (name == "RequestRedirect") {
    reader.RequiredText("url", kMaxText, "url: https://example.com");
    reader.Integer("statusCode", 301, 308);
  } else {
    reader.Bool("enabled");
    reader.Text("encoding", 64);
    reader.Text("signingAlgorithm", 64);
    reader.Text("header", 128);
    reader.Integer("tokenTTL", 0, 31'536'000);
    reader.List("customClaims", 64, [&](const Json& item, const FieldPath& at) {
      ObjectReader claim(item, at, reporter);
      claim.RequiredText("claim", 256, "claim: team");
      claim.RequiredText("value", 1024, "value: blue");
      claim.Text("type", 64);
      claim.Finish();
    });
  }
  reader.Finish();
}

// One entry of a policy list; the model policy is returned.
std::optional<ModelBasedRoundRobin> DecodePolicy(const Json& value, const FieldPath& path,
                                                 bool is_request, const PolicyScope& scope,
                                                 Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  if (!value.is_object()) {
    return std::nullopt;
  }
  const std::string name =
      reader.RequiredText("policyName", 64, "policyName: ModelBasedRoundRobin").value_or("");
  if (name.empty()) {
    return std::nullopt;
  }
  const FieldPath name_path = reader.At("policyName");
  if (Contains(RefusedPolicies(), name)) {
    reporter.Error(
        "Unsupported", name_path,
        absl::StrCat("the policy ", name,
                     " is not supported, and without it requests would pass that it is meant "
                     "to check or change; remove it to serve the API without it"));
    return std::nullopt;
  }
  const bool is_model_policy = name == kModelPolicy;
  if (!is_model_policy && !Contains(NotYetPolicies(), name)) {
    std::vector<std::string> known = NotYetPolicies();
    known.emplace_back(kModelPolicy);
    const std::string nearest = Nearest(name, known);
    reporter.Error(
        "UnknownPolicy", name_path,
        absl::StrCat("there is no policy ", Quoted(name), "; ",
                     nearest.empty() ? std::string("write ModelBasedRoundRobin, or remove it")
                                     : absl::StrCat("did you mean ", nearest, "?")));
    return std::nullopt;
  }
  reader.Choice("policyVersion", {"v1"});
  reader.Text("policyId", 128);
  const Json* const parameters = reader.Find("parameters");
  std::optional<ModelBasedRoundRobin> policy;
  if (is_model_policy && !is_request) {
    reporter.Error("InvalidValue", name_path,
                   "ModelBasedRoundRobin chooses where a request goes; move it from `response` to "
                   "`request`");
  } else if (is_model_policy && parameters == nullptr) {
    reader.Missing("parameters", "parameters: {productionModels: [...]}");
  } else if (is_model_policy) {
    policy = DecodeModelPolicy(*parameters, reader.At("parameters"), scope, reporter);
  } else {
    if (parameters != nullptr) {
      CheckOtherParameters(name, *parameters, reader.At("parameters"), reporter);
    }
    reporter.NotEnforced(path, absl::StrCat("the policy ", name, " changes nothing"));
  }
  reader.Finish();
  return policy;
}

}  // namespace

std::optional<ModelBasedRoundRobin> DecodePolicies(const Json& value, const FieldPath& path,
                                                   const PolicyScope& scope, Reporter& reporter) {
  std::optional<ModelBasedRoundRobin> result;
  ObjectReader reader(value, path, reporter);
  for (const bool is_request : {true, false}) {
    reader.List(is_request ? "request" : "response", kMaxPolicies,
                [&](const Json& item, const FieldPath& at) {
                  std::optional<ModelBasedRoundRobin> policy =
                      DecodePolicy(item, at, is_request, scope, reporter);
                  if (policy && result) {
                    reporter.Error(
                        "Duplicate", at.Key("policyName"),
                        "there is another ModelBasedRoundRobin before this one; merge them");
                  } else if (policy) {
                    result = std::move(policy);
                  }
                });
  }
  reader.Finish();
  return result;
}

void CheckPolicyAgainst(const ModelBasedRoundRobin& policy, const EndpointConfigurations& endpoints,
                        const FieldPath& path, Reporter& reporter) {
  for (const Environment environment : {Environment::kProduction, Environment::kSandbox}) {
    if (endpoints.Of(environment).empty()) {
      continue;
    }
    for (const ModelTarget& target : policy.Of(environment)) {
      if (!target.endpoint.empty()) {
        CheckEndpoint(target.endpoint, endpoints.Of(environment), environment,
                      path.Key(NameOf(environment)), reporter);
      }
    }
  }
}

}  // namespace rota::resource
