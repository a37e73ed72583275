#include "controller/compile/compile_api.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "controller/compile/api_body.h"
#include "controller/compile/endpoint_table.h"
#include "controller/compile/identity.h"
#include "controller/compile/operation_kind.h"
#include "controller/compile/rotation_compiler.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::Environment;
using resource::Severity;

constexpr std::array<Environment, 2> kEnvironments = {Environment::kProduction,
                                                      Environment::kSandbox};

std::string NameOf(Environment environment) {
  return environment == Environment::kProduction ? "production" : "sandbox";
}

pb::Environment ToProto(Environment environment) {
  return environment == Environment::kProduction ? pb::PRODUCTION : pb::SANDBOX;
}

// Only requests with a body can have their model replaced.
bool CanCarryModel(const std::string& verb) {
  return verb == "POST" || verb == "PUT" || verb == "PATCH";
}

// Compiles one API; used once.
class Compiler {
 public:
  Compiler(const resource::Api& api, const std::string& uid, std::string prefix,
           CompiledApi& result)
      : api_(api),
        prefix_(std::move(prefix)),
        result_(result),
        endpoints_(api, prefix_, out_, result) {
    out_.set_uid(uid);
    out_.set_base_path(api.base_path);
    out_.set_version(api.version);
    out_.set_default_version(api.default_version);
    out_.set_max_body_bytes(api.limits.body_bytes.value_or(0));
  }

  void Run() {
    AddListedEndpoints();
    for (size_t i = 0; i < api_.operations.size(); ++i) {
      AddOperation(api_.operations[i], absl::StrCat(prefix_, "operations[", i, "]"));
    }
    WarnAboutUnusedEndpoints();
    CollectModels();
    if (!resource::HasErrors(result_.diagnostics)) {
      SetBody();
    }
  }

 private:
  // Every endpoint that the API lists, so that their order is the user's and all Secrets are
  // checked.
  void AddListedEndpoints() {
    AddLists(api_.endpoint_configurations, prefix_ + "endpointConfigurations");
    for (size_t i = 0; i < api_.operations.size(); ++i) {
      if (api_.operations[i].endpoint_configurations.has_value()) {
        AddLists(*api_.operations[i].endpoint_configurations,
                 absl::StrCat(prefix_, "operations[", i, "].endpointConfigurations"));
      }
    }
  }

  void AddLists(const resource::EndpointConfigurations& lists, const std::string& field) {
    for (const Environment environment : kEnvironments) {
      const std::vector<resource::Endpoint>& list = lists.Of(environment);
      for (size_t i = 0; i < list.size(); ++i) {
        endpoints_.Add(list[i], absl::StrCat(field, ".", NameOf(environment), "[", i, "]"));
      }
    }
  }

  void AddOperation(const resource::Operation& operation, const std::string& field) {
    pb::Operation& out = *out_.add_operations();
    out.set_verb(operation.verb);
    out.set_target(operation.target);
    out.set_secured(operation.secured);
    out.set_kind(operation.kind.empty() ? OperationKindOf(operation.verb, operation.target)
                                        : OperationKindOfName(operation.kind));
    bool has_route = false;
    bool has_rotation = true;
    for (const Environment environment : kEnvironments) {
      const std::optional<pb::Route> route = RouteOf(operation, field, environment, out.kind());
      if (route.has_value()) {
        has_route = true;
        has_rotation = has_rotation && route->rotation() != 0;
        *(environment == Environment::kProduction ? out.mutable_production()
                                                  : out.mutable_sandbox()) = *route;
      }
    }
    if (out.kind() == pb::MODELS && !has_rotation) {
      // Without a rotation there is nothing to answer from: the upstream's own list is passed on.
      out.set_kind(pb::PASSTHROUGH);
    }
    if (!has_route && !resource::HasErrors(result_.diagnostics)) {
      Report(
          Severity::kError, "MissingField", field,
          absl::StrCat("nothing says where '", operation.verb, " ", operation.target,
                       "' goes: list an endpoint in endpointConfigurations.production, or models "
                       "in a ModelBasedRoundRobin policy"));
    }
  }

