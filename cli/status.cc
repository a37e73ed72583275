#include "cli/status.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/exit_code.h"
#include "cli/metrics_text.h"
#include "cli/suspensions.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

constexpr size_t kRevisionDigits = 16;  // as /metrics shows it

std::string RevisionOf(const std::string& hash) { return hash.substr(0, kRevisionDigits); }

// 200 with notes, or 503 with reasons, a line each.
void AddReadiness(const Peer& peer, Json& row) {
  const absl::StatusOr<Answer> answer = peer.ask("GET", "/readyz");
  row["ready"] = answer.ok() && answer->status == 200;
  std::vector<std::string> reasons;
  if (answer.ok() && answer->status != 200) {
    reasons = absl::StrSplit(answer->body, '\n', absl::SkipEmpty());
  }
  row["not_ready_because"] = reasons;
}

std::string ServedRevision(const Samples& samples) {
  const auto found = std::find_if(samples.begin(), samples.end(), [](const Sample& sample) {
    return sample.name == "rota_snapshot_info";
  });
  if (found == samples.end()) {
    return "";
  }
  const auto version = found->labels.find("version");
  return version == found->labels.end() ? "" : version->second;
}

double ValueOf(const Samples& samples, const std::string& name) {
  const auto found = std::find_if(samples.begin(), samples.end(),
                                  [&name](const Sample& sample) { return sample.name == name; });
  return found == samples.end() ? 0 : found->value;
}

// One condition of each API that is not True, the one that comes first: Accepted, ResolvedRefs,
// Programmed.
void AddApis(const Json& page, Json& report) {
  std::set<std::string> gateways;
  for (const Json& api : page.value("apis", Json::array())) {
    const Json status = api.value("status", Json::object());
    for (const Json& gateway : status.value("gateways", Json::array())) {
      gateways.insert(absl::StrCat(gateway.value("namespace", ""), "/", gateway.value("name", "")));
    }
    for (const Json& condition : status.value("conditions", Json::array())) {
      if (condition.value("status", "") != "True") {
        report["not_programmed"].push_back(
            {{"api", absl::StrCat(api.value("namespace", ""), "/", api.value("name", ""))},
             {"condition",
              absl::StrCat(condition.value("type", ""), "=", condition.value("status", ""))},
             {"reason", condition.value("reason", "")},
             {"message", condition.value("message", "")}});
        break;
      }
    }
  }
  report["apis"] = page.value("apis", Json::array()).size();
  report["gateways"] = gateways;
  for (const Json& problem : page.value("problems", Json::array())) {
    report["problems"].push_back(absl::StrCat(problem.value("file", ""), ":",
                                              problem.value("line", 0), ": ",
                                              problem.value("message", "")));
  }
}

absl::Status AddController(const Peer& peer, Json& report) {
  ASSIGN_OR_RETURN(const Json fleet, AskJson(peer, "GET", "/debug/fleet"));
  ASSIGN_OR_RETURN(const std::string metrics, AskText(peer, "/metrics"));
  const std::string revision = ServedRevision(ParseMetrics(metrics));
  const Json nodes = fleet.value("dataplanes", Json::array());
  Json row = {{"name", peer.name}, {"revision", revision}, {"data_planes", nodes.size()}};
  AddReadiness(peer, row);
  report["controllers"].push_back(std::move(row));
  for (const Json& node : nodes) {
    const std::string applied = RevisionOf(node.value("snapshot", ""));
    report["data_planes"].push_back(
        {{"name", node.value("node", "")},
         {"controller", peer.name},
         {"build", node.value("build", "")},
         {"revision", applied},
         {"is_current", applied == revision},
         {"connected_seconds", node.value("connected_seconds", 0.0)},
         {"objections", node.value("rejected", Json::array()).size() +
                            node.value("refused", Json::array()).size()},
         {"ready", nullptr}});
  }
  return absl::OkStatus();
}

absl::Status AddDataPlane(const Peer& peer, Json& report) {
  ASSIGN_OR_RETURN(const std::string metrics, AskText(peer, "/metrics"));
  const Samples samples = ParseMetrics(metrics);
  Json row = {{"name", peer.name},
              {"controller",
               ValueOf(samples, "rota_controller_connected") > 0 ? "connected" : "not connected"},
              {"build", ""},
              {"revision", ServedRevision(samples)},
              {"is_current", ValueOf(samples, "rota_controller_connected") > 0},
              {"connected_seconds", nullptr},
              {"objections", ValueOf(samples, "rota_snapshot_rejected_resources") +
                                 ValueOf(samples, "rota_snapshot_refused_resources")}};
  AddReadiness(peer, row);
  report["data_planes"].push_back(std::move(row));
  return absl::OkStatus();
}

