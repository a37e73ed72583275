#include "cli/lift.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/suspensions.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

bool IsName(const std::string& id, const std::string& name) {
  return id == name || (name.find('/') == std::string::npos && id.ends_with("/" + name));
}

std::string Describe(const LiftQuery& query) {
  std::string text;
  const std::pair<const char*, const std::string&> parts[] = {{"API ", query.api},
                                                              {"environment ", query.environment},
                                                              {"model ", query.model},
                                                              {"target ", query.id}};
  for (const auto& [what, value] : parts) {
    if (!value.empty()) {
      absl::StrAppend(&text, text.empty() ? "" : ", ", what, value);
    }
  }
  return text;
}

// Everywhere; an error only when nobody has done it.
absl::Status LiftOne(const std::vector<Peer>& data_planes, const std::string& id,
                     std::vector<std::string>& problems) {
  const std::string target = WithQuery("/debug/lift", {{"target", id}});
  absl::Status failure;
  size_t done = 0;
  for (const Peer& peer : data_planes) {
    const absl::StatusOr<Json> answer = AskJson(peer, "POST", target);
    done += answer.ok() ? 1 : 0;
    if (!answer.ok()) {
      failure = answer.status();
      problems.emplace_back(failure.message());
    }
  }
  return done == 0 ? failure : absl::OkStatus();
}

}  // namespace

bool Fits(const Json& suspension, const LiftQuery& query) {
  const auto is = [&suspension](const char* key, const std::string& wanted) {
    return wanted.empty() || suspension.value(key, "") == wanted;
  };
  return (query.api.empty() || IsName(suspension.value("api", ""), query.api)) &&
         is("environment", query.environment) && is("model", query.model) && is("id", query.id);
}

absl::StatusOr<Json> Lift(const std::vector<Peer>& data_planes, const LiftQuery& query) {
  ASSIGN_OR_RETURN(const Json report, CollectSuspensions(data_planes, {}));
  auto problems = report["problems"].get<std::vector<std::string>>();
  Json lifted = Json::array();
  for (const Json& suspension : report["suspensions"]) {
    if (Fits(suspension, query)) {
      RETURN_IF_ERROR(LiftOne(data_planes, suspension["id"].get<std::string>(), problems));
      lifted.push_back(suspension);
    }
  }
  if (lifted.empty()) {
    return absl::NotFoundError(absl::StrCat("nothing is suspended for ", Describe(query),
                                            "; `get suspensions` lists what is"));
  }
  return Json{{"lifted", lifted}, {"problems", problems}};
}

std::string PrintLifted(const Json& report, Style style) {
  std::string text;
  for (const Json& one : report["lifted"]) {
    text += Printable(absl::StrCat(one.value("api", ""), " ", one.value("environment", ""), " ",
                                   one.value("model", ""), " is back on the rota (was suspended: ",
                                   one.value("reason", ""), ", ",
                                   FormatSeconds(one.value("remaining_seconds", 0.0)), " left)")) +
            "\n";
  }
  return text + PrintProblems(report, style);
}

}  // namespace rota::cli
