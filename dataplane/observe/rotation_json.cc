#include "dataplane/observe/rotation_json.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/duration.h"

namespace rota::observe {
namespace {

using Json = nlohmann::ordered_json;
using TargetStates = std::vector<rotation::Rotation::TargetState>;

bool IsSuspended(const rotation::Rotation::TargetState& state, MonotonicTime now) {
  return state.suspension && state.suspension->until > now;
}

bool IsEligible(const rotation::TargetSpec& spec, const rotation::Rotation::TargetState& state,
                MonotonicTime now) {
  return !IsSuspended(state, now) && spec.usable && spec.weight > 0;
}

Json DescribeTarget(const table::Target& target, const rotation::TargetSpec& spec,
                    const rotation::Rotation::TargetState& state, MonotonicTime now) {
  Json json = {{"id", spec.id},
               {"model", target.model},
               {"target", target.endpoint == nullptr ? "" : target.endpoint->name},
               {"weight", spec.weight},
               {"tier", spec.tier},
               {"credential_missing", !spec.usable},
               {"eligible", IsEligible(spec, state, now)},
               {"share", 0.0},
               {"first_picks", state.first_picks},
               {"consecutive_failures", state.consecutive_failures},
               {"suspension", nullptr}};
  if (IsSuspended(state, now)) {
    json["suspension"] = {
        {"reason", rotation::ReasonName(state.suspension->reason)},
        {"remaining_seconds", std::chrono::duration<double>(state.suspension->until - now).count()},
        {"seen_by", state.suspension->origin}};
  }
  return json;
}

// What the lowest tier that has an eligible target shares.
void AddShares(const std::vector<rotation::TargetSpec>& specs, Json& targets) {
  uint32_t tier = UINT32_MAX;
  double total = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i]["eligible"].get<bool>() && specs[i].tier <= tier) {
      total = (specs[i].tier == tier ? total : 0) + specs[i].weight;
      tier = specs[i].tier;
    }
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i]["eligible"].get<bool>() && specs[i].tier == tier) {
      targets[i]["share"] = specs[i].weight / total;
    }
  }
}

}  // namespace

std::string_view OnAllSuspendedName(table::OnAllSuspended value) {
  switch (value) {
    case table::OnAllSuspended::kReject:
      return "Reject";
    case table::OnAllSuspended::kWait:
      return "Wait";
    case table::OnAllSuspended::kPassThrough:
      return "PassThrough";
  }
  return "";
}

Json DescribeBoundRotation(const RotationView& view) {
  const table::BoundRotation& rotation = *view.rotation;
  const rotation::RotationSpec& spec = rotation.rotation->spec();
  return {{"id", spec.id},
          {"environment", table::EnvironmentName(view.environment)},
          {"quota_suspension", FormatDuration(rotation.quota_suspension)},
          {"max_suspension", FormatDuration(rotation.max_suspension)},
          {"failure_threshold", spec.failure_threshold},
          {"failure_suspension", FormatDuration(rotation.failure_suspension)},
          {"on_all_suspended", OnAllSuspendedName(rotation.on_all_suspended)},
          {"wait_timeout", FormatDuration(rotation.wait_timeout)},
          {"attempts", rotation.attempts},
          {"retry_non_idempotent", rotation.retry_non_idempotent}};
}

Json DescribeTargets(const table::BoundRotation& rotation, MonotonicTime now) {
  const std::vector<rotation::TargetSpec>& specs = rotation.rotation->spec().targets;
  const TargetStates states = rotation.rotation->Inspect(now);
  const size_t count = std::min({states.size(), specs.size(), rotation.targets.size()});
  Json targets = Json::array();
  for (size_t i = 0; i < count; ++i) {
    targets.push_back(DescribeTarget(rotation.targets[i], specs[i], states[i], now));
  }
  AddShares(specs, targets);
  return targets;
}

std::string WithoutSecrets(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  const size_t authority = text.find("://");
  const size_t start = authority == std::string::npos ? 0 : authority + 3;
  const size_t at = text.substr(0, text.find('/', start)).rfind('@');
  if (at != std::string::npos && at >= start) {
    text.erase(start, at + 1 - start);
  }
  return text;
}

}  // namespace rota::observe
