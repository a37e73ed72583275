#include "dataplane/table/findings.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::table {
namespace {

using rota::sync::v1::Rejection;

// The field into the message: from here on it is about several.
void NameField(Rejection& finding) {
  if (!finding.field().empty()) {
    finding.set_message(absl::StrCat(finding.field(), ": ", finding.message()));
    finding.clear_field();
  }
}

void Join(Rejection& finding, Rejection other) {
  NameField(finding);
  NameField(other);
  absl::StrAppend(finding.mutable_message(), "; ", other.message());
  if (finding.code() == Rejection::SECRET_MISSING) {
    finding.set_code(other.code());
  }
}

}  // namespace

std::vector<Rejection> OnePerResource(std::vector<Rejection> findings) {
  std::vector<Rejection> joined;
  std::map<std::pair<int, std::string>, size_t> places;
  for (Rejection& finding : findings) {
    const std::pair<int, std::string> key(finding.id().kind(), finding.id().name());
    const auto [place, is_first] = places.emplace(key, joined.size());
    if (is_first) {
      joined.push_back(std::move(finding));
    } else {
      Join(joined[place->second], std::move(finding));
    }
  }
  return joined;
}

}  // namespace rota::table
