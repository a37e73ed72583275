#include "dataplane/provider/field_quirks.h"

#include <algorithm>

#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

const FieldQuirk* QuirkOf(const JsonMember& member, std::span<const FieldQuirk> quirks) {
  const auto found = std::find_if(quirks.begin(), quirks.end(), [&member](const FieldQuirk& quirk) {
    return IsCalled(member, quirk.field);
  });
  return found == quirks.end() ? nullptr : &*found;
}

bool HasMember(std::string_view body, std::string_view name) {
  bool is_there = false;
  ForEachMember(body,
                [&](const JsonMember& member) { is_there = is_there || IsCalled(member, name); });
  return is_there;
}

}  // namespace

std::string ApplyQuirks(std::string_view body, std::span<const FieldQuirk> quirks) {
  bool has_quirk = false;
  ForEachMember(body, [&](const JsonMember& member) {
    has_quirk = has_quirk || QuirkOf(member, quirks) != nullptr;
  });
  if (!has_quirk) {
    return "";
  }
  std::string changed = "{";
  ForEachMember(body, [&](const JsonMember& member) {
    const FieldQuirk* const quirk = QuirkOf(member, quirks);
    if (quirk != nullptr && (quirk->name.empty() || HasMember(body, quirk->name))) {
      return;
    }
    changed.append(changed.size() > 1 ? "," : "");
    if (quirk == nullptr) {
      changed.append(body.substr(member.begin, member.end - member.begin));
    } else {
      changed.append("\"").append(quirk->name).append("\":");
      changed.append(body.substr(member.value, member.end - member.value));
    }
  });
  return changed.append("}");
}

}  // namespace rota::provider
