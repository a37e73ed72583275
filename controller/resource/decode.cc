#include "controller/resource/decode.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/resource/decode_endpoints.h"
#include "controller/resource/decode_gateway.h"
#include "controller/resource/decode_limits.h"
#include "controller/resource/decode_policies.h"
#include "controller/resource/names.h"
#include "controller/resource/reader.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

const std::vector<std::string>& Verbs() {
  static const auto* const kVerbs =
      new std::vector<std::string>{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"};
  return *kVerbs;
}

const std::vector<std::string>& OperationKinds() {
  static const auto* const kKinds = new std::vector<std::string>{
      "chat", "completions", "embeddings", "models", "messages", "converse", "passthrough"};
  return *kKinds;
}

bool IsPathCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

std::vector<std::string> Segments(const std::string& path) {
  std::vector<std::string> segments;
  for (size_t start = 1; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    segments.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return segments;
}

// Without its trailing slash; absent (and reported) when it cannot be a base path.
std::optional<std::string> DecodeBasePath(ObjectReader& reader) {
  std::optional<std::string> path = reader.RequiredText("basePath", 256, "basePath: /chat-service");
  if (!path) {
    return std::nullopt;
  }
  const auto reject = [&](std::string_view message) {
    reader.reporter().Error("InvalidValue", reader.At("basePath"), std::string(message));
    return std::nullopt;
  };
  if (path->front() != '/') {
    return reject("must begin with '/', as in /chat-service");
  }
  if (path->back() == '/') {
    path->pop_back();
  }
  if (path->empty()) {
    return path;
  }
  for (const std::string& segment : Segments(*path)) {
    if (segment.empty() || segment == "." || segment == "..") {
      return reject("holds an empty, '.' or '..' segment; write the path that is meant");
    }
    if (!std::all_of(segment.begin(), segment.end(), IsPathCharacter)) {
      return reject("may hold letters, digits, '-', '_', '.', '~' and '/' only; correct it");
    }
  }
  return path;
}

std::string DecodeVersion(ObjectReader& reader) {
  std::string version = reader.RequiredText("version", 30, "version: \"1.0\"").value_or("");
  const bool is_segment = std::all_of(version.begin(), version.end(),
                                      [](char c) { return IsPathCharacter(c) && c != '~'; }) &&
                          version != "." && version != "..";
  if (!is_segment) {
    reader.reporter().Error(
        "InvalidValue", reader.At("version"),
        absl::StrCat("is ", Quoted(version),
                     ", which cannot be part of a path; write letters, digits, '-', "
                     "'_' and '.' only, as in \"1.0\""));
  }
  return version;
}

// What is wrong with an operation's target; "" when nothing is.
std::string WhatIsWrongWithTarget(const std::string& target) {
  if (target.front() != '/') {
    return "must begin with '/', as in /chat/completions";
  }
  const std::vector<std::string> segments = Segments(target);
  for (size_t i = 0; i < segments.size(); ++i) {
    const std::string& segment = segments[i];
    const bool is_last = i + 1 == segments.size();
    if (segment.empty() && is_last) {
      continue;  // a trailing slash is optional
    }
    if (segment == "*" && is_last) {
      continue;
    }
    if (segment.empty() || segment == "." || segment == "..") {
      return "holds an empty, '.' or '..' segment; write the path that is meant";
    }
    if (segment.front() == '{' && segment.back() == '}' && segment.size() > 2) {
      const std::string name = segment.substr(1, segment.size() - 2);
      if (std::all_of(name.begin(), name.end(), IsPathCharacter)) {
        continue;
      }
    }
    if (segment.find('*') != std::string::npos) {
      return "may hold '*' as its last segment only, as in /files/*";
    }
    const bool plain = std::all_of(segment.begin(), segment.end(), [](char c) {
      return IsPathCharacter(c) ||
             std::string_view("!$&'()+,;=:@%").find(c) != std::string_view::npos;
    });
    if (!plain) {
      return "holds a segment that is neither plain text nor {parameter}; correct it";
    }
  }
  return "";
}

// Targets that match the same requests have the same shape: parameters are anonymous, a trailing
// slash is optional.
std::string ShapeOf(const std::string& target) {
  std::string shape;
  for (const std::string& segment : Segments(target)) {
    if (!segment.empty()) {
      absl::StrAppend(&shape, "/", segment.front() == '{' ? "{}" : segment);
    }
  }
  return shape;
}

void DecodeRateLimit(ObjectReader& parent, std::string_view consequence) {
  const Json* const value = parent.Find("rateLimit");
  if (value == nullptr) {
    return;
  }
  ObjectReader reader(*value, parent.At("rateLimit"), parent.reporter());
  if (!reader.Has("requestsPerUnit")) {
    reader.Missing("requestsPerUnit", "requestsPerUnit: 100");
  }
  reader.Integer("requestsPerUnit", 1, 1'000'000'000);
  if (!reader.Has("unit")) {
    reader.Missing("unit", "unit: Minute");
  }
  reader.Choice("unit", {"Minute", "Hour", "Day"});
  reader.Finish();
  parent.reporter().NotEnforced(reader.path(), consequence);
}

// Reads everything of one API. One object per call of DecodeApi().
class ApiDecoder {
 public:
  ApiDecoder(const DecodeOptions& options, Reporter& reporter)
      : options_(options), reporter_(reporter) {}

  Api Decode(const Json& spec, const FieldPath& path) {
    ObjectReader reader(spec, path, reporter_);
    if (!spec.is_object()) {
      return {};
    }
    DecodeIdentity(reader);
    api_.gateways = DecodeGatewayNames(reader, options_.ns);
    if (const Json* const endpoints = reader.Find("endpointConfigurations")) {
      api_.endpoint_configurations =
          DecodeEndpoints(*endpoints, reader.At("endpointConfigurations"), options_.ns, reporter_);
    }
    if (const Json* const policies = reader.Find("apiPolicies")) {
      const PolicyScope scope{&api_.endpoint_configurations, options_.ns};
      api_.round_robin = DecodePolicies(*policies, reader.At("apiPolicies"), scope, reporter_);
    }
    DecodeOperations(reader);
    api_.limits = DecodeLimits(reader);
    DecodeAuthentication(reader);
    DecodeRateLimit(reader, "requests to this API are not limited");
    DecodeCors(reader);
    DecodeExtras(reader);
    reader.Finish();
    CheckDestinations(reader);
    return std::move(api_);
  }

 private:
  void DecodeIdentity(ObjectReader& reader) {
    api_.name = reader.RequiredText("name", 128, "name: chat-service").value_or("");
    api_.base_path = DecodeBasePath(reader).value_or("");
    api_.version = DecodeVersion(reader);
    api_.type = reader.Text("type", 32, 1).value_or("REST");
    if (api_.type != "REST") {
      reporter_.Error("Unsupported", reader.At("type"),
                      absl::StrCat("type ", Quoted(api_.type),
                                   " is not supported; Rota serves APIs of type REST"));
    }
    api_.id = reader.Text("id", 128).value_or("");
    api_.organization = reader.Text("organization", 128).value_or("");
    api_.environment = reader.Text("environment", 128).value_or("");
    api_.default_version = reader.Bool("defaultVersion").value_or(false);
    if (reader.Bool("subscriptionValidation").value_or(false)) {
      reporter_.NotEnforced(reader.At("subscriptionValidation"), "subscriptions are not checked");
    }
    for (const char* const key : {"organization", "environment"}) {
      if (!reader.Text(key, 128).value_or("").empty()) {
        reporter_.NotEnforced(reader.At(key), "the API is served whatever this says");
      }
    }
    if (const Json* const provider = reader.Find("aiProvider")) {
      ObjectReader fields(*provider, reader.At("aiProvider"), reporter_);
      api_.ai_provider_name = fields.Text("name", 64).value_or("");
      api_.ai_provider_api_version = fields.Text("apiVersion", 64).value_or("");
      fields.Finish();
    }
  }

  void DecodeOperations(ObjectReader& reader) {
    const bool is_list =
        reader.List("operations", kMaxOperations,
                    [&](const Json& item, const FieldPath& path) { DecodeOperation(item, path); });
    const Json* const list = reader.Find("operations");
    if (list == nullptr || (is_list && list->empty())) {
      reader.Missing("operations", "operations: [{target: /chat/completions, verb: POST}]");
    }
  }

  void DecodeOperation(const Json& value, const FieldPath& path) {
    ObjectReader reader(value, path, reporter_);
    if (!value.is_object()) {
      return;
    }
    Operation operation;
    operation.target =
        reader.RequiredText("target", 1024, "target: /chat/completions").value_or("");
    if (!operation.target.empty()) {
      if (std::string wrong = WhatIsWrongWithTarget(operation.target); !wrong.empty()) {
        reporter_.Error("InvalidValue", reader.At("target"), std::move(wrong));
        operation.target.clear();
      }
    }
    if (!reader.Has("verb")) {
      reader.Missing("verb", "verb: POST");
    }
    operation.verb = reader.Choice("verb", Verbs()).value_or("");
    operation.secured = reader.Bool("secured").value_or(true);
    operation.kind = DecodeKind(reader, operation.verb);
    operation.scopes = reader.Texts("scopes", 64, 256);
    if (!operation.scopes.empty()) {
      reporter_.NotEnforced(reader.At("scopes"), "no scope of the caller is checked");
    }
    DecodeOperationRouting(reader, operation);
    DecodeRateLimit(reader, "requests to this operation are not limited");
    reader.Finish();
    CheckUnique(operation, reader);
    api_.operations.push_back(std::move(operation));
  }

  // An operation that cannot be what it is said to be is a mistake in one of the two fields.
  static std::string DecodeKind(ObjectReader& reader, const std::string& verb) {
    std::string kind = reader.Choice("kind", OperationKinds()).value_or("");
    if (kind.empty() || kind == "passthrough" || verb.empty()) {
      return kind;
    }
    const std::string_view wanted = kind == "models" ? "GET" : "POST";
    if (verb != wanted) {
      reader.reporter().Error("InvalidValue", reader.At("kind"),
                              absl::StrCat("is ", kind, ", which goes with verb: ",
                                           std::string(wanted), " only; correct one of them"));
    }
    return kind;
  }

  void DecodeOperationRouting(ObjectReader& reader, Operation& operation) {
    EndpointConfigurations effective = api_.endpoint_configurations;
    const FieldPath endpoints_path = reader.At("endpointConfigurations");
    if (const Json* const endpoints = reader.Find("endpointConfigurations")) {
      operation.endpoint_configurations =
          DecodeEndpoints(*endpoints, endpoints_path, options_.ns, reporter_);
      const EndpointConfigurations& own = *operation.endpoint_configurations;
      effective.production = own.production.empty() ? effective.production : own.production;
      effective.sandbox = own.sandbox.empty() ? effective.sandbox : own.sandbox;
    }
    if (const Json* const policies = reader.Find("operationPolicies")) {
      const PolicyScope scope{&effective, options_.ns};
      operation.round_robin =
          DecodePolicies(*policies, reader.At("operationPolicies"), scope, reporter_);
    }
    if (!operation.endpoint_configurations || operation.round_robin) {
      return;
    }
    if (api_.round_robin) {
      CheckPolicyAgainst(*api_.round_robin, *operation.endpoint_configurations, endpoints_path,
                         reporter_);
    } else {
      WarnAboutUnusedEndpoints(*operation.endpoint_configurations, endpoints_path, reporter_);
    }
  }

  void CheckUnique(const Operation& operation, ObjectReader& reader) {
    if (operation.target.empty() || operation.verb.empty()) {
      return;
    }
    const auto [first, is_new] = seen_.try_emplace(
        absl::StrCat(operation.verb, " ", ShapeOf(operation.target)), api_.operations.size());
    if (!is_new) {
      reporter_.Error("Duplicate", reader.At("target"),
                      absl::StrCat("matches the same requests as operations[", first->second,
                                   "]; remove one of them"));
    }
  }

  void DecodeAuthentication(ObjectReader& reader) {
    reader.List("authentication", 16, [&](const Json& item, const FieldPath& path) {
      ObjectReader entry(item, path, reporter_);
      if (!item.is_object()) {
        return;
      }
      if (!entry.Has("authType")) {
        entry.Missing("authType", "authType: APIKey");
      }
      const std::string type =
          entry.Choice("authType", {"OAuth2", "JWT", "APIKey", "mTLS"}).value_or("");
      const bool enabled = entry.Bool("enabled").value_or(true);
      entry.Choice("required", {"mandatory", "optional"});
      entry.Bool("sendTokenToUpstream");
      entry.Text("headerName", 128);
      entry.Bool("headerEnable");
      entry.Text("queryParamName", 128);
      entry.Bool("queryParamEnable");
      entry.Texts("audience", 64, 256);
      entry.List("certificates", 16, [&](const Json& certificate, const FieldPath& at) {
        ObjectReader fields(certificate, at, reporter_);
        fields.RequiredText("name", 253, "name: client-ca");
        fields.RequiredText("key", 253, "key: ca.crt");
        fields.Finish();
      });
      entry.Finish();
      reporter_.NotEnforced(
          path, absl::StrCat(type, enabled ? " is not checked" : " switched off opens nothing",
                             ": secured operations are refused unless the data plane runs with "
                             "--allow-unauthenticated"));
    });
  }

  void DecodeCors(ObjectReader& reader) {
    const Json* const value = reader.Find("corsConfiguration");
    if (value == nullptr) {
      return;
    }
    ObjectReader cors(*value, reader.At("corsConfiguration"), reporter_);
    const bool enabled = cors.Bool("corsConfigurationEnabled").value_or(false);
    cors.Texts("accessControlAllowOrigins", 64, 256);
    cors.Bool("accessControlAllowCredentials");
    cors.Texts("accessControlAllowHeaders", 64, 256);
    cors.Texts("accessControlAllowMethods", 64, 256);
    cors.Integer("accessControlAllowMaxAge", 0, 31'536'000);
    cors.Texts("accessControlExposeHeaders", 64, 256);
    cors.Finish();
    if (enabled) {
      reporter_.NotEnforced(cors.path(), "browsers of other origins get no CORS headers");
    }
  }

  void DecodeExtras(ObjectReader& reader) {
    bool has_properties = false;
    reader.List("additionalProperties", 64, [&](const Json& item, const FieldPath& path) {
      ObjectReader property(item, path, reporter_);
      property.RequiredText("name", 256, "name: team");
      property.Text("value", 1024);
      property.Finish();
      has_properties = true;
    });
    if (has_properties) {
      reporter_.NotEnforced(reader.At("additionalProperties"), "they are kept and change nothing");
    }
    if (std::optional<std::string> path = reader.Text("definitionPath", 256, 1)) {
      if (path->front() != '/') {
        reporter_.Error("InvalidValue", reader.At("definitionPath"),
                        "must begin with '/', as in /api-definition");
      } else {
        reporter_.NotEnforced(reader.At("definitionPath"), "no API definition is served");
      }
      api_.definition_path = *std::move(path);
    }
  }

  void CheckDestinations(ObjectReader& reader) {
    const auto has_any = [](const EndpointConfigurations& endpoints) {
      return !endpoints.production.empty() || !endpoints.sandbox.empty();
    };
    const bool operations_have = std::any_of(
        api_.operations.begin(), api_.operations.end(), [&](const Operation& operation) {
          return operation.round_robin ||
                 (operation.endpoint_configurations && has_any(*operation.endpoint_configurations));
        });
    if (!reporter_.has_errors() && !has_any(api_.endpoint_configurations) && !api_.round_robin &&
        !operations_have) {
      reader.Missing(
          "endpointConfigurations",
          "endpointConfigurations: {production: [{endpoint: https://api.openai.com/v1}]}");
    }
    const bool is_used_without_policy =
        !api_.round_robin &&
        std::any_of(api_.operations.begin(), api_.operations.end(),
                    [](const Operation& operation) { return !operation.round_robin; });
    if (is_used_without_policy) {
      WarnAboutUnusedEndpoints(api_.endpoint_configurations, reader.At("endpointConfigurations"),
                               reporter_);
    }
  }

  const DecodeOptions& options_;
  Reporter& reporter_;
  Api api_;
  std::map<std::string, size_t> seen_;  // verb and shape -> index of the operation
};

FieldPath RootPath(const DecodeOptions& options) {
  return {options.path_prefix, options.path_prefix.empty() ? "" : "/spec"};
}

}  // namespace

DecodedApi DecodeApi(const Json& spec, const DecodeOptions& options) {
  Reporter reporter(options.lines);
  Api api = ApiDecoder(options, reporter).Decode(spec, RootPath(options));
  DecodedApi result;
  if (!reporter.has_errors()) {
    result.api = std::move(api);
  }
  result.diagnostics = std::move(reporter).Take();
  return result;
}

Diagnostics CheckPolicyFragment(const Json& content, const DecodeOptions& options) {
  Reporter reporter(options.lines);
  const FieldPath path = RootPath(options);
  ObjectReader reader(content, path, reporter);
  for (const char* const key : {"apiPolicies", "operationPolicies"}) {
    if (const Json* const policies = reader.Find(key)) {
      DecodePolicies(*policies, reader.At(key), PolicyScope{}, reporter);
    }
  }
  reader.Finish();
  return std::move(reporter).Take();
}

}  // namespace rota::resource
