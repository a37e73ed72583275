#include "cli/suspensions.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

auto OrderOf(const Json& suspension) {
  return std::tuple(suspension["api"].get<std::string>(),
                    suspension["environment"].get<std::string>(),
                    suspension["model"].get<std::string>(), suspension["id"].get<std::string>());
}

}  // namespace

std::vector<Json> SuspendedTargets(const Json& rotations) {
  std::vector<Json> found;
  for (const Json& api : rotations.value("apis", Json::array())) {
    for (const Json& rotation : api.value("rotations", Json::array())) {
      for (const Json& target : rotation.value("targets", Json::array())) {
        const Json suspension = target.value("suspension", Json());
        if (!suspension.is_object()) {
          continue;
        }
        found.push_back({{"id", target.value("id", "")},
                         {"api", api.value("id", "")},
                         {"environment", rotation.value("environment", "")},
                         {"model", target.value("model", "")},
                         {"target", target.value("target", "")},
                         {"reason", suspension.value("reason", "")},
                         {"remaining_seconds", suspension.value("remaining_seconds", 0.0)},
                         {"seen_by", suspension.value("seen_by", "")}});
      }
    }
  }
  return found;
}

absl::StatusOr<Json> CollectSuspensions(const std::vector<Peer>& data_planes,
                                        std::vector<std::string> problems) {
  ASSIGN_OR_RETURN(const std::vector<NamedJson> pages,
                   AskEach(data_planes, "/debug/rotations", problems));
  std::map<std::string, Json> by_id;
  for (const NamedJson& page : pages) {
    for (Json& suspension : SuspendedTargets(page.json)) {
      Json& known = by_id[suspension["id"].get<std::string>()];
      const int known_to = known.is_null() ? 1 : known["known_to"].get<int>() + 1;
      if (known.is_null() || known["remaining_seconds"] < suspension["remaining_seconds"]) {
        known = std::move(suspension);
      }
      known["known_to"] = known_to;
    }
  }
  std::vector<Json> suspensions;
  for (auto& [id, suspension] : by_id) {
    suspensions.push_back(std::move(suspension));
  }
  std::sort(suspensions.begin(), suspensions.end(),
            [](const Json& a, const Json& b) { return OrderOf(a) < OrderOf(b); });
  return Json{{"suspensions", suspensions}, {"data_planes", pages.size()}, {"problems", problems}};
}

std::string PrintSuspensions(const Json& report, Style style) {
  Table table(
      {"API", "ENVIRONMENT", "MODEL", "TARGET", "REASON", "RETURNS IN", "SEEN BY", "DATA PLANES"});
  for (const Json& one : report["suspensions"]) {
    table.Add({one.value("api", ""), one.value("environment", ""),
               Cell(one.value("model", ""), Colour::kBad), one.value("target", ""),
               one.value("reason", ""), FormatSeconds(one.value("remaining_seconds", 0.0)),
               one.value("seen_by", ""),
               absl::StrCat(one.value("known_to", 0), "/", report.value("data_planes", 0))});
  }
  return (table.empty() ? Coloured("Nobody is suspended.", Colour::kGood, style) + "\n"
                        : table.Print(style)) +
         PrintProblems(report, style);
}

std::string PrintProblems(const Json& report, Style style) {
  std::string text;
  for (const Json& problem : report.value("problems", Json::array())) {
    text += Coloured("! " + Printable(problem.get<std::string>()), Colour::kBad, style) + "\n";
  }
  return text;
}

}  // namespace rota::cli
