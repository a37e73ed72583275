#pragma once

// Label selectors as Kubernetes has them (metav1.LabelSelector). Pure and thread-safe.

#include <map>
#include <string>
#include <vector>

namespace rota::resource {

using Labels = std::map<std::string, std::string>;

struct LabelRequirement {
  enum class Operator { kIn, kNotIn, kExists, kDoesNotExist };
  std::string key;
  Operator op = Operator::kExists;
  std::vector<std::string> values;  // of kIn and kNotIn; never empty there

  friend bool operator==(const LabelRequirement&, const LabelRequirement&) = default;
};

// All of it has to hold; an empty selector selects everything.
struct LabelSelector {
  Labels match_labels;
  std::vector<LabelRequirement> match_expressions;

  friend bool operator==(const LabelSelector&, const LabelSelector&) = default;
};

bool Matches(const LabelSelector& selector, const Labels& labels);

// As `kubectl get -l` takes it: "team=a,stage in (prod,test),!internal"; "" selects everything.
std::string ToString(const LabelSelector& selector);

}  // namespace rota::resource