  // Which policy counts: the operation's own where it has models of that environment, else the
  // API's.
  PolicyPlace PolicyOf(const resource::Operation& operation, const std::string& field,
                       Environment environment) const {
    if (operation.round_robin.has_value() && !operation.round_robin->Of(environment).empty()) {
      return {&*operation.round_robin, field + ".operationPolicies.request.ModelBasedRoundRobin"};
    }
    if (api_.round_robin.has_value() && !api_.round_robin->Of(environment).empty()) {
      return {&*api_.round_robin, prefix_ + "apiPolicies.request.ModelBasedRoundRobin"};
    }
    return {};
  }

  std::optional<pb::Route> RouteOf(const resource::Operation& operation, const std::string& field,
                                   Environment environment, pb::OperationKind kind) {
    const std::vector<resource::Endpoint>& shared = api_.endpoint_configurations.Of(environment);
    const std::string shared_field =
        absl::StrCat(prefix_, "endpointConfigurations.", NameOf(environment));
    const bool has_own = operation.endpoint_configurations.has_value() &&
                         !operation.endpoint_configurations->Of(environment).empty();
    EndpointScope scope;
    if (has_own) {
      scope.lists.emplace_back(
          &operation.endpoint_configurations->Of(environment),
          absl::StrCat(field, ".endpointConfigurations.", NameOf(environment)));
    }
    scope.lists.emplace_back(&shared, shared_field);
    const PolicyPlace place = PolicyOf(operation, field, environment);
    const auto& [first_list, first_field] = scope.lists.front();
    if (place.policy == nullptr) {
      const bool has_policy = operation.round_robin.has_value() || api_.round_robin.has_value();
      if (has_policy && !first_list->empty()) {
        WarnNoModels(environment);
      }
      if (has_policy || first_list->empty()) {
        return std::nullopt;
      }
    }
    pb::Route route;
    if (!first_list->empty()) {
      route.set_endpoint(endpoints_.Add(first_list->front(), first_field + "[0]"));
    }
    if (place.policy != nullptr &&
        !SetRotation(operation, field, environment, place, has_own, scope, kind, route)) {
      return std::nullopt;
    }
    if (place.policy == nullptr) {
      endpoints_without_rotation_.insert(first_field);
    }
    return route;
  }

  // False: the rotation has errors, which have been reported.
  bool SetRotation(const resource::Operation& operation, const std::string& field,
                   Environment environment, const PolicyPlace& place, bool has_own_endpoints,
                   const EndpointScope& scope, pb::OperationKind kind, pb::Route& route) {
    const bool is_own =
        place.policy != (api_.round_robin.has_value() ? &*api_.round_robin : nullptr);
    const std::string level =
        is_own || has_own_endpoints ? absl::StrCat(operation.verb, " ", operation.target) : "";
    const RotationScope rotation_scope{out_.uid(), ToProto(environment), level};
    const uint32_t rotation = RotationOf(place, rotation_scope, scope);
    if (rotation == 0) {
      return false;
    }
    if (scope.lists.front().first->empty()) {
      route.set_endpoint(out_.rotations(static_cast<int>(rotation) - 1).targets(0).endpoint());
    }
    if (CanCarryModel(operation.verb) || kind == pb::MODELS) {
      route.set_rotation(rotation);
    } else {
      WarnNoBody(operation, field, environment, route.endpoint());
    }
    return true;
  }

