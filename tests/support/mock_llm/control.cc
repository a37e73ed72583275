#include "tests/support/mock_llm/control.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

using Json = nlohmann::json;

Answer JsonAnswer(const Json& json) {
  Answer answer;
  answer.body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return answer;
}

Answer Refuse(int status, std::string_view message) {
  Answer answer;
  answer.status = status;
  answer.body = ErrorBody(message, "invalid_request_error", "", "");
  return answer;
}

Json BehaviorsToJson(const BehaviorBook::Rules& rules) {
  Json json = Json::object();
  for (const auto& [model, rule] : rules) {
    json[model] = BehaviorToJson(rule->behavior);
    if (rule->behavior.first) {
      json[model]["remaining"] = rule->remaining.load();
    }
  }
  return json;
}

Answer SetBehaviors(ControlState& state, std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Refuse(
        400, "the body must be a JSON object: {\"MODEL\": {\"status\": 429}, \"OTHER\": null}");
  }
  std::vector<std::pair<std::string, std::optional<Behavior>>> changes;
  for (const auto& [model, value] : json.items()) {
    if (value.is_null()) {
      changes.emplace_back(model, std::nullopt);
      continue;
    }
    absl::StatusOr<Behavior> behavior = BehaviorFromJson(value);
    if (!behavior.ok()) {
      return Refuse(400, absl::StrCat("model '", model, "': ", behavior.status().message()));
    }
    changes.emplace_back(model, *std::move(behavior));
  }
  if (const absl::Status status = state.behaviors.Set(changes); !status.ok()) {
    return Refuse(400, std::string(status.message()));
  }
  return JsonAnswer(BehaviorsToJson(*state.behaviors.Get()));
}

}  // namespace

bool IsControlPath(std::string_view path) { return path.starts_with("/control/"); }

Answer HandleControl(ControlState& state, const RequestView& request) {
  const bool reads = request.method == "GET";
  const bool deletes = request.method == "DELETE";
  if (request.path == "/control/behaviors") {
    if (request.method == "POST") {
      return SetBehaviors(state, request.body);
    }
    if (deletes) {
      state.behaviors.Clear();
    }
    return reads || deletes ? JsonAnswer(BehaviorsToJson(*state.behaviors.Get()))
                            : Refuse(405, "use GET, POST or DELETE");
  }
  if (request.path == "/control/requests") {
    if (deletes) {
      for (RecorderShard* shard : state.shards) {
        shard->Clear();
      }
    }
    return reads || deletes ? JsonAnswer(RecordsToJson(state.shards, state.keep_requests))
                            : Refuse(405, "use GET or DELETE");
  }
  return Refuse(404, "the control paths are /control/behaviors and /control/requests");
}

}  // namespace rota::mock_llm
