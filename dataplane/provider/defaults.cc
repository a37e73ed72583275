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

// Behind the value at `place`.
size_t SkipValue(std::string_view text, size_t place) {
  bool has_escape = false;
  switch (text[place]) {
    case '"':
      return SkipString(text, place + 1, has_escape);
    case '{':
    case '[':
      return SkipContainer(text, place);
    case 't':
    case 'f':
    case 'n':
      return SkipLiteral(text, place);
    default:
      return SkipNumber(text, place);
  }
}

// Calls `visit(raw, has_escape)` with the name of each top-level member.
template <typename Visit>
void ForEachMember(std::string_view body, Visit visit) {
  size_t place = SkipSpace(body, body.find('{') + 1);
  while (place < body.size() && body[place] == '"') {
    const size_t begin = place + 1;
    bool has_escape = false;
    place = SkipString(body, begin, has_escape);
    if (place == kBroken) {
      return;
    }
    visit(body.substr(begin, place - 1 - begin), has_escape);
    place = SkipSpace(body, SkipSpace(body, place) + 1);  // the colon
    place = place < body.size() ? SkipValue(body, place) : kBroken;
    if (place == kBroken) {
      return;
    }
    place = SkipSpace(body, SkipSpace(body, place) + 1);  // the comma
  }
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
  ForEachMember(body, [&](std::string_view raw, bool has_escape) {
    is_empty = false;
    for (size_t i = 0; i < defaults.size(); ++i) {
      const std::string_view name = defaults[i].name;
      const bool is_same = has_escape ? EscapedEquals(raw, name) : raw == name;
      if (is_same || (IsTokenLimit(name) && IsTokenLimit(raw))) {
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
