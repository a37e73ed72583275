#include "controller/reconcile/status_json.h"

#include "absl/time/time.h"
#include "common/hash.h"

namespace rota::reconcile {
namespace {

constexpr size_t kShownHashDigits = 16;

std::string NamespaceOf(const std::string& gateway) { return gateway.substr(0, gateway.find('/')); }
std::string NameOf(const std::string& gateway) { return gateway.substr(gateway.find('/') + 1); }

nlohmann::json ToJson(const Condition& condition) {
  return {{"type", condition.type},
          {"status", ToString(condition.status)},
          {"reason", condition.reason},
          // An empty message is refused by some API servers.
          {"message", condition.message.empty() ? condition.reason : condition.message},
          {"observedGeneration", condition.observed_generation},
          {"lastTransitionTime", condition.last_transition_time}};
}

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t NumberOf(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

Condition ConditionOf(const nlohmann::json& json) {
  Condition condition;
  condition.type = TextOf(json, "type");
  const std::string status = TextOf(json, "status");
  condition.status = status == "True"    ? ConditionStatus::kTrue
                     : status == "False" ? ConditionStatus::kFalse
                                         : ConditionStatus::kUnknown;
  condition.reason = TextOf(json, "reason");
  condition.message = TextOf(json, "message");
  condition.observed_generation = NumberOf(json, "observedGeneration");
  condition.last_transition_time = TextOf(json, "lastTransitionTime");
  return condition;
}

// The three conditions of an API, as a whole or at one gateway, or of a gateway; false: there are
// none.
template <typename Status>
bool ReadConditions(const nlohmann::json& object, Status& status) {
  const auto conditions = object.find("conditions");
  if (conditions == object.end() || !conditions->is_array() || conditions->empty()) {
    return false;
  }
  for (const nlohmann::json& json : *conditions) {
    if (!json.is_object()) {
      continue;
    }
    Condition condition = ConditionOf(json);
    if (condition.type == "Accepted") {
      status.accepted = std::move(condition);
    } else if (condition.type == "ResolvedRefs") {
      status.resolved_refs = std::move(condition);
    } else if (condition.type == "Programmed") {
      status.programmed = std::move(condition);
    }
  }
  return true;
}

}  // namespace

nlohmann::json ToJson(const ApiStatus& status) {
  nlohmann::json models = nlohmann::json::array();
  for (const std::string& model : status.models) {
    models.push_back(model);
  }
  nlohmann::json gateways = nlohmann::json::array();
  for (const ApiAtGateway& gateway : status.gateways) {
    gateways.push_back(
        {{"namespace", NamespaceOf(gateway.gateway)},
         {"name", NameOf(gateway.gateway)},
         {"conditions",
          {ToJson(gateway.accepted), ToJson(gateway.resolved_refs), ToJson(gateway.programmed)}}});
  }
  return {{"observedGeneration", status.generation},
          {"conditions",
           {ToJson(status.accepted), ToJson(status.resolved_refs), ToJson(status.programmed)}},
          {"gateways", std::move(gateways)},
          {"models", std::move(models)}};
}

nlohmann::json ToJson(const GatewayStatus& status) {
  nlohmann::json nodes = nlohmann::json::array();
  for (const GatewayNode& node : status.nodes) {
    nodes.push_back({{"name", node.name},
                     {"snapshot", HexEncode(node.snapshot).substr(0, kShownHashDigits)},
                     {"current", node.is_current}});
  }
  return {{"observedGeneration", status.generation},
          {"conditions",
           {ToJson(status.accepted), ToJson(status.resolved_refs), ToJson(status.programmed)}},
          {"default", status.is_default},
          {"attachedAPIs", status.attached_apis},
          {"snapshot", HexEncode(status.snapshot).substr(0, kShownHashDigits)},
          {"dataPlanes",
           {{"connected", status.connected},
            {"current", status.current},
            {"nodes", std::move(nodes)},
            {"omitted", status.connected - status.nodes.size()}}}};
}

std::optional<ApiStatus> FromJson(const nlohmann::json& status) {
  ApiStatus result;
  if (!status.is_object() || !ReadConditions(status, result)) {
    return std::nullopt;
  }
  const auto gateways = status.find("gateways");
  if (gateways != status.end() && gateways->is_array()) {
    for (const nlohmann::json& json : *gateways) {
      ApiAtGateway gateway;
      if (json.is_object() && ReadConditions(json, gateway)) {
        gateway.gateway = TextOf(json, "namespace") + "/" + TextOf(json, "name");
        result.gateways.push_back(std::move(gateway));
      }
    }
  }
  const auto models = status.find("models");
  if (models != status.end() && models->is_array()) {
    for (const nlohmann::json& model : *models) {
      result.models.push_back(model.is_string() ? model.get<std::string>() : "");
    }
  }
  return result;
}

std::optional<GatewayConditions> GatewayConditionsFromJson(const nlohmann::json& status) {
  GatewayConditions result;
  return status.is_object() && ReadConditions(status, result) ? std::optional(std::move(result))
                                                              : std::nullopt;
}

std::string FormatTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

}  // namespace rota::reconcile