  // Index + 1; 0 = it has errors. Each rotation is compiled once.
  uint32_t RotationOf(const PolicyPlace& place, const RotationScope& scope,
                      const EndpointScope& endpoints) {
    const std::string id = RotationId(scope);
    const auto known = rotations_.find(id);
    if (known != rotations_.end()) {
      return known->second;
    }
    const std::optional<pb::Rotation> rotation =
        CompileRotation(place, scope, endpoints, out_, endpoints_, result_.diagnostics);
    uint32_t index = 0;
    if (rotation.has_value()) {
      *out_.add_rotations() = *rotation;
      result_.settings.push_back(place.policy->settings);
      index = static_cast<uint32_t>(out_.rotations_size());
    }
    rotations_.emplace(id, index);
    return index;
  }

  void WarnNoModels(Environment environment) {
    if (warned_environments_.insert(environment).second) {
      Report(Severity::kWarning, "NoModels",
             absl::StrCat(prefix_, "endpointConfigurations.", NameOf(environment)),
             absl::StrCat("no policy lists ", ModelsField(environment), ", so that requests to ",
                          NameOf(environment), " hosts get 404; add ", ModelsField(environment),
                          " or remove these endpoints"));
    }
  }

  void WarnNoBody(const resource::Operation& operation, const std::string& field,
                  Environment environment, uint32_t endpoint) {
    if (environment == Environment::kSandbox && warned_bodiless_.count(field) > 0) {
      return;
    }
    warned_bodiless_.insert(field);
    Report(Severity::kWarning, "NotRotated", field,
           absl::StrCat(operation.verb, " ", operation.target,
                        " carries no model to replace and is not part of the rotation: it always "
                        "goes to ",
                        out_.endpoints(static_cast<int>(endpoint)).url()));
  }

  // Without a policy, nothing spreads requests over several endpoints.
  void WarnAboutUnusedEndpoints() {
    for (const Environment environment : kEnvironments) {
      const std::string field =
          absl::StrCat(prefix_, "endpointConfigurations.", NameOf(environment));
      if (api_.endpoint_configurations.Of(environment).size() > 1 &&
          endpoints_without_rotation_.count(field) > 0) {
        Report(Severity::kWarning, "NotEnforced", field,
               "without a ModelBasedRoundRobin policy only the first endpoint gets requests; add "
               "the policy or remove the others");
      }
    }
  }

  void CollectModels() {
    std::set<std::string> seen;
    for (const pb::Rotation& rotation : out_.rotations()) {
      for (const pb::Target& target : rotation.targets()) {
        if (seen.insert(target.model()).second) {
          result_.models.push_back(target.model());
        }
      }
    }
  }

  void SetBody() {
    std::shared_ptr<const ResourceBody> body = ApiBody(out_);
    if (body->bytes.size() > kMaxBodyBytes) {
      Report(Severity::kError, "TooLarge", prefix_.empty() ? "operations" : prefix_ + "operations",
             absl::StrCat("the API is ", body->bytes.size(), " bytes when compiled, at most ",
                          kMaxBodyBytes, " are possible; split it into several APIs"));
      return;
    }
    result_.body = std::move(body);
  }

  void Report(Severity severity, const std::string& reason, const std::string& field,
              const std::string& message) {
    result_.diagnostics.push_back({severity, reason, field, message});
  }

  const resource::Api& api_;
  const std::string prefix_;
  CompiledApi& result_;
  pb::Api out_;
  EndpointTable endpoints_;
  std::map<std::string, uint32_t> rotations_;  // id -> index + 1; 0: has errors
  std::set<Environment> warned_environments_;
  std::set<std::string> warned_bodiless_;
  std::set<std::string> endpoints_without_rotation_;
};

}  // namespace

CompiledApi CompileApi(const resource::ObjectName& name, const std::string& uid,
                       const resource::Api& api, std::string_view field_prefix) {
  CompiledApi result;
  result.name = name;
  result.field_prefix = std::string(field_prefix);
  result.base_path = api.base_path;
  result.version = api.version;
  result.paths.push_back(absl::StrCat(api.base_path, "/", api.version));
  if (api.default_version) {
    result.paths.push_back(api.base_path);
  }
  Compiler(api, uid, std::string(field_prefix), result).Run();
  return result;
}

}  // namespace rota::compile