Cell YesNo(const Json& value) {
  if (!value.is_boolean()) {
    return "";
  }
  return value.get<bool>() ? Cell("yes", Colour::kGood) : Cell("no", Colour::kBad);
}

std::string PrintControllers(const Json& report, Style style) {
  Table table({"CONTROLLER", "READY", "REVISION", "DATA PLANES", "NOT READY BECAUSE"});
  for (const Json& row : report["controllers"]) {
    table.Add({row.value("name", ""), YesNo(row["ready"]), row.value("revision", ""),
               absl::StrCat(row.value("data_planes", 0)),
               absl::StrJoin(row["not_ready_because"].get<std::vector<std::string>>(), "; ")});
  }
  return table.empty() ? "" : table.Print(style) + "\n";
}

std::string PrintDataPlanes(const Json& report, Style style) {
  Table table({"DATA PLANE", "READY", "CONTROLLER", "REVISION", "CURRENT", "CONNECTED",
               "OBJECTIONS", "BUILD"});
  for (const Json& row : report["data_planes"]) {
    const Json connected = row.value("connected_seconds", Json());
    const auto objections = row.value("objections", 0.0);
    table.Add({row.value("name", ""), YesNo(row["ready"]), row.value("controller", ""),
               row.value("revision", ""), YesNo(row["is_current"]),
               connected.is_number() ? FormatSeconds(connected.get<double>()) : "",
               Cell(absl::StrCat(objections), objections > 0 ? Colour::kBad : Colour::kNone),
               row.value("build", "")});
  }
  return table.empty() ? Coloured("No data plane is connected.", Colour::kBad, style) + "\n"
                       : table.Print(style);
}

}  // namespace

absl::StatusOr<Json> CollectStatus(const std::vector<Peer>& controllers,
                                   const std::vector<Peer>& data_planes,
                                   std::vector<std::string> problems) {
  Json report = {{"gateways", Json::array()},       {"controllers", Json::array()},
                 {"data_planes", Json::array()},    {"apis", nullptr},
                 {"not_programmed", Json::array()}, {"problems", problems}};
  absl::Status failure =
      absl::InvalidArgumentError("nobody to ask: give --controller URL or --data-plane URL");
  bool has_apis = false;
  bool has_answer = false;
  const auto note = [&](const absl::Status& status) {
    has_answer |= status.ok();
    if (!status.ok()) {
      failure = status;
      report["problems"].push_back(std::string(status.message()));
    }
  };
  for (const Peer& peer : controllers) {
    note(AddController(peer, report));
    // Every controller compiles the same: one is enough.
    if (const absl::StatusOr<Json> apis = AskJson(peer, "GET", "/debug/status");
        apis.ok() && !std::exchange(has_apis, true)) {
      AddApis(*apis, report);
    }
  }
  for (const Peer& peer : data_planes) {
    note(AddDataPlane(peer, report));
  }
  if (!has_answer) {
    return failure;
  }
  return report;
}

std::string PrintStatus(const Json& report, Style style) {
  std::string text;
  const auto gateways = report["gateways"].get<std::vector<std::string>>();
  if (!gateways.empty()) {
    text += absl::StrCat("Gateway ", absl::StrJoin(gateways, ", "), ", ",
                         report["apis"].get<size_t>(), " APIs\n\n");
  }
  text += PrintControllers(report, style) + PrintDataPlanes(report, style);
  Table table({"API NOT AS WRITTEN", "CONDITION", "REASON", "MESSAGE"});
  for (const Json& row : report["not_programmed"]) {
    table.Add({row.value("api", ""), Cell(row.value("condition", ""), Colour::kBad),
               row.value("reason", ""), row.value("message", "")});
  }
  return text + (table.empty() ? "" : "\n" + table.Print(style)) + PrintProblems(report, style);
}

int StatusVerdict(const Json& report) {
  const auto is_bad = [](const Json& row) {
    return row["ready"] == false || row.value("is_current", true) == false ||
           row.value("objections", 0.0) > 0;
  };
  const bool finds =
      !report["not_programmed"].empty() || !report["problems"].empty() ||
      report["data_planes"].empty() ||
      std::any_of(report["controllers"].begin(), report["controllers"].end(), is_bad) ||
      std::any_of(report["data_planes"].begin(), report["data_planes"].end(), is_bad);
  return finds ? kExitFindings : kExitOk;
}

}  // namespace rota::cli
