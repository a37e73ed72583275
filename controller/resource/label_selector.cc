#include "controller/resource/label_selector.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace rota::resource {
namespace {

using Operator = LabelRequirement::Operator;

bool Holds(const LabelRequirement& requirement, const Labels& labels) {
  const auto label = labels.find(requirement.key);
  const bool is_there = label != labels.end();
  const bool is_listed = is_there && std::find(requirement.values.begin(), requirement.values.end(),
                                               label->second) != requirement.values.end();
  switch (requirement.op) {
    case Operator::kIn:
      return is_listed;
    case Operator::kNotIn:
      return !is_listed;  // a label that is not there has none of the values
    case Operator::kExists:
      return is_there;
    case Operator::kDoesNotExist:
      return !is_there;
  }
  return false;
}

std::string ToString(const LabelRequirement& requirement) {
  const std::string values = absl::StrCat("(", absl::StrJoin(requirement.values, ","), ")");
  switch (requirement.op) {
    case Operator::kIn:
      return absl::StrCat(requirement.key, " in ", values);
    case Operator::kNotIn:
      return absl::StrCat(requirement.key, " notin ", values);
    case Operator::kExists:
      return requirement.key;
    case Operator::kDoesNotExist:
      return absl::StrCat("!", requirement.key);
  }
  return "";
}

}  // namespace

bool Matches(const LabelSelector& selector, const Labels& labels) {
  const bool has_labels = std::all_of(
      selector.match_labels.begin(), selector.match_labels.end(), [&](const auto& wanted) {
        const auto label = labels.find(wanted.first);
        return label != labels.end() && label->second == wanted.second;
      });
  return has_labels &&
         std::all_of(selector.match_expressions.begin(), selector.match_expressions.end(),
                     [&](const auto& requirement) { return Holds(requirement, labels); });
}

std::string ToString(const LabelSelector& selector) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : selector.match_labels) {
    parts.push_back(absl::StrCat(key, "=", value));
  }
  for (const LabelRequirement& requirement : selector.match_expressions) {
    parts.push_back(ToString(requirement));
  }
  return absl::StrJoin(parts, ",");
}

}  // namespace rota::resource
