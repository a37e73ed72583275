#include "dataplane/provider/defaults.h"

#include <algorithm>

#include "absl/status/status.h"
#include "dataplane/provider/json.h"
#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

constexpr std::string_view kTokenLimits[] = {"max_tokens", "max_completion_tokens"};

bool IsTokenLimit(std::string_view name) {
  return std::find(std::begin(kTokenLimits), std::end(kTokenLimits), name) !=
         std::end(kTokenLimits);
}

}  // namespace

absl::StatusOr<std::vector<DefaultMember>> ReadDefaults(std::string_view object) {
  std::vector<DefaultMember> members;
  if (object.empty()) {
    return members;
  }
  const absl::StatusOr<Json> parsed = ParseJson(object);
  if (!parsed.ok() || !parsed->is_object()) {
    return absl::InvalidArgumentError("is not a JSON object");
  }
  for (const auto& [name, value] : parsed->get_ref<const Json::object_t&>()) {
    DefaultMember& member = members.emplace_back();
    member.name = name;
    AppendJsonText(name, member.json);
    member.json.push_back(':');
    AppendJson(value, member.json);
  }
  return members;
}

std::string FillDefaults(std::string_view body, absl::Span<const DefaultMember> defaults) {
  std::vector<bool> is_there(defaults.size());
  bool is_empty = true;
  ForEachMember(body, [&](const JsonMember& member) {
    is_empty = false;
    for (size_t i = 0; i < defaults.size(); ++i) {
      const std::string_view name = defaults[i].name;
      if (IsCalled(member, name) || (IsTokenLimit(name) && IsTokenLimit(member.name))) {
        is_there[i] = true;
      }
    }
  });
  std::string added;
  for (size_t i = 0; i < defaults.size(); ++i) {
    if (!is_there[i]) {
      added.append(added.empty() ? "" : ",").append(defaults[i].json);
    }
  }
  if (added.empty()) {
    return "";
  }
  const size_t behind_brace = body.find('{') + 1;
  std::string filled;
  filled.reserve(body.size() + added.size() + 1);
  filled.append(body.substr(0, behind_brace)).append(added).append(is_empty ? "" : ",");
  filled.append(body.substr(behind_brace));
  return filled;
}

}  // namespace rota::provider
