#include "cli/explain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_code.h"
#include "cli/suspensions.h"

namespace rota::cli {
namespace {

// "environment   sandbox (a label of the host is `sandbox`)".
std::string Line(const char* name, const std::string& value) {
  constexpr size_t kWidth = 14;
  std::string line = name;
  line.resize(std::max(line.size(), kWidth), ' ');
  return line + Printable(value) + "\n";
}

Cell StateOf(const Json& target) {
  const Json suspension = target.value("suspension", Json());
  if (suspension.is_object()) {
    return {absl::StrCat("suspended: ", suspension.value("reason", "")), Colour::kBad};
  }
  if (target.value("credential_missing", false)) {
    return {"credential missing", Colour::kBad};
  }
  if (!target.value("eligible", false)) {
    return {"weight 0", Colour::kDim};
  }
  return target.value("share", 0.0) > 0 ? Cell("on the rota", Colour::kGood)
                                        : Cell("waits: other tier", Colour::kDim);
}

std::string PrintTargets(const Json& rotation, Style style) {
  Table table({"MODEL", "TARGET", "WEIGHT", "TIER", "SHARE", "STATE", "RETURNS IN", "SEEN BY"});
  for (const Json& target : rotation.value("targets", Json::array())) {
    const Json suspension = target.value("suspension", Json());
    const bool is_suspended = suspension.is_object();
    const double share = target.value("share", 0.0);
    table.Add({target.value("model", ""), target.value("target", ""),
               absl::StrCat(target.value("weight", 0)), absl::StrCat(target.value("tier", 0)),
               share > 0 ? FormatShare(share) : "", StateOf(target),
               is_suspended ? FormatSeconds(suspension.value("remaining_seconds", 0.0)) : "",
               is_suspended ? suspension.value("seen_by", "") : ""});
  }
  return table.Print(style);
}

std::string PrintNext(const Json& rotation) {
  std::vector<std::string> models;
  for (const Json& next : rotation.value("next", Json::array())) {
    models.push_back(next.value("model", ""));
  }
  if (!models.empty()) {
    return Line("next", absl::StrJoin(models, ", "));
  }
  const Json first_return = rotation.value("first_return_seconds", Json());
  return Line("next", first_return.is_number()
                          ? absl::StrCat("nobody for ", FormatSeconds(first_return.get<double>()))
                          : std::string("nobody"));
}

std::string PrintModel(const Json& model) {
  const std::string name = model.value("name", "");
  if (!model.value("configured", false)) {
    return Line("model", name +
                             ": not in this rotation (a request may name it: the rotation "
                             "replaces it)");
  }
  const double share = model.value("share", 0.0);
  return Line("model", share > 0 ? absl::StrCat(name, ": gets ", FormatShare(share),
                                                " of the "
                                                "requests")
                                 : name + ": gets nothing now");
}

std::string VerdictText(const Json& report) {
  const int answer = report.value("answer", 0);
  const std::string because = report.value("because", "");
  return answer == 0 ? because : absl::StrCat("the gateway answers ", answer, ": ", because);
}

}  // namespace

absl::StatusOr<Json> CollectExplanation(const std::vector<Peer>& data_planes,
                                        const ExplainQuery& query) {
  std::vector<std::string> problems;
  const std::string target = WithQuery("/debug/explain", {{"api", query.api},
                                                          {"environment", query.environment},
                                                          {"model", query.model},
                                                          {"host", query.host},
                                                          {"verb", query.verb},
                                                          {"path", query.path}});
  absl::Status failure = absl::InvalidArgumentError("nobody to ask: give --data-plane URL");
  for (const Peer& peer : data_planes) {
    absl::StatusOr<Json> json = AskJson(peer, "GET", target);
    if (json.ok()) {
      (*json)["data_plane"] = peer.name;
      (*json)["problems"] = problems;
      return json;
    }
    failure = json.status();
    if (!absl::IsUnavailable(failure)) {
      break;  // the question makes no sense; the next one would say the same
    }
    problems.emplace_back(failure.message());
  }
  return failure;
}

std::string PrintExplanation(const Json& report, Style style) {
  const Json request = report.value("request", Json::object());
  std::string text =
      Line("request", absl::StrCat(request.value("verb", ""), " ", request.value("path", ""),
                                   "   Host: ", request.value("host", "")));
  const Json api = report.value("api", Json());
  text += Line("API", api.is_string() ? api.get<std::string>() : "none");
  if (report.contains("operation")) {
    const Json& operation = report["operation"];
    text += Line("operation",
                 absl::StrCat(operation.value("verb", ""), " ", operation.value("target", ""), " (",
                              operation.value("kind", ""), ")"));
  }
  text += Line("environment", absl::StrCat(report.value("environment", ""), ": ",
                                           report.value("environment_because", "")));
  if (report.contains("note")) {
    text += Line("note", report.value("note", ""));
  }
  const Colour colour = report.value("answer", 0) == 0 ? Colour::kGood : Colour::kBad;
  text += Coloured(Line("outcome", VerdictText(report)), colour, style);
  if (report.contains("rotation")) {
    text += PrintNext(report["rotation"]);
    if (report.contains("model")) {
      text += PrintModel(report["model"]);
    }
    text += "\n" + PrintTargets(report["rotation"], style);
  } else if (report.contains("first_endpoint")) {
    text += Line("sent to", report["first_endpoint"].value("url", ""));
  }
  return text + PrintProblems(report, style);
}

int ExplanationVerdict(const Json& report) {
  const bool is_answered_here = report.value("answer", 0) != 0;
  const bool lacks_model = report.contains("model") && report["model"].value("share", 0.0) == 0;
  return is_answered_here || lacks_model ? kExitFindings : kExitOk;
}

}  // namespace rota::cli
