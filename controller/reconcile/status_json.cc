#include "controller/reconcile/status_json.h"

#include "absl/time/time.h"

namespace rota::reconcile {
namespace {

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

}  // namespace

nlohmann::json ToJson(const ApiStatus& status, const std::string& gateway) {
  const size_t slash = gateway.find('/');
  nlohmann::json models = nlohmann::json::array();
  for (const std::string& model : status.models) {
    models.push_back(model);
  }
  return {{"observedGeneration", status.generation},
          {"conditions",
           {ToJson(status.accepted), ToJson(status.resolved_refs), ToJson(status.programmed)}},
          {"gateways",
           {{{"namespace", gateway.substr(0, slash)},
             {"name", slash == std::string::npos ? gateway : gateway.substr(slash + 1)},
             {"conditions", {ToJson(status.programmed)}}}}},
          {"models", std::move(models)}};
}

std::optional<ApiStatus> FromJson(const nlohmann::json& status) {
  if (!status.is_object()) {
    return std::nullopt;
  }
  const auto conditions = status.find("conditions");
  if (conditions == status.end() || !conditions->is_array() || conditions->empty()) {
    return std::nullopt;
  }
  ApiStatus result;
  for (const nlohmann::json& json : *conditions) {
    if (!json.is_object()) {
      continue;
    }
    Condition condition = ConditionOf(json);
    if (condition.type == "Accepted") {
      result.accepted = std::move(condition);
    } else if (condition.type == "ResolvedRefs") {
      result.resolved_refs = std::move(condition);
    } else if (condition.type == "Programmed") {
      result.programmed = std::move(condition);
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

std::string FormatTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

}  // namespace rota::reconcile
